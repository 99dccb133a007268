"""The convert command: its files, its list and its refusals."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import native_songs
import pytest
from native_songs import node

from acestep_xl.parameters import ids
from acestep_xl.runner.cli import main

pytestmark = pytest.mark.usefixtures("no_models_from_this_machine")


def convert(graph: dict[str, Any], *options: str) -> int:
    Path("native.json").write_text(json.dumps(graph))
    return main(["convert", "native.json", "-o", "out.json", *options])


def test_it_writes_a_file_and_lists_every_change(capsys: pytest.CaptureFixture[str]) -> None:
    assert convert(native_songs.split()) == 0
    output = capsys.readouterr()
    assert output.out == "out.json\n" and [path.name for path in Path().glob("*out.json*")] == ["out.json"]
    types = {entry["type"] for entry in json.loads(Path("out.json").read_text())["nodes"]}
    assert {"AceStepXLLoader", "AceStepXLSampler", "AceStepXLSave"} <= types and "KSampler" not in types
    for text in ("node 8 (KSampler) -> AceStepXLGuider, AceStepXLSchedule", "class token", "N/A", "plain CFG", "MP3"):
        assert text in output.err


def test_audio_codes_that_are_lost_are_named(capsys: pytest.CaptureFixture[str]) -> None:
    graph = native_songs.split()
    graph["4"]["inputs"]["generate_audio_codes"] = True
    assert convert(graph) == 0
    assert "audio codes" in capsys.readouterr().err


def test_the_list_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    graph = native_songs.split()
    graph["20"] = node("Mastering", audio=["9", 0], amount=3)
    assert convert(graph, "--json", "--guidance", "official") == 0
    result = json.loads(capsys.readouterr().out)
    assert result["status"] == "ok" and result["file"] == "out.json"
    (sampler,) = [change for change in result["changes"] if change["node"] == "8"]
    assert sampler["becomes"] == ["AceStepXLGuider", "AceStepXLSchedule", "RandomNoise", "AceStepXLSampler"]
    assert any("APG" in effect for effect in sampler["effects"])
    assert [kept["class_type"] for kept in result["kept"]] == ["Mastering"]
    assert any("amount = 3" in notice for notice in result["notices"])


def test_an_existing_file_is_never_overwritten_unasked(capsys: pytest.CaptureFixture[str]) -> None:
    Path("out.json").write_text("mine")
    assert convert(native_songs.split()) == 2
    assert Path("out.json").read_text() == "mine" and "--force" in capsys.readouterr().err
    assert convert(native_songs.split(), "--force") == 0
    assert "AceStepXLLoader" in Path("out.json").read_text()


def test_a_folder_and_a_missing_folder_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    Path("native.json").write_text(json.dumps(native_songs.split()))
    assert main(["convert", "native.json", "-o", "."]) == 2
    assert main(["convert", "native.json", "-o", "gone/out.json"]) == 2
    messages = capsys.readouterr().err
    assert "is a folder" in messages and "does not exist" in messages


def test_nothing_to_convert(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["convert", "text_to_music", "-o", "out.json"]) == 2
    assert "holds no node of ComfyUI's that this pack replaces" in capsys.readouterr().err
    assert not Path("out.json").exists()


def test_nothing_to_convert_names_what_does_the_work_of_other_nodes(capsys: pytest.CaptureFixture[str]) -> None:
    Path("older.json").write_text(json.dumps({"1": {"class_type": "TextEncodeAceStepAudio", "inputs": {}}}))
    assert main(["convert", "older.json", "-o", "out.json"]) == 2
    message = capsys.readouterr().err
    assert f"use TextEncodeAceStepAudio1.5 or {ids.ENCODE}" in message and "shipped workflow" in message


@pytest.mark.parametrize("data", [{}, {"1": {"inputs": {}}}, {"nodes": [{"id": 1}], "links": []}])
def test_what_is_no_workflow_is_refused(data: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> None:
    assert convert(data) == 2
    assert "native.json" in capsys.readouterr().err and not Path("out.json").exists()
