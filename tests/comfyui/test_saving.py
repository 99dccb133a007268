"""ComfyUI refuses a song that could not leave before it is made, and name tokens need no browser."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import graphs
import pytest
from comfy_server import ComfyServer, needs_comfyui

pytestmark = [needs_comfyui, pytest.mark.slow]

REFUSED = {
    "": "no name after its folders",
    "../x": "leaves the output folder",
    "x" * 300: "takes 300 bytes in UTF-8",
    "half \ud83d": "not every system allows",
    "%width%": "means nothing for audio",
    "%date:YYYY%": "write it like yyyy-MM-dd",
    "%AceStepXLSampler.sed%": "node sample has no widget 'sed'",
    "%AceStepXLEncode.caption%" * 40: "is too long",
    "taken/song": "is a file",
}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ComfyServer]:
    with ComfyServer(tmp_path_factory.mktemp("comfyui")) as server:
        (server.folder / "output" / "taken").touch()
        yield server


def song(**inputs: Any) -> dict[str, Any]:
    graph = graphs.text_to_music()
    graph["save"]["inputs"] |= inputs
    graph["schedule"]["inputs"]["steps"] = 1
    return graph


def test_a_prefix_is_refused_before_anything_runs(server: ComfyServer) -> None:
    for prefix, reason in REFUSED.items():
        answer = server.post("/prompt", {"prompt": song(filename_prefix=prefix)})
        assert "prompt_id" not in answer and reason in json.dumps(answer), (prefix, answer)


def test_a_value_is_refused_by_its_finest_rule(server: ComfyServer) -> None:
    for name, value in {"bpm": 20, "lyrics": "half \ud83d", "tracks": "kazoo", "duration": 0.5}.items():
        graph = song()
        graph["text"]["inputs"][name] = value
        assert "prompt_id" not in server.post("/prompt", {"prompt": graph}), name


def test_tokens_are_replaced_for_clients_without_a_browser(server: ComfyServer) -> None:
    workflow = {"nodes": [{"id": "sample", "properties": {"Node name for S&R": "take"}}]}
    graph = song(filename_prefix="audio/%AceStepXLSampler.seed%_%take.seed%")
    body = {"prompt": graph, "extra_data": {"extra_pnginfo": {"workflow": workflow}}}
    entry = server.wait(server.post("/prompt", body)["prompt_id"])
    assert entry["status"]["status_str"] == "success", json.dumps(entry["status"])[:3000]
    assert server.files(entry) == [Path(server.folder, "output", "audio", "7_7_00001_.wav")]
    assert server.files(entry)[0].is_file()
