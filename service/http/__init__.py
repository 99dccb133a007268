"""HTTP and WebSocket: routes, access, sessions and the OpenAPI description."""
