"""Results become sources: the copy into ComfyUI's input folder."""

from __future__ import annotations

import asyncio
import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from acestep_xl.host import use
from acestep_xl.host.headless import HeadlessHost
from acestep_xl.service.http.comfy_sources import PATH, copy_into, copy_result


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> HeadlessHost:
    """A host with a song in each folder and a file beside them that is nobody's business."""
    host = HeadlessHost([], tmp_path / "output")
    monkeypatch.setattr(host, "input_directory", lambda: tmp_path / "input")
    monkeypatch.setattr(host, "temp_directory", lambda: tmp_path / "temp")
    for name in ("output/audio/song.flac", "temp/song.flac", "input/other.flac", "secret.flac", "output/notes.txt"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(name)
    return host


async def post(host: HeadlessHost, body: Any) -> tuple[int, dict[str, Any]]:
    app = web.Application()
    app.router.add_post(PATH, copy_result)
    with use(host):
        async with TestClient(TestServer(app)) as client:
            text = body if isinstance(body, str) else json.dumps(body)
            answer = await client.post(PATH, data=text)
            return answer.status, await answer.json()


def run(host: HeadlessHost, body: Any) -> tuple[int, dict[str, Any]]:
    return asyncio.run(post(host, body))


def test_a_result_is_copied_and_never_replaces_a_file(host: HeadlessHost, tmp_path: Path) -> None:
    song = {"filename": "song.flac", "subfolder": "audio", "type": "output"}
    assert run(host, song) == (200, {"name": "song.flac"})
    assert run(host, {"filename": "song.flac", "type": "temp"}) == (200, {"name": "song (2).flac"})
    # What is there already needs no other copy.
    assert run(host, song) == (200, {"name": "song.flac"})
    files = {path.name: path.read_text() for path in (tmp_path / "input").iterdir()}
    assert files == {
        "other.flac": "input/other.flac",
        "song.flac": "output/audio/song.flac",
        "song (2).flac": "temp/song.flac",
    }


@pytest.mark.parametrize(
    ("body", "status", "message"),
    [
        ({"filename": "secret.flac", "subfolder": "..", "type": "output"}, 400, "not a song in the output folder"),
        ({"filename": "../secret.flac", "type": "temp"}, 400, "not a song in the temp folder"),
        ({"filename": "/etc/passwd", "type": "output"}, 400, "not a song"),
        ({"filename": "notes.txt", "type": "output"}, 400, "allowed are .flac, .wav, .mp3, .ogg"),
        ({"filename": "other.flac", "type": "input"}, 400, "type is 'input', allowed: output, temp"),
        ({"filename": "gone.flac", "type": "output"}, 404, "no longer in the output folder"),
        ({"filename": 5, "type": "output"}, 400, "must be a JSON object"),
        ({"filename": "a\0.flac", "type": "output"}, 400, "must be a JSON object"),
        ([], 400, "must be a JSON object"),
        ("{", 400, "Expecting property name"),
    ],
)
def test_nothing_else_can_be_copied(host: HeadlessHost, tmp_path: Path, body: Any, status: int, message: str) -> None:
    answer = run(host, body)
    assert answer[0] == status and message in answer[1]["error"]
    assert [path.name for path in (tmp_path / "input").iterdir()] == ["other.flac"]


def test_a_link_out_of_the_folder_is_not_followed(host: HeadlessHost, tmp_path: Path) -> None:
    (tmp_path / "output" / "link.flac").symlink_to(tmp_path / "secret.flac")
    assert run(host, {"filename": "link.flac", "type": "output"})[0] == 400


def test_copies_at_the_same_time_take_different_names(tmp_path: Path) -> None:
    for number in range(16):
        (tmp_path / str(number)).mkdir()
        (tmp_path / str(number) / "song.flac").write_text(f"song {number}")
    with ThreadPoolExecutor(16) as pool:
        names = list(pool.map(lambda n: copy_into(tmp_path / "input", tmp_path / str(n) / "song.flac"), range(16)))
    assert len(set(names)) == 16
    assert {(tmp_path / "input" / name).read_text() for name in names} == {f"song {n}" for n in range(16)}
