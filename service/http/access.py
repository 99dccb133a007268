"""Who may use the API: API keys, and protection against pages of other sites.

A browser lets any page post to this machine and, through a name that resolves to a loopback address, read the answers.
So without a key only loopback names are served, and requests that change something are accepted only from the server's
own origin, unless the settings allow another.
"""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from urllib.parse import urlsplit

from ..schema.errors import ApiError

KEY_VARIABLE = "ACESTEP_XL_API_KEY"
BEARER = "bearer "
REMEMBERED = 256  # addresses and hosts that need not be parsed again for each request
HOST = re.compile(r"(?:\[(?P<address>[0-9a-fA-F:.]+)\]|(?P<name>[A-Za-z0-9.-]+))(?::[0-9]{1,5})?")


class Access:
    """The access rules of a server.

    keys: accepted API keys; none means that anyone who can reach the server may use it.
    origins: other origins, such as "https://studio.example", whose pages may use it too.
    """

    def __init__(self, keys: Sequence[str] = (), origins: Sequence[str] = ()) -> None:
        self._digests = [_digest(key) for key in keys]
        self._origins = frozenset(origin.rstrip("/").lower() for origin in origins)

    @property
    def requires_key(self) -> bool:
        return bool(self._digests)

    def accepts_key(self, key: str | None) -> bool:
        """Whether `key` is accepted, in constant time. Without configured keys every one is, and so is None."""
        if not self.requires_key:
            return True
        digest = _digest(key or "")
        return any([hmac.compare_digest(digest, accepted) for accepted in self._digests])

    def allows_origin(self, origin: str | None) -> bool:
        """Whether the settings allow pages of this other origin."""
        return origin is not None and origin.lower() in self._origins

    def host_problem(self, headers: Mapping[str, str]) -> str | None:
        """Why the Host header is refused, or None. With a key every host is served: a page that reaches the server by
        another name still has no key."""
        host = headers.get("Host", "")
        if self.requires_key or is_loopback(host):
            return None
        return f"the host {host!r} is not served without an API key; use localhost or 127.0.0.1"

    def origin_problem(self, headers: Mapping[str, str]) -> str | None:
        """Why a request that changes something is refused because of its origin, or None. Programs send no Origin."""
        origin = headers.get("Origin")
        if origin is None:
            cross_site = headers.get("Sec-Fetch-Site") in ("cross-site", "same-site")
            return "requests from other sites are refused" if cross_site else None
        if self.allows_origin(origin) or _netloc(origin) == headers.get("Host", "").lower():
            return None
        return f"requests from pages of {origin!r} are refused; start the server with --allow-origin to allow them"


def missing_key_error() -> ApiError:
    message = "this server requires an API key: send `Authorization: Bearer <key>`, or an authentication task first"
    return ApiError("missingApiKey", message, "apiKey", "authentication")


def wrong_key_error() -> ApiError:
    return ApiError("invalidApiKey", "this API key is not accepted here", "apiKey", "authentication")


def bearer_key(headers: Mapping[str, str]) -> str | None:
    """The key of an `Authorization: Bearer` header, or None."""
    value = headers.get("Authorization", "")
    return value[len(BEARER) :].strip() if value[: len(BEARER)].lower() == BEARER else None


def split_keys(text: str) -> tuple[str, ...]:
    """The API keys of an environment variable, separated by commas or spaces."""
    return tuple(text.replace(",", " ").split())


@lru_cache(REMEMBERED)
def is_loopback(host: str) -> bool:
    """Whether a host, as in a Host header, is a name or an address that always means this machine."""
    match = HOST.fullmatch(host)
    if match is None:
        return False
    name = (match["address"] or match["name"]).lower()
    if name == "localhost" or name.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False


@lru_cache(REMEMBERED)
def client_name(address: str | None) -> str:
    """What a client is known by: its address, or the network of an IPv6 address, of which one client may have many."""
    try:
        parsed = ipaddress.ip_address((address or "").partition("%")[0])
    except ValueError:
        return address or ""
    if isinstance(parsed, ipaddress.IPv6Address):
        mapped = parsed.ipv4_mapped
        return str(ipaddress.ip_network((parsed, 64), strict=False) if mapped is None else mapped)
    return str(parsed)


def format_host(address: str) -> str:
    """An address or a name as URLs and Host headers spell it: IPv6 in brackets."""
    return f"[{address}]" if ":" in address else address


def _netloc(origin: str) -> str | None:
    try:
        return urlsplit(origin).netloc.lower() or None
    except ValueError:
        return None


def _digest(key: str) -> bytes:
    """Of equal length for every key, as a comparison in constant time needs."""
    return hashlib.sha256(key.encode("utf-8", "surrogateescape")).digest()
