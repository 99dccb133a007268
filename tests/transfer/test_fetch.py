"""Fetching from hostile servers: each of their tricks is rejected, and nothing internal is contacted."""

from __future__ import annotations

import asyncio
import gzip
import traceback
import tracemalloc
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import aiohttp
import pytest
from hostile_server import PUBLIC, Script, Served, Stage, Visit, response, saying, server_tls, serving, trusting
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from acestep_xl.transfer.errors import Failed, Refused, TransferError
from acestep_xl.transfer.fetch import FetchResult, fetch
from acestep_xl.transfer.network import INTERNET, CheckedResolver, Network, system_lookup
from acestep_xl.transfer.policy import Policy

URL = "http://song.example/a.wav"
POLICY = Policy(max_bytes=100_000, connect_timeout=5, total_timeout=20)
BRIEF = replace(POLICY, total_timeout=0.5)
KEY = "S" + "ECRET"  # so that no source line in a traceback holds it
SONG = bytes(range(256)) * 10
MIB = 2**20


def fetched(
    script: Script, url: str = URL, policy: Policy = POLICY, *, stage: Stage | None = None, tls: bool = False
) -> tuple[FetchResult, Served, Stage]:
    """Fetch `url`; every name that is not listed in `stage` belongs to a server that runs `script`."""
    stage = stage or Stage(0)

    async def main() -> tuple[FetchResult, Served, Stage]:
        async with serving(script, server_tls() if tls else None) as served:
            stage.port = served.port
            return await fetch(url, policy, network=stage.network), served, stage

    return asyncio.run(main())


def redirecting(*locations: str, status: int = 302) -> Script:
    """Redirects along `locations`, whatever is requested, and finally serves the song."""
    remaining = list(locations)

    async def script(visit: Visit) -> None:
        await visit.say(response(status, location=remaining.pop(0)) if remaining else response(200, SONG))

    return script


def endless(beginning: bytes, repeated: bytes) -> Script:
    """A beginning, and then the same bytes for as long as the client reads."""

    async def script(visit: Visit) -> None:
        await visit.say(beginning)
        while True:
            await visit.say(repeated)

    return script


def slowly(data: bytes, beginning: bytes = b"") -> Script:
    """A beginning at once, then a byte every 20 ms."""

    async def script(visit: Visit) -> None:
        await visit.say(beginning)
        for byte in data:
            await visit.say(bytes([byte]))
            await asyncio.sleep(0.02)

    return script


def test_an_honest_server() -> None:
    result, served, stage = fetched(
        saying(response(200, SONG, content_type="Audio/WAV; codecs=1")), f"{URL}?X-Sig=a%2Bb"
    )
    assert result == FetchResult(SONG, "audio/wav", URL)
    assert served.paths == ["/a.wav?X-Sig=a%2Bb"]
    assert stage.lookups == ["song.example"] and stage.connections == [(PUBLIC, 80)]
    headers = served.visits[0].headers
    assert headers["host"] == "song.example" and headers["accept-encoding"] == "identity"
    assert not {"cookie", "authorization", "referer", "proxy-authorization"} & headers.keys()


@pytest.mark.parametrize(
    "answer",
    [
        response(200, SONG, content_length="", connection="close"),
        response(200, b"a00\r\n" + SONG + b"\r\n0\r\n\r\n", transfer_encoding="chunked"),
        response(200, b"a00;name=value\r\n" + SONG + b"\r\n0\r\nTrailer: x\r\n\r\n", transfer_encoding="chunked"),
        response(200, SONG, content_encoding="identity"),
        b"HTTP/1.1 103 Hints\r\nLink: x\r\n\r\n" + response(200, SONG),
    ],
)
def test_every_valid_way_to_send_a_body(answer: bytes) -> None:
    assert fetched(saying(answer))[0] == FetchResult(SONG, None, URL)


def test_a_body_of_exactly_the_limit() -> None:
    assert len(fetched(saying(response(200, b"a" * 100_000)))[0].data) == 100_000


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
    result, served, stage = fetched(redirecting(location.replace("https", "http"), status=status))
    assert result.data == SONG and result.url == f"http://{host}{path.split('?')[0]}"
    assert served.paths == ["/a.wav", path] and served.visits[1].headers["host"] == host
    assert "cookie" not in served.visits[1].headers
    assert stage.lookups == ["song.example", host.split(":")[0]]


def test_no_cookies_travel_with_a_redirect() -> None:
    async def script(visit: Visit) -> None:
        await visit.say(response(302, location="/b", set_cookie="a=b") if visit.path != "/b" else response(200, SONG))

    assert "cookie" not in fetched(script)[1].visits[1].headers


def test_the_body_of_a_redirect_is_not_read() -> None:
    visits: list[Visit] = []

    async def script(visit: Visit) -> None:
        visits.append(visit)
        if visit.path == "/b":
            assert await visits[0].reader.read() == b""  # the first connection is closed already
            await visit.say(response(200, SONG))
        else:
            await visit.say(b"HTTP/1.1 302 Found\r\nLocation: /b\r\n\r\n" + SONG)
            await asyncio.sleep(60)

    assert fetched(script)[0].data == SONG


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
    script = saying(b"HTTP/1.1 302 Found\r\nContent-Length: 0\r\nLocation: " + location.encode("latin-1") + b"\r\n\r\n")
    stage = Stage(0, answers={"inside.example": [["10.1.2.3"]]})
    with pytest.raises(Refused, match=r"^http://") as caught:
        fetched(script, stage=stage)
    assert reason in str(caught.value) and "SECRET" not in str(caught.value) and "10.1.2.3" not in str(caught.value)
    # The only connection was to the first address.
    assert stage.connections == [(PUBLIC, 80)]


def test_a_redirect_without_a_location() -> None:
    with pytest.raises(Failed, match="302 without a Location") as caught:
        fetched(saying(response(302)))
    assert caught.value.status == 302


@pytest.mark.parametrize("script", [saying(response(302, location="/a.wav")), saying(response(307, location="?again"))])
def test_a_redirect_loop(script: Script) -> None:
    stage = Stage(0)
    with pytest.raises(Refused, match="more than 5 times"):
        fetched(script, stage=stage)
    assert len(stage.connections) == 6


def test_the_number_of_redirects_is_bounded() -> None:
    chain = [f"http://host{number}.example/" for number in range(5)]
    assert fetched(redirecting(*chain))[0].url == chain[-1]
    with pytest.raises(Refused, match="more than 5 times"):
        fetched(redirecting(*chain, "http://last.example/"))
    with pytest.raises(Refused, match="more than 0 times"):
        fetched(redirecting("/b"), policy=replace(POLICY, max_redirects=0))


FORBIDDEN_ANSWERS = {
    "private": ["192.168.1.1"],
    "loopback": ["127.0.0.1"],
    "loopback 6": ["::1"],
    "link-local with a zone": ["fe80::1%lo"],
    "unique local": ["fd00::1"],
    "unspecified": ["0.0.0.0"],
    "mapped": ["::ffff:10.0.0.1"],
    "translated": ["64:ff9b::7f00:1"],
    "6to4": ["2002:7f00:1::"],
    "shared": ["100.64.0.1"],
    "metadata": ["169.254.169.254"],
    "public and private": [PUBLIC, "10.0.0.1"],
    "many public and a private": [*(f"93.184.216.{last}" for last in range(40)), "10.0.0.1"],
}


@pytest.mark.parametrize("answers", FORBIDDEN_ANSWERS.values(), ids=FORBIDDEN_ANSWERS)
def test_names_with_forbidden_addresses(answers: list[str]) -> None:
    stage = Stage(0, answers={"song.example": [answers]})
    with pytest.raises(
        Refused, match=r"http://song.example/a.wav: its name leads to (an?|the) .*, which is not allowed"
    ):
        fetched(saying(response(200, SONG)), f"{URL}?{KEY}", stage=stage)
    assert stage.connections == []


def test_a_name_is_resolved_once_per_connection() -> None:
    stage = Stage(0, answers={"song.example": [[PUBLIC], ["127.0.0.1"]]})
    assert fetched(saying(response(200, SONG)), stage=stage)[0].data == SONG
    assert stage.lookups == ["song.example"] and stage.connections == [(PUBLIC, 80)]


def test_a_name_is_checked_again_after_a_redirect() -> None:
    stage = Stage(0, answers={"song.example": [[PUBLIC], ["127.0.0.1"]]})
    with pytest.raises(Refused, match="its name leads to a loopback address"):
        fetched(redirecting("/b"), stage=stage)
    assert stage.lookups == ["song.example"] * 2 and stage.connections == [(PUBLIC, 80)]


def test_private_addresses_can_be_allowed() -> None:
    stage = Stage(0, answers={"song.example": [["10.0.0.1", "fd00::1"]]})
    policy = replace(POLICY, allow_private=True)
    assert fetched(saying(response(200, SONG)), policy=policy, stage=stage)[0].data == SONG
    assert stage.connections == [("10.0.0.1", 80), ("fd00::1", 80)]
    stage.answers["song.example"] = [["10.0.0.1", "169.254.169.254"]]
    with pytest.raises(Refused, match="metadata"):
        fetched(saying(response(200, SONG)), policy=policy, stage=stage)


def test_names_without_addresses() -> None:
    async def nobody(host: str) -> list[str]:
        raise OSError(f"unknown {host}")

    async def nothing(host: str) -> list[str]:
        return []

    for lookup in (nobody, nothing):
        with pytest.raises(Failed, match="its name cannot be resolved"):
            asyncio.run(fetch(URL, POLICY, network=Network(lookup=lookup)))


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "2130706433"])
def test_the_real_network(host: str) -> None:
    """This machine's own names and sockets, without a stage."""

    async def main() -> None:
        async with serving(saying(response(200, SONG))) as served:
            url = f"http://{host}:{served.port}/a.wav"
            assert (await fetch(url, replace(POLICY, allow_private=True))).data == SONG
            with pytest.raises(Refused):
                await fetch(url, POLICY)
            assert served.paths == ["/a.wav"]

    asyncio.run(main())


def test_the_system_s_answers_are_checked() -> None:
    async def main() -> None:
        assert set(await system_lookup("localhost")) & {"127.0.0.1", "::1"}
        with pytest.raises(Refused, match="leads to a loopback address"):
            await CheckedResolver(POLICY, INTERNET).resolve("localhost", 80)
        entries = await CheckedResolver(replace(POLICY, allow_private=True), INTERNET).resolve("localhost", 80)
        assert all(entry["port"] == 80 and entry["host"] in ("127.0.0.1", "::1") for entry in entries)

    asyncio.run(main())


def chunk(data: bytes) -> bytes:
    return f"{len(data):x}\r\n".encode() + data + b"\r\n"


HEAD = b"HTTP/1.1 200 So\r\n"
CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"
BOMB = gzip.compress(bytes(10 * MIB))

# What the server does -> the error and a part of its reason.
TRICKS: dict[str, tuple[Script, type[TransferError], str]] = {
    "endless body": (endless(HEAD + b"\r\n", b"a" * 65536), Refused, "longer than the 100000 bytes"),
    "endless chunks": (endless(CHUNKED, chunk(b"a" * 65536)), Refused, "longer than the 100000 bytes"),
    "one byte too many": (saying(response(200, b"a" * 100_001)), Refused, "longer than"),
    "one byte too many, unannounced": (saying(response(200, b"a" * 100_001, content_length="")), Refused, "longer"),
    "announces too much": (saying(response(content_length="100001")), Refused, "longer than"),
    "announces 10^30 bytes": (saying(response(content_length="1" + "0" * 30)), Failed, "not valid HTTP"),
    "announces more than it sends": (saying(response(200, SONG, content_length="5000")), Failed, "incomplete"),
    "announces less than none": (saying(response(content_length="-1")), Failed, "not valid HTTP"),
    "two lengths": (saying(HEAD + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\nab"), Failed, "not valid HTTP"),
    "breaks off within a chunk": (saying(CHUNKED + b"ff\r\nabc"), Failed, "incomplete"),
    "breaks off between chunks": (saying(CHUNKED + chunk(b"abc")), Failed, "incomplete"),
    "chunks of no size": (saying(CHUNKED + b"zz\r\nabc"), Failed, ""),
    "gzip": (saying(response(200, BOMB, content_encoding="gzip")), Refused, "compressed"),
    "gzip in capitals": (saying(response(200, BOMB, content_encoding=" GZip ")), Refused, "compressed"),
    "deflate": (saying(response(200, BOMB, content_encoding="deflate")), Refused, "compressed"),
    "brotli": (saying(response(200, BOMB, content_encoding="br")), Refused, "compressed"),
    "zstd": (saying(response(200, BOMB, content_encoding="zstd")), Refused, "compressed"),
    "twice": (saying(response(200, BOMB, content_encoding="identity, gzip")), Refused, "compressed"),
    "gzip as transfer": (
        saying(HEAD + b"Transfer-Encoding: gzip, chunked\r\n\r\n" + chunk(BOMB)),
        Refused,
        "compressed",
    ),
    "long header": (saying(response(x="a" * 20_000)), Failed, "too long"),
    "long header name": (saying(HEAD + b"a" * 20_000 + b": b\r\n\r\n"), Failed, "too long"),
    "long status": (saying(b"HTTP/1.1 200 " + b"a" * 20_000 + b"\r\n\r\n"), Failed, "too long"),
    "header without end": (endless(HEAD + b"X: ", b"a" * 65536), Failed, "too long"),
    "no HTTP": (saying(b"220 mail.example ESMTP\r\n"), Failed, "not valid HTTP"),
    "HTTP 0.9": (saying(SONG), Failed, "not valid HTTP"),
    "nothing": (saying(b""), Failed, "without a response"),
    "half a header": (saying(HEAD + b"Content-"), Failed, ""),
    "slow header": (slowly(response(200, SONG)), Failed, "not complete after 0.5 seconds"),
    "slow body": (slowly(SONG, HEAD + b"\r\n"), Failed, "not complete after 0.5 seconds"),
    "only promises": (endless(b"", b"HTTP/1.1 100 Continue\r\n\r\n"), Failed, "not complete after 0.5 seconds"),
    "silence": (lambda visit: asyncio.sleep(60), Failed, "not complete after 0.5 seconds"),
    "404": (saying(response(404, b"no")), Failed, "status 404"),
    "500": (saying(response(500)), Failed, "status 500"),
    "204": (saying(response(204)), Failed, "status 204"),
    "206": (saying(response(206, b"a", content_range="bytes 0-0/9")), Failed, "status 206"),
    "101": (saying(b"HTTP/1.1 101 Up\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n"), Failed, "status 101"),
}
TIMED_OUT = {"slow header", "slow body", "only promises", "silence"}


@pytest.mark.parametrize("trick", TRICKS)
def test_tricks_of_servers(trick: str) -> None:
    script, kind, reason = TRICKS[trick]
    with pytest.raises(kind) as caught:
        fetched(script, f"{URL}?{KEY}", BRIEF if trick in TIMED_OUT else POLICY)
    assert str(caught.value).startswith(f"{URL}: ") and reason in caught.value.reason
    assert caught.value.url == URL and isinstance(caught.value.status, int) == ("status" in reason)
    assert KEY not in "".join(traceback.format_exception(caught.value))


def test_a_header_line_that_never_ends() -> None:
    with pytest.raises(Failed, match="not complete"):
        fetched(slowly(HEAD + b"X-" + b"a" * 1000), policy=BRIEF)


COUNTED = tuple(int(part) for part in aiohttp.__version__.split(".")[:3] if part.isdigit()) >= (3, 13, 4)


@pytest.mark.skipif(not COUNTED, reason="aiohttp counts headers from 3.13.4 on; before that only the time bounds them")
def test_a_flood_of_headers() -> None:
    flood = b"".join(b"X-%d: a\r\n" % number for number in range(1000))
    for script in (saying(HEAD + flood + b"\r\n"), endless(HEAD, flood)):
        with pytest.raises(Failed, match="too many"):
            fetched(script)


FLOODS = {
    "body": (endless(HEAD + b"\r\n", b"a" * 65536), "longer than the 4194304 bytes"),
    "tiny chunks": (endless(CHUNKED, chunk(b"a") * 1000), "longer than the 65536 bytes"),
    "header": (endless(HEAD + b"X: ", b"a" * 65536), "too long"),
    "hints": (endless(b"", b"HTTP/1.1 103 Hints\r\nLink: x\r\n\r\n" * 100), "not complete"),
    "chunk extension": (endless(CHUNKED + b"1;", b"a" * 65536), ""),
    "trailers": (endless(CHUNKED + b"0\r\n", b"X-Trailer: a\r\n" * 1000), ""),
}


@pytest.mark.parametrize("flood", FLOODS)
def test_memory_stays_bounded(flood: str) -> None:
    script, reason = FLOODS[flood]
    if flood == "trailers" and not COUNTED:
        pytest.skip("aiohttp counts trailers from 3.13.4 on")
    policy = Policy(
        max_bytes=MIB // 16 if flood == "tiny chunks" else 4 * MIB, total_timeout=30 if "longer" in reason else 0.5
    )
    tracemalloc.start()
    try:
        with pytest.raises(TransferError) as caught:
            fetched(script, policy=policy)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert reason in caught.value.reason
    # Beyond the allowed bytes: the buffers of both sides, which share this process.
    assert peak < 6 * MIB, f"{peak / MIB:.1f} MiB"


@pytest.mark.parametrize(
    ("stated", "allowed"),
    [
        ({"content_type": "audio/wav"}, True),
        ({"content_type": "AUDIO/WAV;x=y"}, True),
        ({"content_type": "video/mp4"}, True),
        ({"content_type": "text/html"}, False),
        ({"content_type": "audio"}, False),
        ({"content_type": "video/mp4x"}, False),
        ({"content_type": "text/html, audio/wav"}, False),
        ({}, False),
    ],
)
def test_declared_types_are_checked_against_the_list(stated: dict[str, str], allowed: bool) -> None:
    script = saying(response(200, SONG, **stated))
    assert fetched(script)[0].data == SONG
    policy = replace(POLICY, media_types=("audio/*", "video/mp4"))
    if allowed:
        assert fetched(script, policy=policy)[0].data == SONG
    else:
        with pytest.raises(Refused, match=r"the media type is .*; allowed: audio/\*, video/mp4"):
            fetched(script, policy=policy)


def test_certificates_are_verified() -> None:
    script = saying(response(200, SONG))
    url = "https://song.example/a.wav"
    with pytest.raises(Failed, match="its certificate cannot be verified"):
        fetched(script, url, tls=True)
    assert fetched(script, url, stage=Stage(0, tls=trusting()), tls=True)[0] == FetchResult(SONG, None, url)
    with pytest.raises(Failed, match="its certificate cannot be verified"):
        fetched(script, "https://other.example/a.wav", stage=Stage(0, tls=trusting()), tls=True)


def test_a_server_without_tls() -> None:
    async def greet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 mail.example ESMTP\r\n")
        await writer.drain()
        writer.close()

    async def main() -> None:
        async with await asyncio.start_server(greet, "127.0.0.1", 0) as server:
            stage = Stage(server.sockets[0].getsockname()[1])
            with pytest.raises(Failed, match="no TLS connection can be made"):
                await fetch("https://song.example/", POLICY, network=stage.network)

    asyncio.run(main())


def test_no_downgrade_from_https() -> None:
    stage = Stage(0, tls=trusting())
    with pytest.raises(Refused, match="redirects from https to http"):
        fetched(redirecting("http://song.example/"), "https://song.example/", stage=stage, tls=True)
    assert stage.connections == [(PUBLIC, 443)]
    stage = Stage(0, tls=trusting())
    assert fetched(redirecting("/b"), "https://song.example/", stage=stage, tls=True)[0].url == "https://song.example/b"


def test_the_environment_is_ignored(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("machine song.example login me password SECRET\ndefault login me password SECRET\n")
    monkeypatch.setenv("NETRC", str(netrc))
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://me:SECRET@127.0.0.1:9")
    _, served, _ = fetched(saying(response(200, SONG)))
    assert served.paths == ["/a.wav"] and "SECRET" not in served.visits[0].head
    assert "authorization" not in served.visits[0].headers


def test_nobody_listening() -> None:
    async def main() -> None:
        async with serving(saying(b"")) as served:
            port = served.port
        stage = Stage(port)
        with pytest.raises(Failed, match="no connection can be made") as caught:
            await fetch(f"{URL}?{KEY}", POLICY, network=stage.network)
        assert KEY not in "".join(traceback.format_exception(caught.value))

    asyncio.run(main())


@pytest.mark.parametrize("hang", ["lookup", "connect"])
def test_connecting_is_limited_in_time(hang: str) -> None:
    async def never(host: str) -> list[str]:
        await asyncio.sleep(60)
        return [PUBLIC]

    async def main() -> None:
        async with serving(saying(b""), None) as served:
            network = Stage(served.port).network
            if hang == "lookup":
                network = replace(network, lookup=never)
            url = URL if hang == "lookup" else "https://song.example/"  # a TLS handshake without a reply
            with pytest.raises(Failed, match="no connection within the connect timeout"):
                await fetch(url, replace(POLICY, connect_timeout=0.3), network=network)

    asyncio.run(main())


def test_cancelling_a_fetch_closes_its_connection() -> None:
    disconnected = asyncio.Event()

    async def script(visit: Visit) -> None:
        await visit.say(HEAD + b"\r\n" + SONG)
        await visit.reader.read()
        disconnected.set()

    async def main() -> None:
        async with serving(script) as served:
            task = asyncio.create_task(fetch(URL, POLICY, network=Stage(served.port).network))
            while not served.visits:
                await asyncio.sleep(0.01)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            await asyncio.wait_for(disconnected.wait(), 10)

    asyncio.run(main())


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.binary(max_size=300) | st.binary(max_size=300).map(lambda noise: HEAD + noise))
def test_any_bytes_as_a_response(noise: bytes) -> None:
    try:
        result = fetched(saying(noise), policy=BRIEF)[0]
    except TransferError:
        return
    assert result.data in noise or b"chunked" in noise.lower()


@pytest.mark.parametrize("make", [lambda: fetch("file:///etc/passwd", POLICY), lambda: fetch("http://[::1]/", POLICY)])
def test_rejected_before_anything_is_opened(make: Callable[[], object]) -> None:
    with pytest.raises(Refused):
        asyncio.run(make())  # type: ignore[arg-type]  # both are coroutines
