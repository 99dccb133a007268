"""Which URLs a policy allows, in every notation of their hosts."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from acestep_xl.transfer.errors import Refused
from acestep_xl.transfer.policy import BLOCKED_PORTS, Policy, check_url, parse_url

OPEN, CLOSED = Policy(allow_private=True), Policy()

# A rejected URL and part of the reason per line.
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

# What follows the host; the table above cannot hold these characters.
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

# URL -> the URL that is connected to; None if it is the same.
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
    """(URL, reason) per line of a table."""
    lines = [line.rpartition("|") for line in table.strip("\n").split("\n")]
    return [(url.rstrip(" "), reason.strip()) for url, _, reason in lines]


@pytest.mark.parametrize(("url", "reason"), rows(NEVER_ALLOWED))
def test_urls_that_no_policy_allows(url: str, reason: str) -> None:
    for policy in (CLOSED, OPEN):
        assert reason in (check_url(url, policy) or "allowed"), policy


@pytest.mark.parametrize("tail", CONTROL)
def test_no_control_characters_in_a_url(tail: str) -> None:
    assert "spaces, backslashes or control characters" in (check_url(f"http://song.example{tail}", CLOSED) or "allowed")


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
        Policy(**limits)  # type: ignore[arg-type]  # the values are invalid on purpose


@given(st.text(max_size=60) | st.from_regex(r"https?://[^ ]{1,40}", fullmatch=True))
def test_any_text_is_parsed_or_refused(url: str) -> None:
    try:
        target = parse_url(url, CLOSED)
    except Refused as refused:
        assert refused.reason and "\n" not in str(refused)
    else:
        assert target.scheme in ("http", "https") and target.raw_host and target.user is None
        assert str(target).isascii()
        assert check_url(str(target), CLOSED) is None
        assert str(parse_url(str(target), CLOSED)) == str(target)
