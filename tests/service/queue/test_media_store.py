"""Uploading recordings and fetching them by URL: what is stored, and the mediaStorage task."""

from __future__ import annotations

import asyncio
import textwrap
import uuid
from pathlib import Path
from typing import Any

import pytest
from folders import file_names
from hostile_server import Script, Stage, responding, response, serving
from media_stores import MIB, add, base64_of, open_store, recording, upload_task
from service_tools import TinyEngine, inference

from acestep_xl.service.queue import media_store as media_module
from acestep_xl.service.queue.media_store import Media, MediaStore
from acestep_xl.service.queue.tasks import Tasks
from acestep_xl.service.schema.errors import RequestError
from acestep_xl.service.settings import ServiceSettings
from acestep_xl.transfer.errors import Failed, Refused
from acestep_xl.transfer.network import Network


def test_every_kind_of_source_stores_the_same_bytes(tmp_path: Path) -> None:
    data = recording()
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
    assert file_names(tmp_path / "media") == sorted(media.path.name for media in stored)


def from_url(folder: Path, script: Script, url: str = "https://song.example/a.wav", **settings: Any) -> Path:
    async def main() -> Path:
        async with serving(script) as served:
            stage = Stage(served.port, answers={"inside.example": [["10.0.0.1"]]})
            store = MediaStore(folder, ServiceSettings(**settings), network=stage.network)
            return await store.fetch(url.replace("https", "http"))

    return asyncio.run(main())


def test_a_recording_at_a_url(tmp_path: Path) -> None:
    data = recording(format="flac", depth=24)
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
        from_url(tmp_path, responding(response(200, recording())), url)
    assert file_names(tmp_path) == []


def test_the_settings_bound_a_fetch(tmp_path: Path) -> None:
    with pytest.raises(Refused, match=f"longer than the {MIB} bytes"):
        from_url(tmp_path, responding(response(200, bytes(MIB + 1))), media_mib=1)
    with pytest.raises(Failed, match="not complete after 1 seconds"):
        from_url(tmp_path, lambda visit: asyncio.sleep(60), fetch_timeout=1.0)
    assert from_url(
        tmp_path, responding(response(200, recording())), "http://inside.example/", allow_private=True
    ).is_file()


@pytest.mark.parametrize(
    "media_uuid", ["", "..", "../secret", "secret", "/etc/passwd", "%2e%2e", "*", "a" * 5000, "\x00", "secret.wav"]
)
def test_only_stored_recordings_are_found(tmp_path: Path, media_uuid: str) -> None:
    (tmp_path / "secret.wav").write_bytes(recording())
    (tmp_path / "media").mkdir()
    (tmp_path / "media" / "secret.wav").write_bytes(recording())
    store = open_store(tmp_path / "media")
    assert store.find(media_uuid) is None
    assert store.find(str(uuid.uuid4())) is None


def test_the_task(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    request = upload_task(base64_of(recording()))
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

    request = upload_task(media)
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
        store, text = open_store(tmp_path), base64_of(recording(1.0))
        return await asyncio.gather(*(store.add(text) for _ in range(20)))

    assert len({media.uuid for media in asyncio.run(main())}) == 20 and max_running == 1


@pytest.mark.parametrize("format", ["wav", "flac", "mp3"])
def test_from_an_upload_to_a_result(tmp_path: Path, format: str) -> None:
    """An upload, a cover of it, and a graph that names the stored file."""

    async def main() -> None:
        engine = TinyEngine(tmp_path / "work")
        async with Tasks.open(tmp_path, engine, ServiceSettings(demo=True)) as tasks:
            answer = await tasks.store_media(upload_task(base64_of(recording(2.0, format=format))))
            cover = inference(inputs={"audio": answer["mediaUUID"]})
            assert await tasks.submit([cover]) == [None]
            state = await tasks.wait(cover.task_uuid, 30)
            assert state is not None and state.status == "success", state
            (graph,) = engine.graphs
            loaded = [call.inputs["audio"] for call in graph.values() if call.class_type == "AceStepXLLoadAudio"]
            assert loaded == [f"{answer['mediaUUID']}.{format}"]

    asyncio.run(main())
