"""Recordings from outside: accepted and rejected files, retention, crashes and full folders."""

from __future__ import annotations

import asyncio
import base64
import errno
import io
import os
import random
import signal
import subprocess
import sys
import textwrap
import tracemalloc
import uuid
from collections.abc import Callable, Collection
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
import torch
from hostile_server import Script, Stage, responding, response, serving
from media_samples import WRITTEN, understated_flac
from service_tools import TinyEngine, inference

from acestep_xl.audio.containers import UnreadableAudio
from acestep_xl.audio.decoding import read
from acestep_xl.audio.encoding import encode
from acestep_xl.nodes import load_audio
from acestep_xl.service.queue import media_store as media_module
from acestep_xl.service.queue.database import StorageFull
from acestep_xl.service.queue.media_store import EXTENSIONS, OTHER_EXTENSION, Media, MediaError, MediaStore
from acestep_xl.service.queue.tasks import Tasks
from acestep_xl.service.schema.errors import RequestError
from acestep_xl.service.schema.request import read_tasks
from acestep_xl.service.schema.task import Task
from acestep_xl.service.settings import ServiceSettings
from acestep_xl.transfer.errors import Failed, Refused
from acestep_xl.transfer.network import Network

HOUR = 3600.0
MIB = 2**20


def song(seconds: float = 0.25, rate: int = 48000, channels: int = 2, format: str = "wav", depth: int = 16) -> bytes:
    noise = torch.rand(channels, round(seconds * rate), generator=torch.Generator().manual_seed(0)) - 0.5
    return encode(noise, rate, format=format, bit_depth=depth).data


def base64_of(data: bytes) -> str:
    return base64.b64encode(data).decode()


class Clock:
    def __init__(self) -> None:
        self.now = 1_000_000_000.0

    def __call__(self) -> float:
        return self.now


def open_store(
    folder: Path, clock: Clock | None = None, in_use: Callable[[], Collection[str]] = tuple, **settings: Any
) -> MediaStore:
    return MediaStore(folder, ServiceSettings(**settings), in_use=in_use, clock=clock or Clock())


def add(store: MediaStore, source: str) -> Media:
    return asyncio.run(store.add(source))


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def task(media: str) -> Task:
    (found,) = read_tasks(
        [{"taskType": "mediaStorage", "taskUUID": str(uuid.uuid4()), "operation": "upload", "media": media}]
    )
    assert isinstance(found, Task), found
    return found


def test_every_kind_of_source_stores_the_same_bytes(tmp_path: Path) -> None:
    data = song()
    text = base64_of(data)
    wrapped = "\n".join(textwrap.wrap(text, 76)) + "\n"
    store = open_store(tmp_path / "media")
    sources = [
        text,
        wrapped,
        f"data:audio/wav;base64,{text}",
        f"DATA:;x=y;BASE64,{text}",
        f"data:text/html;base64,{text}",
    ]
    stored = [add(store, source) for source in sources]
    assert [media.path.read_bytes() for media in stored] == [data] * 5
    assert len({media.uuid for media in stored}) == 5
    for media in stored:
        assert uuid.UUID(media.uuid).version == 4 and str(uuid.UUID(media.uuid)) == media.uuid
        assert media.path == tmp_path / "media" / f"{media.uuid}.wav"
        assert (media.media_type, media.size, media.seconds) == ("audio/wav", len(data), 0.25)
        assert store.find(media.uuid) == store.find(media.uuid.upper()) == media.path
    assert names(tmp_path / "media") == sorted(media.path.name for media in stored)


def from_url(folder: Path, script: Script, url: str = "https://song.example/a.wav", **settings: Any) -> Path:
    async def main() -> Path:
        async with serving(script) as served:
            stage = Stage(served.port, answers={"inside.example": [["10.0.0.1"]]})
            store = MediaStore(folder, ServiceSettings(**settings), network=stage.network)
            return await store.fetch(url.replace("https", "http"))

    return asyncio.run(main())


def test_a_recording_at_a_url(tmp_path: Path) -> None:
    data = song(format="flac", depth=24)
    path = from_url(tmp_path, responding(response(200, data, content_type="text/plain")))
    assert path.read_bytes() == data and path.suffix == ".flac" and path.parent == tmp_path


@pytest.mark.parametrize(
    ("url", "error", "reason"),
    [
        ("http://127.0.0.1/a.wav", Refused, "loopback"),
        ("http://inside.example/a.wav", Refused, "private"),
        ("file:///etc/passwd", Refused, "scheme"),
        ("ftp://song.example/a.wav", Refused, "scheme"),
    ],
)
def test_urls_into_private_networks_are_rejected(tmp_path: Path, url: str, error: type[Exception], reason: str) -> None:
    with pytest.raises(error, match=reason):
        from_url(tmp_path, responding(response(200, song())), url)
    assert names(tmp_path) == []


def test_the_settings_bound_a_fetch(tmp_path: Path) -> None:
    with pytest.raises(Refused, match=f"longer than the {MIB} bytes"):
        from_url(tmp_path, responding(response(200, bytes(MIB + 1))), media_mib=1)
    with pytest.raises(Failed, match="not complete after 1 seconds"):
        from_url(tmp_path, lambda visit: asyncio.sleep(60), fetch_timeout=1.0)
    assert from_url(tmp_path, responding(response(200, song())), "http://inside.example/", allow_private=True).is_file()


@pytest.mark.parametrize(("make", "media_type"), [sample for samples in WRITTEN.values() for sample in samples])
def test_every_readable_container(make: Callable[[], bytes], media_type: str, tmp_path: Path) -> None:
    media = add(open_store(tmp_path), base64_of(make()))
    assert media.media_type == media_type and media.path.suffix == EXTENSIONS.get(media_type, OTHER_EXTENSION)
    assert 0.2 < media.seconds < 0.45


def test_the_loading_node_lists_every_extension() -> None:
    assert {*EXTENSIONS.values(), OTHER_EXTENSION} <= set(load_audio.EXTENSIONS)


def truncated_flac() -> bytes:
    data = song(1.5, format="flac")
    return data[: len(data) // 2]


def without_sound() -> bytes:
    file = io.BytesIO()
    with av.open(file, "w", format="matroska") as container:
        stream = container.add_stream("mpeg4", rate=25)
        assert isinstance(stream, av.VideoStream)
        stream.width = stream.height = 32
        stream.pix_fmt = "yuv420p"
        for _ in range(3):
            container.mux(stream.encode(av.VideoFrame(32, 32, "yuv420p")))
        container.mux(stream.encode(None))
    return file.getvalue()


def in_tiny_packets() -> bytes:
    """One sample in each packet, so that the packets are what takes memory."""
    file = io.BytesIO()
    with av.open(file, "w", format="matroska") as container:
        stream = container.add_stream("pcm_s16le", rate=48000, layout="mono")
        for number in range(3000):
            packet = av.Packet(bytes(2))
            packet.stream, packet.time_base = stream, Fraction(1, 48000)
            packet.pts = packet.dts = number
            container.mux(packet)
    return file.getvalue()


def not_finite() -> bytes:
    samples = np.full(1000, np.nan, dtype="<f4").tobytes()
    head = b"fmt \x10\x00\x00\x00\x03\x00\x01\x00" + (48000).to_bytes(4, "little") + (192000).to_bytes(4, "little")
    body = b"WAVE" + head + b"\x04\x00\x20\x00data" + len(samples).to_bytes(4, "little") + samples
    return b"RIFF" + len(body).to_bytes(4, "little") + body


NOT_AUDIO = r"the recording \(\d+ bytes\) cannot be read as audio: .* Readable containers: aac, "
REJECTED: dict[str, tuple[Callable[[], str], str]] = {
    "nothing": (lambda: "", r"the recording is empty \(0 bytes\)"),
    "not base64": (lambda: "hello, world!", "neither an http or https URL nor valid base64"),
    "not ASCII": (lambda: "bücher", "nor valid base64"),
    "half base64": (lambda: base64_of(song())[:-3], "nor valid base64"),
    "a path": (lambda: "../../../etc/passwd", "nor valid base64"),
    "a path that is base64": (lambda: "/etc/passwd/", NOT_AUDIO),
    "a data URI without base64": (lambda: "data:audio/wav,RIFF", "data URI must look like"),
    "a data URI without data": (lambda: "data:audio/wav;base64", "data URI must look like"),
    "an empty data URI": (lambda: "data:audio/wav;base64,", "the recording is empty"),
    "HTML that claims to be sound": (lambda: f"data:audio/wav;base64,{base64_of(b'<html>' * 50)}", NOT_AUDIO),
    "a playlist": (lambda: base64_of(b"#EXTM3U\nhttp://127.0.0.1/\n"), NOT_AUDIO),
    "a header alone": (lambda: base64_of(song()[:44]), "the recording is truncated"),
    "a truncated WAV": (lambda: base64_of(song()[:-100]), "the recording is truncated"),
    "a truncated FLAC": (lambda: base64_of(truncated_flac()), "the recording is damaged or truncated"),
    "a damaged FLAC": (lambda: base64_of(song(format="flac")[:200] + bytes(2000)), "the recording"),
    "only the first bytes of FLAC": (lambda: base64_of(b"fLaC" + random.Random(0).randbytes(3000)), "the recording"),
    "only the first bytes of MP4": (lambda: base64_of(b"\x00\x00\x00\x20ftypM4A " + bytes(3000)), "the recording"),
    "a film without sound": (lambda: base64_of(without_sound()), "has no audio stream"),
    "too many bytes": (lambda: base64_of(song(6.0)), "bytes; at most 1048576 are allowed|more than the 1048576 bytes"),
    "too long": (lambda: base64_of(song(1.01, rate=8000)), "longer than the 1 seconds allowed"),
    "too dense": (
        lambda: base64_of(song(0.4, rate=96000, channels=8, format="flac")[:MIB]),
        "the recording has 8 channels",
    ),
    "too many packets": (lambda: base64_of(in_tiny_packets()), "more than 2000 packets a second"),
}


@pytest.mark.parametrize(("make", "reason"), REJECTED.values(), ids=REJECTED)
def test_unusable_recordings_are_rejected(make: Callable[[], str], reason: str, tmp_path: Path) -> None:
    store = open_store(tmp_path, media_mib=1, media_seconds=1.0)
    with pytest.raises(MediaError, match=reason) as caught:
        add(store, make())
    assert str(tmp_path) not in str(caught.value)
    assert names(tmp_path) == []


@pytest.mark.parametrize(
    ("make", "error"),
    [(not_finite, "contains 1000 NaN samples"), (lambda: understated_flac(60), "where its packets state")],
    ids=["NaN", "understated packets"],
)
def test_what_only_decoding_shows_is_left_to_the_task(make: Callable[[], bytes], error: str, tmp_path: Path) -> None:
    """The task's node reads the file with the same bounds on what its packets state, and reports invalidAudio."""
    media = add(open_store(tmp_path, media_seconds=2.0), base64_of(make()))
    with pytest.raises(UnreadableAudio, match=error):
        read(media.path)


def test_a_rejected_file_deletes_nothing(tmp_path: Path) -> None:
    clock = Clock()
    store = open_store(tmp_path, clock, media_gib=0.01, media_hours=0.0)
    stored = sorted(add(store, base64_of(song(13.0))).path.name for _ in range(4))
    clock.now += 10 * HOUR
    with pytest.raises(MediaError, match="cannot be read as audio"):
        add(store, base64_of(bytes(3 * MIB)))
    assert names(tmp_path) == stored


def test_a_small_file_that_holds_hours(tmp_path: Path) -> None:
    """Silence as FLAC, 170 times smaller than decoded, is rejected after the first seconds."""
    bomb = encode(torch.zeros(1, 40 * 60 * 8000), 8000, format="flac", bit_depth=16).data
    assert len(bomb) < 500_000
    source = base64_of(bomb)
    tracemalloc.start()
    try:
        with pytest.raises(MediaError, match="longer than the 10 seconds allowed"):
            add(open_store(tmp_path, media_seconds=10.0), source)
        assert tracemalloc.get_traced_memory()[1] < 3 * MIB
    finally:
        tracemalloc.stop()


def test_a_recording_of_exactly_the_length(tmp_path: Path) -> None:
    assert add(open_store(tmp_path, media_seconds=1.0), base64_of(song(1.0, rate=96000))).seconds == 1.0


@pytest.mark.parametrize(
    "media_uuid", ["", "..", "../secret", "secret", "/etc/passwd", "%2e%2e", "*", "a" * 5000, "\x00", "secret.wav"]
)
def test_only_stored_recordings_are_found(tmp_path: Path, media_uuid: str) -> None:
    (tmp_path / "secret.wav").write_bytes(song())
    (tmp_path / "media").mkdir()
    (tmp_path / "media" / "secret.wav").write_bytes(song())
    store = open_store(tmp_path / "media")
    assert store.find(media_uuid) is None
    assert store.find(str(uuid.uuid4())) is None


def test_recordings_expire_after_their_last_use(tmp_path: Path) -> None:
    clock = Clock()
    store = open_store(tmp_path, clock, media_hours=24.0)
    first, second = add(store, base64_of(song())), add(store, base64_of(song()))
    clock.now += 23 * HOUR
    assert store.find(first.uuid) == first.path
    clock.now += 2 * HOUR
    store.clean()
    assert names(tmp_path) == [first.path.name] and store.find(second.uuid) is None
    clock.now += 25 * HOUR
    third = add(store, base64_of(song()))
    assert names(tmp_path) == [third.path.name]


def test_without_an_expiry_recordings_stay(tmp_path: Path) -> None:
    clock = Clock()
    store = open_store(tmp_path, clock, media_hours=0.0)
    media = add(store, base64_of(song()))
    clock.now += 10**9
    store.clean()
    assert store.find(media.uuid) == media.path


def test_recordings_in_use_stay(tmp_path: Path) -> None:
    clock, in_use = Clock(), []
    store = open_store(tmp_path, clock, lambda: in_use, media_hours=1.0, media_gib=0.01)
    first, second = add(store, base64_of(song())), add(store, base64_of(song()))
    in_use.append(first.path.name)
    clock.now += 100 * HOUR
    store.clean()
    assert names(tmp_path) == [first.path.name] and not second.path.exists()


def test_the_least_recently_used_recording_makes_room(tmp_path: Path) -> None:
    clock = Clock()
    # Four of these fit into 0.01 GiB.
    text = base64_of(song(13.0))
    store = open_store(tmp_path, clock, media_gib=0.01, media_hours=0.0)
    stored = []
    for _ in range(4):
        stored.append(add(store, text))
        clock.now += HOUR
    store.find(stored[0].uuid)
    clock.now += 2 * HOUR
    fifth = add(store, text)
    assert {media.uuid for media in (stored[0], *stored[2:], fifth)} == {Path(name).stem for name in names(tmp_path)}


def test_a_full_folder_rejects_recordings_and_loses_nothing(tmp_path: Path) -> None:
    text = base64_of(song(13.0))
    store = open_store(tmp_path, media_gib=0.01)
    stored = sorted(add(store, text).path.name for _ in range(4))
    with pytest.raises(StorageFull, match="one of 2496078 more does not fit"):
        add(store, text)
    assert names(tmp_path) == stored
    with pytest.raises(RequestError) as caught:
        asyncio.run(store.store(task(text)))
    (error,) = caught.value.errors
    assert error.code == "storageFull" and str(tmp_path) not in error.message


def test_a_full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(self: Path, data: bytes) -> int:
        with self.open("wb") as file:
            file.write(data[:10])
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(self))

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(StorageFull, match="the disk has no room for the recording"):
        add(open_store(tmp_path), base64_of(song()))
    assert names(tmp_path) == []


def test_leftovers_of_a_crash_are_never_found_and_are_deleted(tmp_path: Path) -> None:
    clock = Clock()
    store = open_store(tmp_path, clock)
    ours, publishing = str(uuid.uuid4()), str(uuid.uuid4())
    for name in (f"{ours}.part.wav", f"{publishing}.part"):
        (tmp_path / name).write_bytes(song()[:1000])
        os.utime(tmp_path / name, (clock.now, clock.now))
    assert store.find(ours) is None and store.find(publishing) is None
    clock.now += 30 * 60
    store.clean()
    assert len(names(tmp_path)) == 2
    clock.now += 31 * 60
    store.clean()
    assert names(tmp_path) == []


CHILD = """
import asyncio, sys
from pathlib import Path
from acestep_xl.service.queue.media_store import MediaStore
from acestep_xl.service.settings import ServiceSettings
store = MediaStore(Path(sys.argv[1]), ServiceSettings())
source = sys.stdin.read()
while True:
    print(asyncio.run(store.add(source)).uuid, flush=True)
"""


@pytest.mark.slow
def test_killed_at_any_moment(tmp_path: Path) -> None:
    data = song(2.0)
    with subprocess.Popen(
        [sys.executable, "-c", CHILD, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as child:
        assert child.stdin is not None and child.stdout is not None
        child.stdin.write(base64_of(data))
        child.stdin.close()
        reported = [child.stdout.readline().strip() for _ in range(random.Random().randint(5, 40))]
        child.send_signal(signal.SIGKILL)
        reported += child.stdout.read().split()
    store = open_store(tmp_path)
    for media_uuid in reported:
        path = store.find(media_uuid)
        assert path is not None and path.read_bytes() == data
    for path in tmp_path.iterdir():
        assert ".part" in path.name or path.read_bytes() == data


def test_the_task(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    request = task(base64_of(song()))
    answer = asyncio.run(store.store(request))
    assert answer == {"taskType": "mediaStorage", "taskUUID": request.task_uuid, "mediaUUID": answer["mediaUUID"]}
    assert store.find(answer["mediaUUID"]) is not None


@pytest.mark.parametrize(
    ("media", "reason"),
    [
        (base64_of(b"<html>"), "cannot be read as audio"),
        ("http://127.0.0.1:8188/view?token=SECRET", "127.0.0.1 is a loopback address"),
        ("http://nobody.example/?token=SECRET", "its name cannot be resolved"),
    ],
)
def test_errors_of_the_task(tmp_path: Path, media: str, reason: str) -> None:
    async def unknown_name(host: str) -> list[str]:
        raise OSError

    request = task(media)
    store = MediaStore(tmp_path, ServiceSettings(), network=Network(lookup=unknown_name))
    with pytest.raises(RequestError) as caught:
        asyncio.run(store.store(request))
    (error,) = caught.value.errors
    assert (error.code, error.parameter, error.task_type) == ("invalidMedia", "media", "mediaStorage")
    assert error.task_uuid == request.task_uuid
    assert reason in error.message and "SECRET" not in error.message and str(tmp_path) not in error.message


def test_recordings_are_probed_one_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    running, max_running = 0, 0
    probe = media_module.probe

    def counted(path: Path, *, max_seconds: float) -> Any:
        nonlocal running, max_running
        running += 1
        max_running = max(max_running, running)
        assert path.suffix == ".wav", "the extension under which the task reads it"
        try:
            return probe(path, max_seconds=max_seconds)
        finally:
            running -= 1

    monkeypatch.setattr(media_module, "probe", counted)

    async def main() -> list[Media]:
        store, text = open_store(tmp_path), base64_of(song(1.0))
        return await asyncio.gather(*(store.add(text) for _ in range(20)))

    assert len({media.uuid for media in asyncio.run(main())}) == 20 and max_running == 1


@pytest.mark.parametrize("format", ["wav", "flac", "mp3"])
def test_from_an_upload_to_a_result(tmp_path: Path, format: str) -> None:
    """Through the service's store and a graph that names the stored file."""

    async def main() -> None:
        engine = TinyEngine(tmp_path / "work")
        async with Tasks.open(tmp_path, engine, ServiceSettings(demo=True)) as tasks:
            answer = await tasks.store_media(task(base64_of(song(2.0, format=format))))
            cover = inference(inputs={"audio": answer["mediaUUID"]})
            assert await tasks.submit([cover]) == [None]
            state = await tasks.wait(cover.task_uuid, 30)
            assert state is not None and state.status == "success", state
            (graph,) = engine.graphs
            loaded = [call.inputs["audio"] for call in graph.values() if call.class_type == "AceStepXLLoadAudio"]
            assert loaded == [f"{answer['mediaUUID']}.{format}"]

    asyncio.run(main())
