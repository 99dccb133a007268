"""The task API: request schema, durable queue, delivery, HTTP and WebSocket."""
