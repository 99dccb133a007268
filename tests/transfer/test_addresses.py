"""IP addresses in every notation, and which of them are forbidden."""

from __future__ import annotations

import ipaddress
import socket

from hypothesis import given
from hypothesis import strategies as st

from acestep_xl.transfer.addresses import forbidden_kind, parse_address


def parsed_by_libc(host: str) -> ipaddress.IPv4Address | None:
    """An IPv4 address in any notation, parsed by the C library."""
    try:
        return ipaddress.IPv4Address(socket.inet_aton(host))
    except OSError:
        return None


@given(st.integers(0, 2**32 - 1), st.integers(1, 4), st.lists(st.sampled_from("doxX"), min_size=4, max_size=4))
def test_every_notation_of_ipv4_is_parsed_as_by_the_c_library(value: int, parts: int, bases: list[str]) -> None:
    numbers = [value >> 24 - 8 * index & 255 for index in range(parts - 1)]
    numbers.append(value & 256 ** (5 - parts) - 1)
    spell = {"d": str, "o": "0{:o}".format, "x": "0x{:x}".format, "X": "0x000{:x}".format}
    host = ".".join(spell[base](number) for base, number in zip(bases, numbers, strict=False))
    assert parse_address(host) == ipaddress.IPv4Address(value) == parsed_by_libc(host)


@given(st.text(alphabet="0123456789abcfx.", min_size=1, max_size=20))
def test_no_address_of_the_c_library_counts_as_a_name(host: str) -> None:
    try:
        address = parse_address(host)
    except ValueError:
        # The parser may be stricter than C, since a rejected host is never connected to.
        return
    assert address == parsed_by_libc(host.removesuffix("."))


ADDRESSES = st.one_of(
    st.ip_addresses(),
    st.ip_addresses(v=6).map(lambda address: ipaddress.IPv6Address(int(address) | 0x2 << 124)),
    st.integers(0, 2**32 - 1).map(lambda value: ipaddress.IPv6Address(0x64FF9B << 96 | value)),
    st.integers(0, 2**32 - 1).map(lambda value: ipaddress.IPv6Address(0xFFFF << 32 | value)),
)


@given(ADDRESSES)
def test_an_allowed_address_is_global_in_python_s_registry(
    address: ipaddress.IPv4Address | ipaddress.IPv6Address,
) -> None:
    target = address
    if address.version == 6 and int(address) >> 32 in (0x64FF9B << 64, 0xFFFF):
        target = ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    if forbidden_kind(address, allow_private=False) is None:
        assert target.is_global and not target.is_multicast
        assert forbidden_kind(address, allow_private=True) is None


def test_every_special_network_of_python_s_registry_is_rejected() -> None:
    for first in range(256):
        for second in (0, 16, 64, 88, 100, 168, 18, 51, 254, 255):
            address = ipaddress.IPv4Address(first << 24 | second << 16 | 0x0101)
            if not address.is_global or address.is_multicast:
                assert forbidden_kind(address, allow_private=False), address
