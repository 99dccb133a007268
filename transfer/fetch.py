"""Fetch a body by URL, as input from strangers."""

from __future__ import annotations

import re
from dataclasses import dataclass
from fnmatch import fnmatchcase

from aiohttp import ClientResponse, ClientSession
from yarl import URL

from .errors import Failed, Refused, redacted
from .exchange import answer, within
from .network import INTERNET, Network
from .policy import Policy, admit, check_url

REDIRECTS = (301, 302, 303, 307, 308)
MEDIA_TYPE = re.compile(r"[a-z0-9!#$&^_.+-]+/[a-z0-9!#$&^_.+-]+")


@dataclass(frozen=True)
class Fetched:
    """A body, the media type that the server gave it (lower case, without parameters; None if none), and where it came
    from at last, without query."""

    data: bytes
    media_type: str | None
    url: str


async def fetch(url: str, policy: Policy, *, network: Network = INTERNET) -> Fetched:
    """The body behind `url`, whole and unencoded, after redirects of which each is judged like the first address.

    Raises Refused for what the policy forbids: an address, scheme or port, a redirect to one or from https to http, too
    many redirects, a body that is or becomes longer than max_bytes, that is compressed, or declared as a type not
    listed. Raises Failed for a network error, a status other than 200, a body that breaks off, or a timeout.
    """
    target = admit(url, policy)
    return await within(url, policy, network, lambda session: _follow(session, target, policy))


async def _follow(session: ClientSession, url: URL, policy: Policy) -> Fetched:
    for _ in range(policy.max_redirects + 1):
        async with answer(session, "GET", url) as response:
            if response.status not in REDIRECTS:
                return await _fetched(response, url, policy)
            url = _next(response, url, policy)
    raise Refused(str(url), f"redirected more than {policy.max_redirects} times")


def _next(response: ClientResponse, url: URL, policy: Policy) -> URL:
    """Where a redirect leads, admitted like any URL."""
    location = response.headers.get("Location", "")
    try:
        target = str(url.join(URL(location, encoded=True)))
    except ValueError:
        raise Refused(str(url), "it redirects to what is no URL") from None
    if not location:
        raise Failed(str(url), f"status {response.status} without saying where to", response.status)
    if problem := check_url(target, policy):
        raise Refused(str(url), f"it redirects to {redacted(target)}: {problem}")
    admitted = admit(target, policy)
    if url.scheme == "https" and admitted.scheme == "http":
        raise Refused(str(url), "it redirects from https to http")
    return admitted


async def _fetched(response: ClientResponse, url: URL, policy: Policy) -> Fetched:
    if response.status != 200:
        raise Failed(str(url), f"the server answered with status {response.status}", response.status)
    encodings = [
        *response.headers.getall("Content-Encoding", []),
        *(value for value in response.headers.getall("Transfer-Encoding", []) if value.strip().lower() != "chunked"),
    ]
    if any(value.strip().lower() not in ("", "identity") for value in encodings):
        raise Refused(str(url), "the body is compressed, although it was asked for as it is")
    media_type = response.headers.get("Content-Type", "").split(";")[0].strip().lower()
    if policy.media_types and not any(fnmatchcase(media_type, allowed) for allowed in policy.media_types):
        stated = media_type if MEDIA_TYPE.fullmatch(media_type) else "none"
        raise Refused(str(url), f"the media type is {stated[:80]}; allowed: {', '.join(policy.media_types)}")
    data = await _body(response, url, policy)
    return Fetched(data, media_type if MEDIA_TYPE.fullmatch(media_type) else None, redacted(str(url)))


async def _body(response: ClientResponse, url: URL, policy: Policy) -> bytes:
    """The body, of which never more than the allowed bytes are kept."""
    too_long = Refused(str(url), f"the body is longer than the {policy.max_bytes} bytes allowed")
    if (response.content_length or 0) > policy.max_bytes:
        raise too_long
    # One buffer, because a body may come byte by byte, and objects of one byte each take forty.
    body = bytearray()
    async for chunk in response.content.iter_any():
        body += chunk
        if len(body) > policy.max_bytes:
            raise too_long
    return bytes(body)
