"""Uploads and webhooks: bytes arrive unchanged, and nothing is sent to forbidden addresses."""

from __future__ import annotations

import asyncio
import tracemalloc
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace

import pytest
from hostile_server import PUBLIC, Script, Served, Stage, Visit, responding, response, serving

from acestep_xl.transfer.errors import Failed, Refused
from acestep_xl.transfer.network import Network
from acestep_xl.transfer.policy import Policy
from acestep_xl.transfer.send import post_json, post_json_pieces, put

URL = "http://song.example/up?X-Sig=a%2Bb"
POLICY = Policy(connect_timeout=5, total_timeout=20)
BODY = '{"taskType": "audioInference", "text": "ü"}'.encode()

Send = Callable[[str, bytes, Policy, Network], Awaitable[int]]


async def put_song(url: str, body: bytes, policy: Policy, network: Network) -> int:
    return await put(url, body, "audio/mpeg", policy, network=network)


async def post(url: str, body: bytes, policy: Policy, network: Network) -> int:
    return await post_json(url, body, policy, network=network)


async def post_pieces(url: str, body: bytes, policy: Policy, network: Network) -> int:
    async def pieces() -> AsyncIterator[bytes]:
        for start in range(0, len(body), 1000):
            yield body[start : start + 1000]

    return await post_json_pieces(url, pieces(), len(body), policy, network=network)


both = pytest.mark.parametrize("send", [put_song, post, post_pieces])


def sent(
    send: Send,
    script: Script,
    url: str = URL,
    policy: Policy = POLICY,
    *,
    body: bytes = BODY,
    stage: Stage | None = None,
) -> tuple[int, Served, Stage]:
    stage = stage or Stage(0)

    async def main() -> tuple[int, Served, Stage]:
        async with serving(script) as served:
            stage.port = served.port
            return await send(url, body, policy, stage.network), served, stage

    return asyncio.run(main())


def receiving(status: int = 200, **headers: str) -> tuple[Script, list[bytes]]:
    """A server that reads the complete body before it responds, and the bodies so far."""
    bodies: list[bytes] = []

    async def script(visit: Visit) -> None:
        bodies.append(await visit.body())
        await visit.send(response(status, b"" if status in (204, 304) else b"thanks", **headers))

    return script, bodies


@pytest.mark.parametrize(
    ("send", "method", "media_type"),
    [
        (put_song, "PUT", "audio/mpeg"),
        (post, "POST", "application/json"),
        (post_pieces, "POST", "application/json"),
    ],
)
@pytest.mark.parametrize("body", [BODY, b"", bytes(range(256)) * 8192])
def test_the_request(send: Send, method: str, media_type: str, body: bytes) -> None:
    script, bodies = receiving()
    status, served, stage = sent(send, script, body=body)
    assert status == 200 and bodies == [body]
    assert served.visits[0].head.startswith(f"{method} /up?X-Sig=a%2Bb HTTP/1.1\r\n")
    headers = served.visits[0].headers
    assert headers["content-type"] == media_type and headers["content-length"] == str(len(body))
    assert not {"transfer-encoding", "content-encoding", "cookie", "expect"} & headers.keys()
    assert stage.lookups == ["song.example"] and stage.connections == [(PUBLIC, 80)]


@both
@pytest.mark.parametrize("status", [200, 201, 202, 204, 299])
def test_every_kind_of_success(send: Send, status: int) -> None:
    assert sent(send, receiving(status)[0])[0] == status


@both
@pytest.mark.parametrize("status", [400, 403, 404, 409, 410, 429, 500, 503])
def test_any_other_status_is_a_failure(send: Send, status: int) -> None:
    with pytest.raises(Failed, match=f"status {status}$") as caught:
        sent(send, receiving(status)[0])
    assert caught.value.status == status and caught.value.url == "http://song.example/up"


@both
@pytest.mark.parametrize("status", [301, 302, 303, 304, 307, 308])
def test_redirects_are_not_followed(send: Send, status: int) -> None:
    script, bodies = receiving(status, location="http://other.example/")
    stage = Stage(0)
    with pytest.raises(Failed, match=f"status {status}, and sending does not follow redirects") as caught:
        sent(send, script, stage=stage)
    assert caught.value.status == status and bodies == [BODY] and stage.connections == [(PUBLIC, 80)]


@both
@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("http://127.0.0.1:8188/prompt", "loopback"),
        ("http://169.254.169.254/", "metadata"),
        ("http://me:SECRET@song.example/", "password"),
        ("http://song.example:6379/x y", "spaces"),
        ("http://song.example:25/", "port 25"),
        ("file:///etc/passwd", "scheme"),
        ("http://inside.example/?SECRET", "its name leads to a private address"),
    ],
)
def test_nothing_is_sent_to_forbidden_urls(send: Send, url: str, reason: str) -> None:
    stage = Stage(0, answers={"inside.example": [["192.168.0.1"]]})
    with pytest.raises(Refused) as caught:
        sent(send, receiving()[0], url, stage=stage)
    assert reason in str(caught.value) and "SECRET" not in str(caught.value)
    assert stage.connections == []


@both
def test_private_addresses_can_be_allowed(send: Send) -> None:
    stage = Stage(0, answers={"song.example": [["192.168.0.1"]]})
    assert sent(send, receiving()[0], policy=replace(POLICY, allow_private=True), stage=stage)[0] == 200


@both
def test_an_endless_response_is_not_read(send: Send) -> None:
    async def script(visit: Visit) -> None:
        await visit.body()
        await visit.send(b"HTTP/1.1 200 So\r\n\r\n")
        while True:
            await visit.send(b"a" * 65536)

    tracemalloc.start()
    try:
        assert sent(send, script)[0] == 200
        assert tracemalloc.get_traced_memory()[1] < 2**20
    finally:
        tracemalloc.stop()


@both
def test_a_response_before_the_end_of_a_long_upload(send: Send) -> None:
    with pytest.raises(Failed) as caught:
        sent(send, responding(response(413)), body=bytes(2**25))
    # The server closes the connection, which the client may notice first.
    assert caught.value.status in (413, None) and "not complete" not in caught.value.reason


@both
@pytest.mark.parametrize(
    "script",
    [lambda visit: asyncio.sleep(60), responding(b"HTTP/1.1 200 So\r\nX-"), responding(b"nonsense"), responding(b"")],
    ids=["silence", "half a header", "nonsense", "nothing"],
)
def test_no_valid_response(send: Send, script: Script) -> None:
    with pytest.raises(Failed):
        sent(send, script, policy=replace(POLICY, total_timeout=0.5))


def test_sending_is_limited_in_time() -> None:
    with pytest.raises(Failed, match=r"not complete after 0\.5 seconds"):
        sent(put_song, lambda visit: asyncio.sleep(60), policy=replace(POLICY, total_timeout=0.5), body=bytes(2**25))


@pytest.mark.parametrize("media_type", ["", "audio", "audio/mpeg\r\nX: y", "a b/c", "/"])
def test_the_media_type_is_validated(media_type: str) -> None:
    with pytest.raises(ValueError, match="is not a media type"):
        asyncio.run(put(URL, BODY, media_type, POLICY))
