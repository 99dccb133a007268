"""One request and its response; every error becomes Refused or Failed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import IO, TypeVar

from aiohttp import (
    ClientConnectorCertificateError,
    ClientConnectorDNSError,
    ClientConnectorError,
    ClientConnectorSSLError,
    ClientError,
    ClientPayloadError,
    ClientResponse,
    ClientResponseError,
    ClientSession,
    ServerDisconnectedError,
)
from yarl import URL

from .errors import Failed, Refused
from .network import Network, open_session
from .policy import Policy

T = TypeVar("T")
NETWORK_ERRORS = (ClientError, OSError, asyncio.TimeoutError)

# The first matching class gives the reason. aiohttp's own messages contain full URLs, including queries.
REASONS: tuple[tuple[type[Exception], str], ...] = (
    (ClientConnectorDNSError, "its name cannot be resolved"),
    (ClientConnectorCertificateError, "its certificate cannot be verified"),
    (ClientConnectorSSLError, "no TLS connection can be made"),
    (asyncio.TimeoutError, "no connection within the connect timeout"),
    (ClientConnectorError, "no connection can be made"),
    (ServerDisconnectedError, "the server closed the connection without a response"),
    (ClientPayloadError, "the body is incomplete or malformed"),
    (ClientResponseError, "the response is not valid HTTP, or its headers are too long or too many"),
    (ClientError, "the request was interrupted"),
    (OSError, "the connection was interrupted"),
)


async def with_session(
    url: str, policy: Policy, network: Network, transfer: Callable[[ClientSession], Awaitable[T]]
) -> T:
    """Call `transfer` with a session and close the session. Raises Failed after the total timeout."""

    async def run() -> T:
        async with open_session(policy, network) as session:
            return await transfer(session)

    try:
        return await asyncio.wait_for(run(), policy.total_timeout)
    except asyncio.TimeoutError:
        raise Failed(url, f"not complete after {policy.total_timeout:g} seconds") from None


@asynccontextmanager
async def open_response(
    session: ClientSession,
    method: str,
    url: URL,
    *,
    body: IO[bytes] | AsyncIterable[bytes] | None = None,
    media_type: str | None = None,
    length: int | None = None,
) -> AsyncIterator[ClientResponse]:
    """The response to one request, with only its headers read; redirects are returned, not followed.

    length: of a body in pieces, in bytes. Raises Refused if the name resolves to a forbidden address, Failed without a
    valid response. Errors have no cause, because its text and attributes would contain the full URL.
    """
    headers = {"Content-Type": media_type, "Content-Length": None if length is None else str(length)}
    headers = {name: value for name, value in headers.items() if value is not None}
    try:
        response = await session.request(method, url, data=body, headers=headers, allow_redirects=False)
    except Refused as refused:
        raise Refused(str(url), refused.reason) from None
    except NETWORK_ERRORS as error:
        raise _failed(url, error) from None
    try:
        yield response
    except NETWORK_ERRORS as error:
        raise _failed(url, error) from None
    finally:
        # Without waiting for the rest of an upload or of an endless body.
        response.close()


def _failed(url: URL, error: Exception) -> Failed:
    return Failed(str(url), next(text for kind, text in REASONS if isinstance(error, kind)))
