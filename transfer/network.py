"""How names become connections: every answer of the resolver is judged, and only judged addresses are connected to."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from ipaddress import ip_address

from aiohttp import ClientSession, ClientTimeout, DummyCookieJar, TCPConnector
from aiohttp.abc import AbstractResolver, ResolveResult

from .addresses import problem
from .errors import Refused
from .policy import Policy

MOST_TRIED = 8  # addresses of one name
HEADERS = {"User-Agent": "acestep-xl", "Accept": "*/*", "Accept-Encoding": "identity"}


async def system_lookup(host: str) -> list[str]:
    """The IP addresses of a name, as the operating system resolves it."""
    loop = asyncio.get_running_loop()
    found = await loop.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(address[0]) for *_, address in found))


def straight(address: str, port: int) -> tuple[str, int]:
    """The address and port themselves."""
    return address, port


@dataclass(frozen=True)
class Network:
    """The world outside; tests put their own servers behind public names with it.

    lookup: the IP addresses of a name; raises OSError. route: where a connection to an address and port that were
    judged is really opened. tls: what certificates are verified with, None for the system's.
    """

    lookup: Callable[[str], Awaitable[Sequence[str]]] = system_lookup
    route: Callable[[str, int], tuple[str, int]] = straight
    tls: ssl.SSLContext | None = None


INTERNET = Network()


class JudgedResolver(AbstractResolver):
    """Looks a name up once per connection and hands out numeric addresses, so that what is judged is what is used.

    One forbidden address among the answers refuses the name: honest names do not mix, and rebinding does.
    """

    def __init__(self, policy: Policy, network: Network) -> None:
        self.policy, self.network = policy, network

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        """Raises Refused where an address is forbidden, OSError where there is none. `family` is not looked at."""
        addresses = [ip_address(text) for text in await self.network.lookup(host)]
        for address in addresses:
            if kind := problem(address, self.policy.allow_private):
                # Without the address itself: who asks from outside learns nothing about names inside.
                raise Refused(f"//{host}", f"its name leads to {kind}, which is not allowed")
        if not addresses:
            raise OSError("the name has no address")
        return [_numeric(host, *self.network.route(str(address), port)) for address in addresses[:MOST_TRIED]]

    async def close(self) -> None:
        """Nothing to close."""


def _numeric(host: str, address: str, port: int) -> ResolveResult:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    flags = socket.AI_NUMERICHOST | socket.AI_NUMERICSERV
    return ResolveResult(hostname=host, host=address, port=port, family=family, proto=0, flags=flags)


def open_session(policy: Policy, network: Network) -> ClientSession:
    """A session for one transfer: no proxies from the environment, no cookies, no decompression, no kept connections.

    aiohttp bounds each header line to 8190 bytes and, from 3.13.4 on, their number to 128; before that only the total
    time bounds the number.
    """
    connector = TCPConnector(
        resolver=JudgedResolver(policy, network),
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
