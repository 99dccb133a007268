"""Which IP addresses may be connected to, and the spellings in which a host can be one.

Networks: the special-purpose registries of IANA for IPv4 and IPv6 (RFC 6890 and its updates), written out because
`ipaddress.is_global` differs between versions of Python. Spellings of IPv4: the host parser of the WHATWG URL standard.
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


def read_literal(host: str) -> Address | None:
    """The address that `host` spells, or None where it is a name.

    host: as it stands in a URL, lower case; IPv6 in brackets. IPv4 may have one to four parts, decimal, octal (0...) or
    hexadecimal (0x...), of which the last fills the rest. Raises ValueError, in words, for a host that can only be
    meant as an address and is none.
    """
    if host.startswith("["):
        if "%" in host:
            raise ValueError("an IPv6 address with a zone id names an interface of one machine only")
        try:
            address = IPv6Address(host.removeprefix("[").removesuffix("]"))
        except AddressValueError:
            raise ValueError("the host in brackets is no IPv6 address") from None
        return address.ipv4_mapped or address
    parts = host.removesuffix(".").split(".")
    if not re.fullmatch(r"[0-9]+|0x[0-9a-f]*", parts[-1]):
        return None
    numbers = [_number(part) for part in parts]
    *leading, last = numbers
    if len(numbers) > 4 or any(number > 255 for number in leading) or last >= 256 ** (5 - len(numbers)):
        raise ValueError("a host that ends in a number must be an IPv4 address, and this is none")
    return IPv4Address(sum(number << (24 - 8 * place) for place, number in enumerate(leading)) + last)


def problem(address: Address, allow_private: bool) -> str | None:
    """What kind of address keeps `address` from being connected to ("a loopback address"), None if nothing does.

    allow_private: admit addresses of the own machine and networks; never those that no server can have, nor the
    metadata services of clouds, which hand out credentials to whoever can ask.
    """
    for judged in _judged(address):
        for network, kind in NEVER if allow_private else NEVER + PRIVATE:
            if judged in network:
                return kind
        admitted = allow_private and any(judged in network for network, _ in PRIVATE)
        if isinstance(judged, IPv6Address) and judged not in GLOBAL_UNICAST and not admitted:
            return "an address outside the public internet"
    return None


def _number(part: str) -> int:
    """One part of an IPv4 address in decimal, octal or hexadecimal."""
    for pattern, base in ((r"0x[0-9a-f]+", 16), (r"0[0-7]*", 8), (r"[1-9][0-9]*", 10)):
        # The longest spelling of four bytes has eleven digits; more only cost time.
        if len(part) <= 64 and re.fullmatch(pattern, part):
            return int(part.removeprefix("0x"), base)
    raise ValueError("a host that ends in a number must be an IPv4 address, and this is none")


def _judged(address: Address) -> list[Address]:
    """The addresses to judge in place of `address`: an IPv6 address may hold the IPv4 address that it leads to."""
    if isinstance(address, IPv4Address):
        return [address]
    embedded = IPv4Address(int(address) & 0xFFFFFFFF)
    if any(address in network for network in EMBEDDING):
        return [embedded]
    # ISATAP puts it into the interface part, under any prefix.
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
        "an address of an abandoned tunnel": "192.88.99.0/24 2001::/23 2002::/16",
    }
)

PRIVATE = _networks(
    {
        "a loopback address": "127.0.0.0/8 ::1",
        "a link-local address": "169.254.0.0/16 fe80::/10",
        "a private address": "10.0.0.0/8 172.16.0.0/12 192.168.0.0/16 fc00::/7 fec0::/10",
        "an address behind a provider's translation": "100.64.0.0/10 192.0.0.0/24 64:ff9b:1::/48",
        "an address for measurements": "198.18.0.0/15",
    }
)
