"""Graphs of ComfyUI's own nodes, and of those with ours, on the command line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import graphs
import pytest
from audio_files import sine, write
from saved_workflows import node, saved_file, slot

from acestep_xl.audio.decoding import read
from acestep_xl.runner.cli import main
from acestep_xl.runner.node_table import NodeTable
from acestep_xl.runner.workflow.read import read_workflow

HALF = "31d97cf3-1d3b-4e2b-9b60-5c8b1ab0bd2f"


def native_file() -> dict[str, Any]:
    """A recording, cut, mixed with itself inside a subgraph, made louder by a bypassed node and saved; as the editor
    saves it."""
    nodes = [
        node(1, "LoadAudio", [], [("AUDIO", [10, 16])], ["take.flac", None, ""]),
        node(2, "Reroute", [slot("", "*", 10)], [("AUDIO", [11])], []),
        node(3, "PrimitiveNode", [], [("FLOAT", [12])], [0.25, "fixed"]),
        node(
            4,
            "TrimAudioDuration",
            [slot("audio", "AUDIO", 11), slot("start_index", "FLOAT", None, True), slot("duration", "FLOAT", 12, True)],
            [("AUDIO", [13])],
            [0.1, 60],
        ),
        node(5, HALF, [slot("audio1", "AUDIO", 13)], [("AUDIO", [14])], []),
        node(6, "AudioAdjustVolume", [slot("audio", "AUDIO", 14)], [("AUDIO", [15])], [40], mode=4),
        node(7, "SaveAudioMP3", [slot("audio", "AUDIO", 15)], [], ["day/%SaveAudioMP3.quality%", "320k", None]),
        node(8, "PreviewAudio", [slot("audio", "AUDIO", 16)], [], [""], mode=2),
        node(9, "MarkdownNote", [], [], ["# notes"]),
    ]
    links = [
        [10, 1, 0, 2, 0, "AUDIO"],
        [11, 2, 0, 4, 0, "AUDIO"],
        [12, 3, 0, 4, 2, "FLOAT"],
        [13, 4, 0, 5, 0, "AUDIO"],
        [14, 5, 0, 6, 0, "AUDIO"],
        [15, 6, 0, 7, 0, "AUDIO"],
        [16, 1, 0, 8, 0, "AUDIO"],
    ]
    return saved_file(nodes, links, definitions={"subgraphs": [half()]})


def half() -> dict[str, Any]:
    merge = node(1, "AudioMerge", [slot("audio1", "AUDIO", 1), slot("audio2", "AUDIO", 2)], [("AUDIO", [3])], ["mean"])
    ends = [(1, -10, 0, 1, 0), (2, -10, 0, 1, 1), (3, 1, 0, -20, 0)]
    names = ("id", "origin_id", "origin_slot", "target_id", "target_slot")
    return {
        "id": HALF,
        "name": "half",
        "nodes": [merge],
        "links": [dict(zip(names, end, strict=True), type="AUDIO") for end in ends],
        "inputs": [{"name": "audio1", "type": "AUDIO", "linkIds": [1, 2]}],
        "outputs": [{"name": "AUDIO", "type": "AUDIO", "linkIds": [3]}],
    }


def run(data: dict[str, Any], folder: Path, *options: str) -> int:
    (folder / "graph.json").write_text(json.dumps(data))
    return main(["run", "graph.json", "--output", "out", "--device", "cpu", *options])


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "input" / "take.flac", sine(44100, 1.0), 44100, format="flac", bit_depth=16)
    return tmp_path


def test_what_the_editor_would_queue(folder: Path) -> None:
    workflow = read_workflow(native_file(), NodeTable.shipped())
    assert workflow.problems == [] and workflow.notices == []
    assert {node_id: call.class_type for node_id, call in workflow.graph.items()} == {
        "1": "LoadAudio",
        "4": "TrimAudioDuration",
        "5:1": "AudioMerge",
        "7": "SaveAudioMP3",
    }
    assert workflow.graph["4"].inputs["start_index"] == 0.1 and workflow.graph["4"].inputs["duration"] == 0.25
    assert workflow.graph["7"].inputs["quality"] == "320k"


def test_a_saved_file_runs(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(native_file(), folder) == 0
    (path,) = map(Path, capsys.readouterr().out.splitlines())
    assert path == Path("out/day/320k_00001_.mp3")
    waveform, rate = read(path)
    assert rate == 44100 and waveform.shape[-1] == pytest.approx(0.25 * 44100, abs=2500)
    assert float(waveform.abs().max()) == pytest.approx(0.5, abs=0.05), "the bypassed node changes nothing"


def test_values_are_set_by_name(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(native_file(), folder, "--set", "TrimAudioDuration.duration=0.5", "--set", "7.filename_prefix=b") == 0
    waveform, _ = read(Path(capsys.readouterr().out.strip()))
    assert waveform.shape[-1] == pytest.approx(0.5 * 44100, abs=2500)


def test_everything_wrong_is_said_before_the_run(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = native_file()
    data["nodes"][0]["widgets_values"][0] = "gone.flac"
    data["nodes"][6]["widgets_values"] = ["../x", "9k"]
    assert run(data, folder, "--json") == 2
    problems = " ".join(json.loads(capsys.readouterr().out)["problems"])
    assert "no recording 'gone.flac'" in problems and "leaves the output folder" in problems
    assert "'9k' is not one of the choices: V0, 128k, 320k" in problems
    assert not (folder / "out").exists()


def test_a_preview_alone_is_an_output(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    graph = {
        "1": {"class_type": "LoadAudio", "inputs": {"audio": "take.flac", "audioUI": ""}},
        "2": {"class_type": "PreviewAudio", "inputs": {"audio": ["1", 0], "audioUI": ""}},
    }
    assert run(graph, folder) == 0
    captured = capsys.readouterr()
    assert "1 of 1 files are previews in the temporary folder" in captured.err and captured.out.count(".flac") == 1


def mixed_graph() -> dict[str, Any]:
    """Our text to music between ComfyUI's empty latent and its decoder."""
    graph = graphs.text_to_music()
    graph["empty"] = {"class_type": "EmptyAceStep1.5LatentAudio", "inputs": {"seconds": 2.0, "batch_size": 1}}
    graph["text"]["inputs"]["duration"] = 2.0
    graph["decode"] = {"class_type": "VAEDecodeAudio", "inputs": {"samples": ["sample", 0], "vae": ["load", 2]}}
    graph["save"] = {"class_type": "SaveAudio", "inputs": {"audio": ["decode", 0], "filename_prefix": "song"}}
    return graph


def test_ours_and_comfyuis_in_one_graph(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(mixed_graph(), folder) == 0
    (path,) = map(Path, capsys.readouterr().out.splitlines())
    waveform, rate = read(path)
    assert path.name == "song_00001_.flac" and rate == 48000 and waveform.shape == (1, 2, 96000)
    assert float(waveform.abs().max()) > 0.01


def test_the_plan_reads_comfyuis_empty_latent(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "graph.json").write_text(json.dumps(mixed_graph()))
    assert main(["plan", "graph.json", "--card", "24", "--json"]) == 0
    (sampler,) = json.loads(capsys.readouterr().out)["samplers"]
    assert sampler["node"] == "sample" and "unknown" not in sampler
