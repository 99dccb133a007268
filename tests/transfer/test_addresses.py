"""Which hosts may be connected to, in every notation."""

from __future__ import annotations

import ipaddress
import socket

import pytest
from hypothesis import given
from hypothesis import strategies as st

from acestep_xl.transfer.addresses import forbidden_kind, parse_address
from acestep_xl.transfer.errors import Refused, redacted
from acestep_xl.transfer.policy import BLOCKED_PORTS, Policy, check_url, parse_url

OPEN, CLOSED = Policy(allow_private=True), Policy()

# One rejected URL per line, and a part of the reason.
NEVER_ALLOWED = """
file:///etc/passwd                              | scheme 'file'
ftp://song.example/a.wav                        | scheme 'ftp'
gopher://song.example:70/_GET                   | scheme 'gopher'
ws://song.example/                              | scheme 'ws'
javascript://song.example/%0aalert(1)           | scheme
data:audio/wav;base64,AAAA                      | not an absolute URL
http:/song.example/                             | not an absolute URL
http:song.example                               | not an absolute URL
//song.example/a.wav                            | not an absolute URL
/etc/passwd                                     | not an absolute URL
../../etc/passwd                                | not an absolute URL
C:\\songs\\a.wav                                | backslashes
http:\\\\song.example\\a.wav                    | backslashes
http://song.example\\@127.0.0.1/                | backslashes
http://127.0.0.1\\.song.example/                | backslashes
http://song.example/a b.wav                     | spaces
http://user:secret@song.example/                | password
http://song.example@127.0.0.1/                  | password
http://@song.example/                           | password
http://:@song.example/                          | password
http:///a.wav                                   | no valid host
http://:80/a.wav                                | no valid host
http://?a.wav                                   | no valid host
http://song.example:80:80/                      | no valid host
http://song.example:+80/                        | no valid host
http://song.example:8 0/                        | spaces
http://song.example:\uff18\uff10/               | no valid host
http://song.example:0/                          | port 0
http://song.example:22/                         | port 22
http://song.example:25/                         | port 25
http://song.example:6667/                       | port 6667
http://song.example:65536/                      | port 65536
http://song.example:99999/                      | port 99999
http://song..example/                           | domain name
http://.song.example/                           | domain name
http://-song.example/                           | domain name
http://song.example../                          | domain name
http://song%2eexample/                          | domain name
http://127%2e0%2e0%2e1/                         | domain name
http://song.example%00.evil.example/            | domain name
http://so*ng.example/                           | domain name
http://song\uff0fx.example/                     | not a valid
http://a\u2100b.example/                        | domain name
http://xn--\uff0f.example/                      | domain name
http://[::1/                                    | no valid host
http://::1/                                     | no valid host
http://[::1]x/                                  | no valid host
http://[]/                                      | not an IPv6
http://[127.0.0.1]/                             | not an IPv6
http://[v1.a]/                                  | not an IPv6
http://[::1%25lo]/                              | zone
http://[fe80::1%eth0]/                          | zone
http://256.256.256.256/                         | must be an IPv4
http://1.2.3.4.5/                               | must be an IPv4
http://127.0.0.08/                              | must be an IPv4
http://4294967296/                              | must be an IPv4
http://song.0x7f/                               | must be an IPv4
http://0.0.0.0/                                 | unspecified
http://0/                                       | unspecified
http://0x/                                      | must be an IPv4
http://[::]/                                    | unspecified
http://[::ffff:0.0.0.0]/                        | unspecified
http://224.0.0.1/                               | multicast
http://[ff02::1]/                               | multicast
http://255.255.255.255/                         | reserved
http://240.1.1.1/                               | reserved
http://192.0.2.7/                               | documentation
http://[2001:db8::1]/                           | documentation
http://[2002:7f00:1::]/                         | tunnel
http://[2001:0:7f00:1::]/                       | tunnel
http://169.254.169.254/latest/meta-data/        | metadata
http://[::ffff:169.254.169.254]/                | metadata
http://[64:ff9b::a9fe:a9fe]/                    | metadata
http://2852039166/                              | metadata
http://\u2460\u2465\u2468.254.169.254/          | metadata
http://168.63.129.16/machine                    | metadata
http://100.100.100.200/                         | metadata
http://[fd00:ec2::254]/                         | metadata
"""

# Not representable in the table.
CONTROL = [
    "/a\x00.wav",
    "/a\t.wav",
    "/\r\nHost:%20inside",
    "/a\n",
    "/\x7f",
    "/\x85",
    "/\u2028",
    "/\u200b",
    "/\ud800",
    "\t.example/",
]

# Rejected unless private addresses are allowed.
PRIVATE = """
http://localhost/                               | this machine
http://LocalHost:8188/                          | this machine
http://localhost./                              | this machine
http://songs.localhost/                         | this machine
http://127.0.0.1/                               | 127.0.0.1 is a loopback
http://127.0.0.1./                              | 127.0.0.1 is a loopback
http://127.255.255.254/                         | loopback
http://127.1/                                   | 127.0.0.1 is a loopback
http://2130706433/                              | 127.0.0.1 is a loopback
http://0x7f000001/                              | 127.0.0.1 is a loopback
http://0X7F.1/                                  | 127.0.0.1 is a loopback
http://0x7f.0x0.0x0.0x1/                        | 127.0.0.1 is a loopback
http://0177.0.0.01/                             | 127.0.0.1 is a loopback
http://017700000001/                            | 127.0.0.1 is a loopback
http://127.0x1/                                 | 127.0.0.1 is a loopback
http://0000000177.1/                            | 127.0.0.1 is a loopback
http://\uff11\uff12\uff17.0.0.1/                | 127.0.0.1 is a loopback
http://127\u30020\u30020\u30021/                | 127.0.0.1 is a loopback
http://\u2460\u2461\u2466.\u24ea.\u24ea.\u2460/ | 127.0.0.1 is a loopback
http://[::1]/                                   | loopback
http://[0:0:0:0:0:0:0:1]:8188/                  | loopback
http://[::ffff:127.0.0.1]/                      | loopback
http://[::ffff:7f00:1]/                         | loopback
http://[::ffff:0:127.0.0.1]/                    | loopback
http://[64:ff9b::7f00:1]/                       | loopback
http://[64:ff9b::10.0.0.1]/                     | private
http://10.0.0.1/                                | private
http://172.16.0.1/                              | private
http://172.31.255.255/                          | private
http://192.168.1.1/                             | private
http://0xc0a80101/                              | 192.168.1.1 is a private
http://[fd12:3456::1]/                          | private
http://[fc00::]/                                | private
http://[fec0::1]/                               | private
http://169.254.1.1/                             | link-local
http://[fe80::1]/                               | link-local
http://[fe80::5efe:8.8.8.8]/                    | link-local
http://[2606:4700::5efe:10.0.0.1]/              | private
http://100.64.0.1/                              | carrier-grade NAT
http://100.127.255.255/                         | carrier-grade NAT
http://192.0.0.1/                               | carrier-grade NAT
http://[64:ff9b:1::1]/                          | carrier-grade NAT
http://198.18.0.1/                              | benchmarking
"""

# URL -> the URL that is connected to, None for the same.
ALLOWED = {
    "https://song.example/a.wav": None,
    "http://song.example:80/": "http://song.example/",
    "HTTPS://Song.Example:8443/A.wav": "https://song.example:8443/A.wav",
    "https://song.example": "https://song.example/",
    "https://song.example?a=1": "https://song.example/?a=1",
    "https://song.example./a": None,
    "https://song.example:/a": "https://song.example/a",
    "https://bücher.example/ü?ü": "https://xn--bcher-kva.example/%C3%BC?%C3%BC",
    "https://my_bucket.s3.example/a": None,
    # The part that a signature covers is unchanged.
    "https://song.example/a%2Fb/../c;d=%7E?X-Sig=a%2Bb+c&d=%zz#fragment": "https://song.example/a%2Fb/../c;d=%7E?X-Sig=a%2Bb+c&d=%zz",
    "http://8.8.8.8/": None,
    "http://8.8/": "http://8.0.0.8/",
    "http://134744072/": "http://8.8.8.8/",
    "http://[2606:4700::1111]:8080/": None,
    "http://[2606:4700:0:0::1111]/": "http://[2606:4700::1111]/",
    "http://[::ffff:8.8.8.8]/": "http://8.8.8.8/",
    "http://11.0.0.1/": None,
    "http://100.63.255.255/": None,
    "http://100.128.0.0/": None,
    "http://172.15.0.1/": None,
    "http://172.32.0.1/": None,
    "http://192.167.0.1/": None,
    "http://223.255.255.255/": None,
    "http://7f.example/": None,
    "http://1e100.example/": None,
}


def rows(table: str) -> list[tuple[str, str]]:
    lines = [line.rpartition("|") for line in table.strip("\n").split("\n")]
    return [(url.rstrip(" "), reason.strip()) for url, _, reason in lines]


def parsed_by_libc(host: str) -> ipaddress.IPv4Address | None:
    """An IPv4 address in any notation, parsed by the C library."""
    try:
        return ipaddress.IPv4Address(socket.inet_aton(host))
    except OSError:
        return None


@pytest.mark.parametrize(("url", "reason"), rows(NEVER_ALLOWED))
def test_urls_that_no_policy_allows(url: str, reason: str) -> None:
    for policy in (CLOSED, OPEN):
        assert reason in (check_url(url, policy) or "allowed"), policy


@pytest.mark.parametrize("tail", CONTROL)
def test_no_control_characters_in_a_url(tail: str) -> None:
    assert "spaces, backslashes or control characters" in (
        check_url(f"http://song.example{tail}", CLOSED) or "admitted"
    )


@pytest.mark.parametrize(("url", "reason"), rows(PRIVATE))
def test_private_hosts_need_permission(url: str, reason: str) -> None:
    assert reason in (check_url(url, CLOSED) or "allowed")
    assert check_url(url, OPEN) is None


@pytest.mark.parametrize(("url", "connected"), ALLOWED.items())
def test_allowed_urls_and_what_is_connected_to(url: str, connected: str | None) -> None:
    assert str(parse_url(url, CLOSED)) == (connected or url)
    assert check_url(url, OPEN) is None


def test_the_canonical_address_is_connected_to() -> None:
    assert parse_url("http://0x7f.1:8188/a", OPEN).host == "127.0.0.1"
    assert parse_url("http://[::ffff:7f00:1]/", OPEN).host == "127.0.0.1"


def test_http_can_be_forbidden() -> None:
    policy = Policy(allow_http=False)
    assert check_url("http://song.example/", policy) == "http is not allowed here, only https"
    assert check_url("https://song.example/", policy) is None


def test_ports() -> None:
    ports = [*range(11_000), *range(65_000, 66_000)]
    allowed = {port for port in ports if check_url(f"http://song.example:{port}/", CLOSED) is None}
    assert allowed == {port for port in ports if port in (80, 443) or 1024 <= port <= 65535} - BLOCKED_PORTS


def test_the_length_of_a_url_is_limited() -> None:
    url = "https://song.example/" + "a" * 8000
    assert "at most 8000" in (check_url(url, CLOSED) or "")
    assert check_url(url[:8000], CLOSED) is None


@pytest.mark.parametrize(
    "limits", [{"max_bytes": 0}, {"connect_timeout": 0}, {"total_timeout": float("nan")}, {"max_redirects": -1}]
)
def test_a_policy_without_limits_is_rejected(limits: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=next(iter(limits))):
        Policy(**limits)  # type: ignore[arg-type]  # the point


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
        # It may be stricter than C: a rejected host is not connected to.
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
    judged = address
    if address.version == 6 and int(address) >> 32 in (0x64FF9B << 64, 0xFFFF):
        judged = ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    if forbidden_kind(address, allow_private=False) is None:
        assert judged.is_global and not judged.is_multicast
        assert forbidden_kind(address, allow_private=True) is None


def test_every_special_network_of_python_s_registry_is_rejected() -> None:
    for first in range(256):
        for second in (0, 16, 64, 88, 100, 168, 18, 51, 254, 255):
            address = ipaddress.IPv4Address(first << 24 | second << 16 | 0x0101)
            if not address.is_global or address.is_multicast:
                assert forbidden_kind(address, allow_private=False), address


@given(st.text(max_size=60) | st.from_regex(r"https?://[^ ]{1,40}", fullmatch=True))
def test_any_text_is_parsed_or_refused(url: str) -> None:
    try:
        target = parse_url(url, CLOSED)
    except Refused as refused:
        assert refused.reason and "\n" not in str(refused)
    else:
        assert target.scheme in ("http", "https") and target.raw_host and target.user is None
        assert (
            str(target).isascii()
            and check_url(str(target), CLOSED) is None
            and str(parse_url(str(target), CLOSED)) == str(target)
        )


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("https://song.example/a.wav?X-Sig=SECRET#SECRET", "https://song.example/a.wav"),
        ("https://me:SECRET@song.example/a", "https://…@song.example/a"),
        ("https://me:SEC/RET@song.example/a", "https://…@song.example/a"),
        ("https://me:SECRET@[song.example", "https://…@[song.example"),
        ("data:audio/wav;base64,SECRET", "data:…"),
        ("http:\\\\me:SECRET@song.example", "http:…"),
        ("me:SECRET@song.example/a", "me:…"),
        ("SECRET", "…"),
        ("me SECRET:x", "…"),
        ("https://song.example/\r\n\x1b[31m", "https://song.example/???[31m"),
        ("https://song.example/" + "a" * 300, "https://song.example/" + "a" * 178 + "…"),
    ],
)
def test_what_is_shown_of_a_url(url: str, shown: str) -> None:
    assert redacted(url) == shown
    assert str(Refused(url, "no.")) == f"{shown}: no."


@given(st.text(max_size=40), st.sampled_from(["https://a/b?{}", "https://{}@a/b", "https://a/#{}", "data:{}", "x {}"]))
def test_no_secret_is_shown(noise: str, pattern: str) -> None:
    assert "SECRET" not in redacted(pattern.format(noise + "SECRET" + noise))
