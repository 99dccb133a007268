"""Resolves names and connects: every resolved address is checked, and only checked addresses are connected to."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from ipaddress import ip_address

from aiohttp import ClientSession, ClientTimeout, DummyCookieJar, TCPConnector
from aiohttp.abc import AbstractResolver, ResolveResult

from . import lookup
from .addresses import forbidden_kind
from .errors import Refused
from .policy import Policy

MAX_ADDRESSES = 8  # of one name that are tried
HEADERS = {"User-Agent": "acestep-xl", "Accept": "*/*", "Accept-Encoding": "identity"}


async def system_lookup(host: str) -> list[str]:
    """The IP addresses of a name, resolved by the operating system."""
    return await lookup.SYSTEM.addresses(host)


def direct_route(address: str, port: int) -> tuple[str, int]:
    """Connect to the address and port themselves."""
    return address, port


@dataclass(frozen=True)
class Network:
    """How to reach other machines; tests use it to put their own servers behind public names.

    lookup: the IP addresses of a name; raises OSError. route: where a connection to a checked address and port is
    actually opened. tls: the context that verifies certificates, None for the system's.
    """

    lookup: Callable[[str], Awaitable[Sequence[str]]] = system_lookup
    route: Callable[[str, int], tuple[str, int]] = direct_route
    tls: ssl.SSLContext | None = None


INTERNET = Network()


class CheckedResolver(AbstractResolver):
    """Resolves a name once per connection to numeric addresses, so that the checked address is the one used.

    One forbidden address rejects the name: legitimate names do not mix both kinds, and DNS rebinding does.
    """

    def __init__(self, policy: Policy, network: Network) -> None:
        self.policy, self.network = policy, network

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        """Raises Refused if an address is forbidden, OSError if there is none. `family` is ignored."""
        addresses = [ip_address(text) for text in await self.network.lookup(host)]
        for address in addresses:
            if kind := forbidden_kind(address, self.policy.allow_private):
                # Without the address, so that outsiders learn nothing about internal names.
                raise Refused(f"//{host}", f"its name leads to {kind}, which is not allowed")
        if not addresses:
            raise OSError("the name has no address")
        return [_resolve_result(host, *self.network.route(str(address), port)) for address in addresses[:MAX_ADDRESSES]]

    async def close(self) -> None:
        """Nothing to close."""


def _resolve_result(host: str, address: str, port: int) -> ResolveResult:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    flags = socket.AI_NUMERICHOST | socket.AI_NUMERICSERV
    return ResolveResult(hostname=host, host=address, port=port, family=family, proto=0, flags=flags)


def open_session(policy: Policy, network: Network) -> ClientSession:
    """A session for one transfer: no environment proxies, no cookies, no decompression, no keep-alive.

    aiohttp limits each header line to 8190 bytes and, from 3.13.4 on, their number to 128; before that only the total
    timeout limits their number.
    """
    connector = TCPConnector(
        resolver=CheckedResolver(policy, network),
        use_dns_cache=False,
        force_close=True,
        ssl=network.tls or True,
    )
    return ClientSession(
        connector=connector,
        timeout=ClientTimeout(total=None, connect=policy.connect_timeout),
        cookie_jar=DummyCookieJar(),
        headers=HEADERS,
        trust_env=False,
        auto_decompress=False,
    )
