"""Redirects: which are followed, and how often."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest
from fetching import POLICY, SONG, fetch_from, redirecting
from hostile_server import PUBLIC, Script, Stage, Visit, responding, response, trusting

from acestep_xl.transfer.errors import Failed, Refused


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize(
    ("location", "host", "path"),
    [
        ("https://other.example/b.wav?x=%2F", "other.example", "/b.wav?x=%2F"),
        ("//other.example:8080", "other.example:8080", "/"),
        ("b.wav", "song.example", "/b.wav"),
        ("../../b.wav", "song.example", "/b.wav"),
        ("?x", "song.example", "/a.wav?x"),
    ],
)
def test_redirects_are_followed(status: int, location: str, host: str, path: str) -> None:
    # The next server has no TLS here, so the scheme is http.
    result, served, stage = fetch_from(redirecting(location.replace("https", "http"), status=status))
    assert result.data == SONG and result.url == f"http://{host}{path.split('?')[0]}"
    assert served.paths == ["/a.wav", path] and served.visits[1].headers["host"] == host
    assert "cookie" not in served.visits[1].headers
    assert stage.lookups == ["song.example", host.split(":")[0]]


def test_no_cookies_travel_with_a_redirect() -> None:
    async def script(visit: Visit) -> None:
        await visit.send(response(302, location="/b", set_cookie="a=b") if visit.path != "/b" else response(200, SONG))

    assert "cookie" not in fetch_from(script)[1].visits[1].headers


def test_the_body_of_a_redirect_is_not_read() -> None:
    visits: list[Visit] = []

    async def script(visit: Visit) -> None:
        visits.append(visit)
        if visit.path == "/b":
            assert await visits[0].reader.read() == b""  # the first connection is closed already
            await visit.send(response(200, SONG))
        else:
            await visit.send(b"HTTP/1.1 302 Found\r\nLocation: /b\r\n\r\n" + SONG)
            await asyncio.sleep(60)

    assert fetch_from(script)[0].data == SONG


REDIRECTED = {
    "loopback": ("http://127.0.0.1/", "redirects to http://127.0.0.1/: 127.0.0.1 is a loopback"),
    "loopback in decimal": ("http://2130706433/", "127.0.0.1 is a loopback"),
    "loopback by name": ("http://localhost:8188/prompt", "localhost is this machine"),
    "loopback without a scheme": ("//127.1/", "127.0.0.1 is a loopback"),
    "IPv6": ("http://[::ffff:127.0.0.1]/", "loopback"),
    "metadata": ("http://169.254.169.254/latest/", "metadata"),
    "a name that is private": ("http://inside.example/", "http://inside.example/: its name leads to a private"),
    "file": ("file:///etc/passwd", "scheme 'file'"),
    "gopher": ("gopher://song.example/", "scheme 'gopher'"),
    "data": ("data:audio/wav;base64,AAAA", "not an absolute URL"),
    "port": ("http://song.example:25/", "port 25"),
    "credentials": ("http://me:SECRET@song.example/", "password"),
    "backslash": ("/\\127.0.0.1/", "backslashes"),
    "space": ("http://song.example/ http://127.0.0.1", "spaces"),
    "not Latin": ("http://song.example/\xff", "control characters"),
    "bracket": ("http://[::1", "an invalid URL"),
}


@pytest.mark.parametrize(("location", "reason"), REDIRECTED.values(), ids=REDIRECTED)
def test_redirects_that_the_policy_forbids(location: str, reason: str) -> None:
    script = responding(
        b"HTTP/1.1 302 Found\r\nContent-Length: 0\r\nLocation: " + location.encode("latin-1") + b"\r\n\r\n"
    )
    stage = Stage(0, answers={"inside.example": [["10.1.2.3"]]})
    with pytest.raises(Refused, match=r"^http://") as caught:
        fetch_from(script, stage=stage)
    assert reason in str(caught.value) and "SECRET" not in str(caught.value) and "10.1.2.3" not in str(caught.value)
    # The only connection was to the first address.
    assert stage.connections == [(PUBLIC, 80)]


def test_a_redirect_without_a_location() -> None:
    with pytest.raises(Failed, match="302 without a Location") as caught:
        fetch_from(responding(response(302)))
    assert caught.value.status == 302


@pytest.mark.parametrize(
    "script", [responding(response(302, location="/a.wav")), responding(response(307, location="?again"))]
)
def test_a_redirect_loop(script: Script) -> None:
    stage = Stage(0)
    with pytest.raises(Refused, match="more than 5 times"):
        fetch_from(script, stage=stage)
    assert len(stage.connections) == 6


def test_the_number_of_redirects_is_bounded() -> None:
    chain = [f"http://host{number}.example/" for number in range(5)]
    assert fetch_from(redirecting(*chain))[0].url == chain[-1]
    with pytest.raises(Refused, match="more than 5 times"):
        fetch_from(redirecting(*chain, "http://last.example/"))
    with pytest.raises(Refused, match="more than 0 times"):
        fetch_from(redirecting("/b"), policy=replace(POLICY, max_redirects=0))


def test_no_downgrade_from_https() -> None:
    stage = Stage(0, tls=trusting())
    with pytest.raises(Refused, match="redirects from https to http"):
        fetch_from(redirecting("http://song.example/"), "https://song.example/", stage=stage, tls=True)
    assert stage.connections == [(PUBLIC, 443)]
    stage = Stage(0, tls=trusting())
    assert (
        fetch_from(redirecting("/b"), "https://song.example/", stage=stage, tls=True)[0].url == "https://song.example/b"
    )
