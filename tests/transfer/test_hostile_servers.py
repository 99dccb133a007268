"""Hostile servers: each of their tricks is rejected, within bounds of time and memory."""

from __future__ import annotations

import asyncio
import gzip
import traceback
import tracemalloc

import aiohttp
import pytest
from fetching import BRIEF, HEAD, KEY, POLICY, SONG, URL, fetch_from
from hostile_server import (
    Script,
    endless,
    responding,
    response,
    slowly,
)
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from acestep_xl.transfer.errors import Failed, Refused, TransferError
from acestep_xl.transfer.policy import Policy

MIB = 2**20


def chunk(data: bytes) -> bytes:
    """One chunk of a body in chunked transfer encoding."""
    return f"{len(data):x}\r\n".encode() + data + b"\r\n"


CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"
BOMB = gzip.compress(bytes(10 * MIB))

# What the server does -> its script, the error, and part of the reason.
TRICKS: dict[str, tuple[Script, type[TransferError], str]] = {
    "endless body": (endless(HEAD + b"\r\n", b"a" * 65536), Refused, "longer than the 100000 bytes"),
    "endless chunks": (endless(CHUNKED, chunk(b"a" * 65536)), Refused, "longer than the 100000 bytes"),
    "one byte too many": (responding(response(200, b"a" * 100_001)), Refused, "longer than"),
    "one byte too many, unannounced": (responding(response(200, b"a" * 100_001, content_length="")), Refused, "longer"),
    "announces too much": (responding(response(content_length="100001")), Refused, "longer than"),
    "announces 10^30 bytes": (responding(response(content_length="1" + "0" * 30)), Failed, "not valid HTTP"),
    "announces more than it sends": (responding(response(200, SONG, content_length="5000")), Failed, "incomplete"),
    "announces less than none": (responding(response(content_length="-1")), Failed, "not valid HTTP"),
    "two lengths": (responding(HEAD + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\nab"), Failed, "not valid HTTP"),
    "breaks off within a chunk": (responding(CHUNKED + b"ff\r\nabc"), Failed, "incomplete"),
    "breaks off between chunks": (responding(CHUNKED + chunk(b"abc")), Failed, "incomplete"),
    "chunks of no size": (responding(CHUNKED + b"zz\r\nabc"), Failed, ""),
    "gzip": (responding(response(200, BOMB, content_encoding="gzip")), Refused, "compressed"),
    "gzip in capitals": (responding(response(200, BOMB, content_encoding=" GZip ")), Refused, "compressed"),
    "deflate": (responding(response(200, BOMB, content_encoding="deflate")), Refused, "compressed"),
    "brotli": (responding(response(200, BOMB, content_encoding="br")), Refused, "compressed"),
    "zstd": (responding(response(200, BOMB, content_encoding="zstd")), Refused, "compressed"),
    "twice": (responding(response(200, BOMB, content_encoding="identity, gzip")), Refused, "compressed"),
    "gzip as transfer": (
        responding(HEAD + b"Transfer-Encoding: gzip, chunked\r\n\r\n" + chunk(BOMB)),
        Refused,
        "compressed",
    ),
    "long header": (responding(response(x="a" * 20_000)), Failed, "too long"),
    "long header name": (responding(HEAD + b"a" * 20_000 + b": b\r\n\r\n"), Failed, "too long"),
    "long status": (responding(b"HTTP/1.1 200 " + b"a" * 20_000 + b"\r\n\r\n"), Failed, "too long"),
    "header without end": (endless(HEAD + b"X: ", b"a" * 65536), Failed, "too long"),
    "no HTTP": (responding(b"220 mail.example ESMTP\r\n"), Failed, "not valid HTTP"),
    "HTTP 0.9": (responding(SONG), Failed, "not valid HTTP"),
    "nothing": (responding(b""), Failed, "without a response"),
    "half a header": (responding(HEAD + b"Content-"), Failed, ""),
    "slow header": (slowly(response(200, SONG)), Failed, "not complete after 0.5 seconds"),
    "slow body": (slowly(SONG, HEAD + b"\r\n"), Failed, "not complete after 0.5 seconds"),
    "only promises": (endless(b"", b"HTTP/1.1 100 Continue\r\n\r\n"), Failed, "not complete after 0.5 seconds"),
    "silence": (lambda visit: asyncio.sleep(60), Failed, "not complete after 0.5 seconds"),
    "404": (responding(response(404, b"no")), Failed, "status 404"),
    "500": (responding(response(500)), Failed, "status 500"),
    "204": (responding(response(204)), Failed, "status 204"),
    "206": (responding(response(206, b"a", content_range="bytes 0-0/9")), Failed, "status 206"),
    "101": (responding(b"HTTP/1.1 101 Up\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n"), Failed, "status 101"),
}
TIMED_OUT = {"slow header", "slow body", "only promises", "silence"}


@pytest.mark.parametrize("trick", TRICKS)
def test_tricks_of_servers(trick: str) -> None:
    script, kind, reason = TRICKS[trick]
    with pytest.raises(kind) as caught:
        fetch_from(script, f"{URL}?{KEY}", BRIEF if trick in TIMED_OUT else POLICY)
    assert str(caught.value).startswith(f"{URL}: ") and reason in caught.value.reason
    assert caught.value.url == URL and isinstance(caught.value.status, int) == ("status" in reason)
    assert KEY not in "".join(traceback.format_exception(caught.value))


def test_a_header_line_that_never_ends() -> None:
    with pytest.raises(Failed, match="not complete"):
        fetch_from(slowly(HEAD + b"X-" + b"a" * 1000), policy=BRIEF)


COUNTED = tuple(int(part) for part in aiohttp.__version__.split(".")[:3] if part.isdigit()) >= (3, 13, 4)


@pytest.mark.skipif(not COUNTED, reason="aiohttp counts headers from 3.13.4 on; before that only the time bounds them")
def test_a_flood_of_headers() -> None:
    flood = b"".join(b"X-%d: a\r\n" % number for number in range(1000))
    for script in (responding(HEAD + flood + b"\r\n"), endless(HEAD, flood)):
        with pytest.raises(Failed, match="too many"):
            fetch_from(script)


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
            fetch_from(script, policy=policy)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert reason in caught.value.reason
    # Beyond the allowed bytes: the buffers of both sides, which share this process.
    assert peak < 6 * MIB, f"{peak / MIB:.1f} MiB"


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.binary(max_size=300) | st.binary(max_size=300).map(lambda noise: HEAD + noise))
def test_any_bytes_as_a_response(noise: bytes) -> None:
    try:
        result = fetch_from(responding(noise), policy=BRIEF)[0]
    except TransferError:
        return
    assert result.data in noise or b"chunked" in noise.lower()
