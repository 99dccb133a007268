"""Fetches untrusted input by URL."""

from __future__ import annotations

import re
from dataclasses import dataclass
from fnmatch import fnmatchcase

from aiohttp import ClientResponse, ClientSession
from yarl import URL

from .errors import Failed, Refused, redacted
from .exchange import open_response, with_session
from .network import INTERNET, Network
from .policy import Policy, check_url, parse_url

REDIRECTS = (301, 302, 303, 307, 308)
MEDIA_TYPE = re.compile(r"[a-z0-9!#$&^_.+-]+/[a-z0-9!#$&^_.+-]+")


@dataclass(frozen=True)
class FetchResult:
    """A fetched body. media_type: as declared by the server, lower case, without parameters; None if missing or
    invalid. url: after redirects, without query."""

    data: bytes
    media_type: str | None
    url: str


async def fetch(url: str, policy: Policy, *, network: Network = INTERNET) -> FetchResult:
    """The complete, uncompressed body at `url`, after redirects, each of which is checked like the first URL.

    Raises Refused for what the policy forbids: an address, scheme or port, a redirect to one or from https to http, too
    many redirects, a body longer than max_bytes, compressed, or of a media type not listed. Raises Failed for a network
    error, a status other than 200, an incomplete body, or a timeout.
    """
    target = parse_url(url, policy)
    return await with_session(url, policy, network, lambda session: _follow(session, target, policy))


async def _follow(session: ClientSession, url: URL, policy: Policy) -> FetchResult:
    for _ in range(policy.max_redirects + 1):
        async with open_response(session, "GET", url) as response:
            if response.status not in REDIRECTS:
                return await _read_response(response, url, policy)
            url = _redirect_target(response, url, policy)
    raise Refused(str(url), f"redirected more than {policy.max_redirects} times")


def _redirect_target(response: ClientResponse, url: URL, policy: Policy) -> URL:
    """The URL that a redirect leads to, checked like any other."""
    location = response.headers.get("Location", "")
    try:
        target = str(url.join(URL(location, encoded=True)))
    except ValueError:
        raise Refused(str(url), "it redirects to an invalid URL") from None
    if not location:
        raise Failed(str(url), f"status {response.status} without a Location", response.status)
    if problem := check_url(target, policy):
        raise Refused(str(url), f"it redirects to {redacted(target)}: {problem}")
    next_url = parse_url(target, policy)
    if url.scheme == "https" and next_url.scheme == "http":
        raise Refused(str(url), "it redirects from https to http")
    return next_url


async def _read_response(response: ClientResponse, url: URL, policy: Policy) -> FetchResult:
    if response.status != 200:
        raise Failed(str(url), f"the server answered with status {response.status}", response.status)
    encodings = [
        *response.headers.getall("Content-Encoding", []),
        *(value for value in response.headers.getall("Transfer-Encoding", []) if value.strip().lower() != "chunked"),
    ]
    if any(value.strip().lower() not in ("", "identity") for value in encodings):
        raise Refused(str(url), "the body is compressed, although an uncompressed one was requested")
    media_type = response.headers.get("Content-Type", "").split(";")[0].strip().lower()
    if policy.media_types and not any(fnmatchcase(media_type, allowed) for allowed in policy.media_types):
        stated = media_type if MEDIA_TYPE.fullmatch(media_type) else "none"
        raise Refused(str(url), f"the media type is {stated[:80]}; allowed: {', '.join(policy.media_types)}")
    data = await _read_body(response, url, policy)
    return FetchResult(data, media_type if MEDIA_TYPE.fullmatch(media_type) else None, redacted(str(url)))


async def _read_body(response: ClientResponse, url: URL, policy: Policy) -> bytes:
    """The body; never more than the allowed bytes are held in memory."""
    too_long = Refused(str(url), f"the body is longer than the {policy.max_bytes} bytes allowed")
    if (response.content_length or 0) > policy.max_bytes:
        raise too_long
    # One buffer, because a body may arrive byte by byte, and a list of such chunks would take 40 times the memory.
    body = bytearray()
    async for chunk in response.content.iter_any():
        body += chunk
        if len(body) > policy.max_bytes:
            raise too_long
    return bytes(body)
