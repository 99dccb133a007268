"""Which IP addresses may be connected to, and all ways to write one as a host.

Networks: IANA's special-purpose registries for IPv4 and IPv6 (RFC 6890 and its updates), listed because
`ipaddress.is_global` differs between versions of Python. IPv4 notations: the host parser of the WHATWG URL standard.
"""

from __future__ import annotations

import re
from ipaddress import (
    AddressValueError,
    IPv4Address,
    IPv4Network,
    IPv6Address,
    IPv6Network,
    ip_network,
)

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

INVALID_IPV4 = "a host that ends in a number must be an IPv4 address, and this one is not valid"


def parse_address(host: str) -> Address | None:
    """The IP address of a host, or None for a name.

    host: as in a URL, lower case; IPv6 in brackets. IPv4 may have one to four parts, decimal, octal (0...) or
    hexadecimal (0x...); the last fills the remaining bytes. Raises ValueError for a host that can only be meant as an
    address but is invalid.
    """
    if host.startswith("["):
        if "%" in host:
            raise ValueError("an IPv6 address with a zone id is only valid on one machine")
        try:
            address = IPv6Address(host.removeprefix("[").removesuffix("]"))
        except AddressValueError:
            raise ValueError("the host in brackets is not an IPv6 address") from None
        return address.ipv4_mapped or address
    parts = host.removesuffix(".").split(".")
    if not re.fullmatch(r"[0-9]+|0x[0-9a-f]*", parts[-1]):
        return None
    numbers = [_parse_number(part) for part in parts]
    *leading, last = numbers
    if len(numbers) > 4 or any(number > 255 for number in leading) or last >= 256 ** (5 - len(numbers)):
        raise ValueError(INVALID_IPV4)
    return IPv4Address(sum(number << (24 - 8 * index) for index, number in enumerate(leading)) + last)


def forbidden_kind(address: Address, allow_private: bool) -> str | None:
    """Why `address` may not be connected to ("a loopback address"), None if it may.

    allow_private: allow this machine and private networks, but never addresses that no server can have, nor the
    metadata services of clouds, which give credentials to anyone who can connect.
    """
    for candidate in _effective_addresses(address):
        for network, kind in NEVER if allow_private else NEVER + PRIVATE:
            if candidate in network:
                return kind
        is_allowed_private = allow_private and any(candidate in network for network, _ in PRIVATE)
        if isinstance(candidate, IPv6Address) and candidate not in GLOBAL_UNICAST and not is_allowed_private:
            return "an address outside the public internet"
    return None


def _parse_number(part: str) -> int:
    """One part of an IPv4 address in decimal, octal or hexadecimal."""
    for pattern, base in ((r"0x[0-9a-f]+", 16), (r"0[0-7]*", 8), (r"[1-9][0-9]*", 10)):
        # Four bytes need at most eleven digits, but any number of leading zeros is valid; 64 bounds the time.
        if len(part) <= 64 and re.fullmatch(pattern, part):
            return int(part.removeprefix("0x"), base)
    raise ValueError(INVALID_IPV4)


def _effective_addresses(address: Address) -> list[Address]:
    """The addresses to check: an IPv6 address may embed the IPv4 address that it leads to."""
    if isinstance(address, IPv4Address):
        return [address]
    embedded = IPv4Address(int(address) & 0xFFFFFFFF)
    if any(address in network for network in EMBEDDING):
        return [embedded]
    # ISATAP embeds it in the interface identifier, under any prefix.
    isatap = (int(address) >> 32) & 0xFDFFFFFF == 0x00005EFE
    return [address, embedded] if isatap else [address]


def _networks(kinds: dict[str, str]) -> list[tuple[Network, str]]:
    return [(ip_network(network), kind) for kind, networks in kinds.items() for network in networks.split()]


GLOBAL_UNICAST = IPv6Network("2000::/3")

# Mapped, translated (RFC 7915) and NAT64 (RFC 6052) addresses.
EMBEDDING = [IPv6Network("::ffff:0:0/96"), IPv6Network("::ffff:0:0:0/96"), IPv6Network("64:ff9b::/96")]

NEVER = _networks(
    {
        "the address of a cloud's metadata service": "169.254.169.254 169.254.170.2 169.254.170.23 168.63.129.16 "
        "100.100.100.200 fd00:ec2::254 fd00:ec2::23 fd20:ce::254 fe80::a9fe:a9fe",
        "an unspecified address": "0.0.0.0/8 ::",
        "a multicast address": "224.0.0.0/4 ff00::/8",
        "a reserved address": "240.0.0.0/4 100::/64 100:0:0:1::/64 5f00::/16",
        "an address for documentation": "192.0.2.0/24 198.51.100.0/24 203.0.113.0/24 2001:db8::/32 3fff::/20",
        "an address of a deprecated tunnel": "192.88.99.0/24 2001::/23 2002::/16",
    }
)

PRIVATE = _networks(
    {
        "a loopback address": "127.0.0.0/8 ::1",
        "a link-local address": "169.254.0.0/16 fe80::/10",
        "a private address": "10.0.0.0/8 172.16.0.0/12 192.168.0.0/16 fc00::/7 fec0::/10",
        "a carrier-grade NAT address": "100.64.0.0/10 192.0.0.0/24 64:ff9b:1::/48",
        "a benchmarking address": "198.18.0.0/15",
    }
)
