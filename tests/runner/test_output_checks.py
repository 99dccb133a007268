"""What would keep a song from leaving is found out before the first node runs."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest

from acestep_xl.host.headless import HeadlessHost
from acestep_xl.nodes.load_model import Loader
from acestep_xl.runner.cli import main
from acestep_xl.runner.node_table import NodeTable
from acestep_xl.runner.validate import validate
from acestep_xl.runner.workflow.read import read_workflow

pytestmark = pytest.mark.usefixtures("no_models_from_this_machine")
QUICK = [f"AceStepXL{setting}" for setting in ("EmptyLatent.seconds=1", "Schedule.steps=1", "Sampler.seed=7")]


def run(folder: Path, *settings: str, command: str = "run", output: str = "output") -> int:
    options = [part for setting in (*QUICK, *settings) for part in ("--set", setting)]
    folders = ["--output", str(folder / output)] if command == "run" else []
    return main([command, "text_to_music", "--demo", "--device", "cpu", *folders, *options])


@pytest.fixture
def nothing_loads(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise AssertionError("a node runs")

    monkeypatch.setattr(Loader, Loader.FUNCTION, fail)


PREFIXES = {
    "": "no name after its folders",
    "audio/": "no name after its folders",
    "../x": "leaves the output folder",
    "/tmp/x": "leaves the output folder",
    "C:\\x": "leaves the output folder",
    'so "quoted"': "not every system allows",
    "two\nlines": "not every system allows",
    "x" * 300: "takes 300 bytes in UTF-8, allowed: 237",
    "aux/song": "device on Windows",
    "\udcff": "half a surrogate pair",
    "%nothing%": "no such token",
    "%width%": "means nothing for audio",
    "%date:YYYY%": "write it like yyyy-MM-dd",
    "%AceStepXLSampler.sed%": "has no widget 'sed'",
    "%Sampler.seed%": "no node is called 'Sampler'",
    "%AceStepXLEncode.caption%" * 40: "is too long",
}


@pytest.mark.usefixtures("nothing_loads")
@pytest.mark.parametrize("command", ["run", "plan"])
def test_prefixes_are_checked_as_they_will_be(tmp_path: Path, capsys: pytest.CaptureFixture[str], command: str) -> None:
    for prefix, reason in PREFIXES.items():
        assert run(tmp_path, f"AceStepXLSave.filename_prefix={prefix}", command=command) == 2, prefix
        assert reason in capsys.readouterr().err, prefix
    assert not (tmp_path / "output").exists()


@pytest.mark.usefixtures("nothing_loads")
@pytest.mark.parametrize(
    "setting", ["Encode.bpm=20", "Encode.lyrics=half \udc80", "Guider.end=-1", "Save.title=\ud800"]
)
def test_values_are_checked_by_their_finest_rule(tmp_path: Path, setting: str) -> None:
    for command in ("run", "plan"):
        assert run(tmp_path, f"AceStepXL{setting}", command=command) == 2


@pytest.mark.usefixtures("nothing_loads")
def test_folders_that_take_no_files_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "output").mkdir()
    (tmp_path / "output" / "audio").touch()
    places = {"file": "is a file", "file/below": "is a file", "output": f"{tmp_path / 'output' / 'audio'} is a file"}
    if sys.platform == "linux":
        places["/proc/x"] = "cannot be written to"
    if hasattr(os, "geteuid") and os.geteuid() != 0:
        (tmp_path / "read-only").mkdir(mode=0o555)
        places["read-only"] = "Permission denied"
    for place, reason in places.items():
        assert run(tmp_path, output=place) == 2, place
        assert reason in capsys.readouterr().err, place


@pytest.mark.usefixtures("nothing_loads")
def test_a_disk_without_room_for_the_songs_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from acestep_xl.host import output_folder

    usage = output_folder.shutil.disk_usage(tmp_path)
    monkeypatch.setattr(output_folder.shutil, "disk_usage", lambda _: usage._replace(free=100 * 2**20))
    settings = ("AceStepXLEmptyLatent.seconds=600", "AceStepXLSave.format=wav")
    assert run(tmp_path, *settings) == 2
    assert "may take 164.8 MiB, 100.0 MiB are free" in capsys.readouterr().err
    assert run(tmp_path, *settings, command="plan") == 0


def test_a_plan_needs_no_output_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(HeadlessHost, "output_directory", lambda self: Path("/proc/x"))
    assert run(tmp_path, command="plan") == 0


def test_tokens_are_replaced_without_a_browser(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    prefix = "audio/%AceStepXLSampler.seed%_%Sampler (ACE-Step).seed%_song"
    assert run(tmp_path, f"AceStepXLSave.filename_prefix={prefix}") == 0
    file = tmp_path / "output" / "audio" / "7_7_song_00001_.flac"
    assert capsys.readouterr().out.splitlines() == [str(file)] and file.is_file()


def test_nodes_are_called_by_the_search_name_of_a_saved_workflow() -> None:
    def node(number: int, kind: str, **more: Any) -> dict[str, Any]:
        return {"id": number, "type": kind, "mode": 0, "inputs": [], "outputs": [], **more}

    properties = {"Node name for S&R": "my take"}
    saved = {
        "nodes": [
            node(1, "AceStepXLRetake", widgets_values=[7, "fixed", 8, "fixed", 0.5], properties=properties),
            node(2, "AceStepXLSaveEncoded", widgets_values=["%my take.retake_seed%/%my take.sed%", False]),
        ],
        "links": [],
        "version": 0.4,
    }
    table = NodeTable.shipped()
    problems = [str(problem) for problem in validate(read_workflow(json.loads(json.dumps(saved)), table).graph, table)]
    assert any("node 1 has no widget 'sed'; it has seed, retake_seed" in problem for problem in problems)
    assert not any("no node is called" in problem for problem in problems)
