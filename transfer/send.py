"""Sends a body to a URL from a stranger."""

from __future__ import annotations

import io
import re
from collections.abc import AsyncIterable
from pathlib import Path
from typing import IO

from aiohttp import ClientSession

from .errors import Failed
from .exchange import open_response, with_session
from .network import INTERNET, Network
from .policy import Policy, parse_url


async def put(url: str, data: bytes, media_type: str, policy: Policy, *, network: Network = INTERNET) -> int:
    """Upload `data` unchanged by HTTP PUT, as presigned URLs expect, and return the status, which is 200 to 299.

    Raises Refused for a URL or address that the policy forbids; Failed for a network error, a timeout, and any other
    status, which the error's `status` holds. Redirects are not followed and count as such a status.
    """
    return await _send("PUT", url, io.BytesIO(data), media_type, policy, network)


async def put_file(url: str, file: Path, media_type: str, policy: Policy, *, network: Network = INTERNET) -> int:
    """The same with a file, which is read while it is sent. Raises FileNotFoundError."""
    with file.open("rb") as body:
        return await _send("PUT", url, body, media_type, policy, network)


async def post_json(url: str, body: bytes, policy: Policy, *, network: Network = INTERNET) -> int:
    """Send `body`, JSON in UTF-8, unchanged by HTTP POST, as webhooks expect; otherwise like put."""
    return await _send("POST", url, io.BytesIO(body), "application/json", policy, network)


async def post_json_pieces(
    url: str, pieces: AsyncIterable[bytes], length: int, policy: Policy, *, network: Network = INTERNET
) -> int:
    """The same with a body in pieces, of which one is in memory at a time. length: of the whole in bytes."""
    return await _send("POST", url, pieces, "application/json", policy, network, length)


async def _send(
    method: str,
    url: str,
    body: IO[bytes] | AsyncIterable[bytes],
    media_type: str,
    policy: Policy,
    network: Network,
    length: int | None = None,
) -> int:
    if not re.fullmatch(r"[\x21-\x7e]+/[\x20-\x7e]+", media_type):
        raise ValueError(f"{media_type!r} is not a media type; use one like audio/mpeg")
    target = parse_url(url, policy)

    async def exchange(session: ClientSession) -> int:
        # The body of the response is not needed.
        sending = open_response(session, method, target, body=body, media_type=media_type, length=length)
        async with sending as response:
            if 300 <= response.status < 400:
                reason = f"the server answered with status {response.status}, and sending does not follow redirects"
                raise Failed(str(target), f"{reason}: give the final URL", response.status)
            if not 200 <= response.status < 300:
                raise Failed(str(target), f"the server answered with status {response.status}", response.status)
            return response.status

    return await with_session(url, policy, network, exchange)
