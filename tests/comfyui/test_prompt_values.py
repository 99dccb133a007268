"""Keys, time signatures, languages and numbers for choices, as clients of ComfyUI's API send them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import graphs
import pytest
from comfy_server import ComfyServer, needs_comfyui

pytestmark = [needs_comfyui, pytest.mark.slow]


@pytest.fixture(scope="module")
def comfy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ComfyServer]:
    with ComfyServer(tmp_path_factory.mktemp("comfyui")) as server:
        yield server


def graph_with(prompt: dict[str, Any], save: dict[str, Any]) -> dict[str, Any]:
    graph = graphs.text_to_music()
    graph["text"]["inputs"] |= prompt
    graph["save"]["inputs"] |= save
    return graph


def test_numbers_and_sharps_are_accepted(comfy: ComfyServer) -> None:
    prompt, save = {"key_scale": "C♯ minor", "time_signature": 4}, {"bit_depth": 16, "sample_rate": 44100}
    assert len(comfy.files(comfy.run(graph_with(prompt, save)))) == 1


@pytest.mark.parametrize(
    ("name", "value", "hint"),
    [
        ("key_scale", "a minor", "did you mean A minor?"),
        ("time_signature", "6/8", "did you mean 6 (6/8)?"),
        ("language", "jp", "did you mean ja (Japanese)?"),
    ],
)
def test_the_refusal_says_what_is_meant(name: str, value: str, hint: str, comfy: ComfyServer) -> None:
    response = comfy.post("/prompt", {"prompt": graph_with({name: value}, {})})
    assert "prompt_id" not in response
    assert hint in json.dumps(response["node_errors"]["text"], ensure_ascii=False)
