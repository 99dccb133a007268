"""One request and its answer, with every way to go wrong turned into Refused or Failed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
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
FAULTS = (ClientError, OSError, asyncio.TimeoutError)

# The first class that fits gives the words. aiohttp's own messages hold whole URLs, queries included.
REASONS: tuple[tuple[type[Exception], str], ...] = (
    (ClientConnectorDNSError, "its name cannot be resolved"),
    (ClientConnectorCertificateError, "its certificate cannot be verified"),
    (ClientConnectorSSLError, "no TLS connection can be made"),
    (asyncio.TimeoutError, "no connection within the time allowed for one"),
    (ClientConnectorError, "no connection can be made"),
    (ServerDisconnectedError, "the server closed the connection without an answer"),
    (ClientPayloadError, "the body is broken off or malformed"),
    (ClientResponseError, "the answer is not valid HTTP, or its headers are too long or too many"),
    (ClientError, "the exchange broke off"),
    (OSError, "the connection broke off"),
)


async def within(url: str, policy: Policy, network: Network, work: Callable[[ClientSession], Awaitable[T]]) -> T:
    """The result of `work`, which gets a session that is closed afterwards. Raises Failed after the total timeout."""

    async def run() -> T:
        async with open_session(policy, network) as session:
            return await work(session)

    try:
        return await asyncio.wait_for(run(), policy.total_timeout)
    except asyncio.TimeoutError:
        raise Failed(url, f"not complete after {policy.total_timeout:g} seconds") from None


@asynccontextmanager
async def answer(
    session: ClientSession, method: str, url: URL, *, body: IO[bytes] | None = None, media_type: str | None = None
) -> AsyncIterator[ClientResponse]:
    """The answer to one request, of which only the headers are read yet; redirects are answers like any other.

    Raises Refused where the name leads to a forbidden address, Failed where there is no valid answer. Errors are
    raised without their cause, whose text and attributes hold the whole URL.
    """
    headers = {"Content-Type": media_type} if media_type else None
    try:
        response = await session.request(method, url, data=body, headers=headers, allow_redirects=False)
    except Refused as refused:
        raise Refused(str(url), refused.reason) from None
    except FAULTS as error:
        raise _failed(url, error) from None
    try:
        yield response
    except FAULTS as error:
        raise _failed(url, error) from None
    finally:
        # Nobody waits for the rest of an upload or of an endless body.
        response.close()


def _failed(url: URL, error: Exception) -> Failed:
    return Failed(str(url), next(text for kind, text in REASONS if isinstance(error, kind)))
