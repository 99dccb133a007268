"""Who may ask: API keys, and pages of other sites kept out.

A browser lets any page post to this machine and, by a name that resolves to a loopback address, read the answers too.
So without a key only names of this machine are served, and requests that change something may come from no other
origin than the server's own, unless the settings allow it.
"""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import re
from collections.abc import Mapping, Sequence
from urllib.parse import urlsplit

KEY_VARIABLE = "ACESTEP_XL_API_KEY"
BEARER = "bearer "
HOST = re.compile(r"(?:\[(?P<address>[0-9a-fA-F:.]+)\]|(?P<name>[A-Za-z0-9.-]+))(?::[0-9]{1,5})?")


class Door:
    """Decides from the headers of a request.

    keys: accepted API keys; none means that everyone who reaches the server may ask.
    origins: foreign origins, such as "https://studio.example", whose pages may ask too.
    """

    def __init__(self, keys: Sequence[str] = (), origins: Sequence[str] = ()) -> None:
        self._digests = [_digest(key) for key in keys]
        self._origins = frozenset(origin.rstrip("/").lower() for origin in origins)

    @property
    def locked(self) -> bool:
        return bool(self._digests)

    def opens(self, key: str | None) -> bool:
        """Whether `key` is accepted. Takes as long for a wrong key as for a right one."""
        if not self.locked:
            return True
        offered = _digest(key or "")
        return any([hmac.compare_digest(offered, digest) for digest in self._digests])

    def allows(self, origin: str | None) -> bool:
        """Whether pages of this foreign origin may ask."""
        return origin is not None and origin.lower() in self._origins

    def strange_host(self, headers: Mapping[str, str]) -> str | None:
        """What is wrong with the Host header, or None. With a key any name will do: a page that got in by another name
        still has no key."""
        host = headers.get("Host", "")
        if self.locked or is_loopback(host):
            return None
        return f"the host {host!r} is not served without an API key; use localhost or 127.0.0.1"

    def strange_origin(self, headers: Mapping[str, str]) -> str | None:
        """What is wrong with where a changing request comes from, or None. Programs send no Origin at all."""
        origin = headers.get("Origin")
        if origin is None:
            crossing = headers.get("Sec-Fetch-Site") in ("cross-site", "same-site")
            return "requests from other sites are refused" if crossing else None
        if self.allows(origin) or _network_place(origin) == headers.get("Host", "").lower():
            return None
        return f"requests from pages of {origin!r} are refused; start the server with --allow-origin to allow them"


def bearer(headers: Mapping[str, str]) -> str | None:
    """The key of an `Authorization: Bearer` header, or None."""
    value = headers.get("Authorization", "")
    return value[len(BEARER) :].strip() if value[: len(BEARER)].lower() == BEARER else None


def keys_in(text: str) -> tuple[str, ...]:
    """API keys of an environment variable, apart by commas or spaces."""
    return tuple(text.replace(",", " ").split())


def is_loopback(host: str) -> bool:
    """Whether a host, as in a Host header, is a name or an address of this machine that no other one can have."""
    found = HOST.fullmatch(host)
    if found is None:
        return False
    name = (found["address"] or found["name"]).lower()
    if name == "localhost" or name.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False


def in_url(address: str) -> str:
    """An address or name as it stands in URLs and Host headers."""
    return f"[{address}]" if ":" in address else address


def _network_place(origin: str) -> str | None:
    try:
        return urlsplit(origin).netloc.lower() or None
    except ValueError:
        return None


def _digest(key: str) -> bytes:
    """Equal lengths to compare, whatever was sent."""
    return hashlib.sha256(key.encode("utf-8", "surrogateescape")).digest()
