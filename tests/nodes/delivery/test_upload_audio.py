"""The upload node: one PUT for each song, errors without secrets, interruption."""

from __future__ import annotations

import asyncio
import time

import pytest
from delivery_samples import SECRET, encode_noise
from receiver import Receiver

from acestep_xl.host.headless import HeadlessHost, Interrupted
from acestep_xl.nodes.delivery.notify_webhook import Webhook
from acestep_xl.nodes.delivery.upload_audio import Upload
from acestep_xl.pipeline.delivery import NotDelivered


def test_each_song_is_put_to_its_url(headless_host: HeadlessHost, receiver: Receiver) -> None:
    songs = encode_noise(2, "mp3")
    urls = f"{receiver.url}/a?{SECRET}&x=%2F\n\n  {receiver.url}/b  \n"
    (passed,) = Upload().upload(songs, urls, True, 30.0)
    assert passed == songs
    assert [(request.method, request.path) for request in receiver.got] == [
        ("PUT", f"/a?{SECRET}&x=%2F"),
        ("PUT", "/b"),
    ]
    assert [request.body for request in receiver.got] == [song.data for song in songs]
    assert {request.headers["Content-Type"] for request in receiver.got} == {"audio/mpeg"}


def test_upload_inside_a_running_event_loop(headless_host: HeadlessHost, receiver: Receiver) -> None:
    """ComfyUI runs nodes in one."""

    async def run_node() -> None:
        Upload().upload(encode_noise(1), f"{receiver.url}/a", True, 30.0)

    asyncio.run(run_node())
    assert len(receiver.got) == 1


@pytest.mark.parametrize("status", [301, 307, 403, 500])
def test_any_status_but_success_is_an_error_without_the_secret(
    headless_host: HeadlessHost, receiver: Receiver, status: int
) -> None:
    receiver.status = status
    with pytest.raises(NotDelivered, match=f"status {status}") as caught:
        Upload().upload(encode_noise(1), f"{receiver.url}/a?{SECRET}", True, 30.0)
    assert SECRET not in str(caught.value) and len(receiver.got) == 1


def test_private_addresses_are_refused_unless_allowed(headless_host: HeadlessHost, receiver: Receiver) -> None:
    for url in (f"{receiver.url}/a?{SECRET}", f"{receiver.url.replace('127.0.0.1', 'localhost')}/a"):
        with pytest.raises(NotDelivered, match="switch allow_private on") as caught:
            Upload().upload(encode_noise(1), url, False, 30.0)
        assert SECRET not in str(caught.value)
        with pytest.raises(ValueError, match="switch allow_private on"):
            Webhook().notify(encode_noise(1), url, "{}", "nothing", False, 30.0)
        assert "switch allow_private on" in str(Upload.VALIDATE_INPUTS(url, False))
        assert Upload.VALIDATE_INPUTS(url, True) is True
    assert receiver.got == []


@pytest.mark.parametrize(
    "urls", ["", "https://a.example/1", "https://a.example/1\nhttps://a.example/2\nhttps://a.example/3"]
)
def test_every_song_needs_a_url(headless_host: HeadlessHost, urls: str) -> None:
    problem = f"{len(urls.split())} URLs for 2 songs; give one URL per song, one per line"
    with pytest.raises(NotDelivered, match=f"2 of 2 songs were not sent: {problem}. Kept instead as "):
        Upload().upload(encode_noise(2), urls, False, 30.0)
    kept = sorted((headless_host.output_directory() / "audio").iterdir())
    assert [path.read_bytes() for path in kept] == [song.data for song in encode_noise(2)], "both, although none left"


def test_an_interrupt_ends_a_hanging_upload(headless_host: HeadlessHost, receiver: Receiver) -> None:
    receiver.delay = 30.0
    start = time.monotonic()

    def check() -> None:
        if receiver.got:
            raise Interrupted("stop")

    songs = encode_noise(1)
    headless_host.check_interrupted = check
    with pytest.raises(Interrupted):
        Upload().upload(songs, f"{receiver.url}/a", True, 60.0)
    assert time.monotonic() - start < 10


def test_a_hanging_server_times_out(headless_host: HeadlessHost, receiver: Receiver) -> None:
    receiver.delay = 30.0
    with pytest.raises(NotDelivered, match="not complete after 1 seconds"):
        Upload().upload(encode_noise(1), f"{receiver.url}/a", True, 1.0)
