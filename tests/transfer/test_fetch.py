"""A fetch from an honest server: what is sent and received, its limits, its cancellation."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from fetching import HEAD, POLICY, SONG, URL, fetch_from
from hostile_server import PUBLIC, Stage, Visit, responding, response, serving

from acestep_xl.transfer.errors import Refused
from acestep_xl.transfer.fetch import FetchResult, fetch


def test_an_honest_server() -> None:
    result, served, stage = fetch_from(
        responding(response(200, SONG, content_type="Audio/WAV; codecs=1")), f"{URL}?X-Sig=a%2Bb"
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
    assert fetch_from(responding(answer))[0] == FetchResult(SONG, None, URL)


def test_a_body_of_exactly_the_limit() -> None:
    assert len(fetch_from(responding(response(200, b"a" * 100_000)))[0].data) == 100_000


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
    script = responding(response(200, SONG, **stated))
    assert fetch_from(script)[0].data == SONG
    policy = replace(POLICY, media_types=("audio/*", "video/mp4"))
    if allowed:
        assert fetch_from(script, policy=policy)[0].data == SONG
    else:
        with pytest.raises(Refused, match=r"the media type is .*; allowed: audio/\*, video/mp4"):
            fetch_from(script, policy=policy)


def test_the_environment_is_ignored(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("machine song.example login me password SECRET\ndefault login me password SECRET\n")
    monkeypatch.setenv("NETRC", str(netrc))
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://me:SECRET@127.0.0.1:9")
    _, served, _ = fetch_from(responding(response(200, SONG)))
    assert served.paths == ["/a.wav"] and "SECRET" not in served.visits[0].head
    assert "authorization" not in served.visits[0].headers


def test_cancelling_a_fetch_closes_its_connection() -> None:
    disconnected = asyncio.Event()

    async def script(visit: Visit) -> None:
        await visit.send(HEAD + b"\r\n" + SONG)
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


@pytest.mark.parametrize("make", [lambda: fetch("file:///etc/passwd", POLICY), lambda: fetch("http://[::1]/", POLICY)])
def test_rejected_before_anything_is_opened(make: Callable[[], object]) -> None:
    with pytest.raises(Refused):
        asyncio.run(make())  # type: ignore[arg-type]  # both are coroutines
