"""Deliver a body to a URL that a stranger named."""

from __future__ import annotations

import io
import re

from aiohttp import ClientSession

from .errors import Failed
from .exchange import answer, within
from .network import INTERNET, Network
from .policy import Policy, admit


async def put(url: str, data: bytes, media_type: str, policy: Policy, *, network: Network = INTERNET) -> int:
    """Upload `data` as it is by HTTP PUT, as presigned URLs take it, and return the status, which is 200 to 299.

    Raises Refused for a URL or address that the policy forbids; Failed for a network error, a timeout, and any other
    status, which is then in the error's `status`. A redirect is not followed: it counts as such a status.
    """
    return await _send("PUT", url, data, media_type, policy, network)


async def post_json(url: str, body: bytes, policy: Policy, *, network: Network = INTERNET) -> int:
    """Send `body`, JSON in UTF-8, byte for byte by HTTP POST, as webhooks take it; otherwise like put."""
    return await _send("POST", url, body, "application/json", policy, network)


async def _send(method: str, url: str, data: bytes, media_type: str, policy: Policy, network: Network) -> int:
    if not re.fullmatch(r"[\x21-\x7e]+/[\x20-\x7e]+", media_type):
        raise ValueError(f"{media_type!r} is no media type; give one like audio/mpeg")
    target = admit(url, policy)

    async def exchange(session: ClientSession) -> int:
        # The body of the answer is left unread: the status says it all.
        async with answer(session, method, target, body=io.BytesIO(data), media_type=media_type) as response:
            if 300 <= response.status < 400:
                reason = f"the server answered with status {response.status}, and sending follows no redirect"
                raise Failed(str(target), f"{reason}: give the final address", response.status)
            if not 200 <= response.status < 300:
                raise Failed(str(target), f"the server answered with status {response.status}", response.status)
            return response.status

    return await within(url, policy, network, exchange)
