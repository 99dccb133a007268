"""The shipped workflows run unchanged, on the nodes and model files they name."""

from __future__ import annotations

import json
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
import soundfile
from demo_network import shipped_demo

from acestep_xl.nodes.table import NODE_CLASS_MAPPINGS
from acestep_xl.runner.cli import main
from acestep_xl.runner.model_bundles import BUNDLES
from acestep_xl.runner.shipped import SHIPPED

NAMES = {path: name for name, path in SHIPPED.items()}
# Uses ComfyUI's own sampling nodes; tests/comfyui runs it.
CORE = {"core_nodes"}
CORE_NODES = {
    "EmptyAceStep1.5LatentAudio",
    "KSamplerSelect",
    "RandomNoise",
    "SamplerCustomAdvanced",
    "SaveAudio",
    "VAEDecodeAudio",
}
OURS = [path for path, name in NAMES.items() if name not in CORE]
SONGS = {"batch": 2, "variations": 2}
# Seconds of the songs that are not as long as the example melody.
SECONDS = {
    "adapter": 60,
    "text_to_music": 60,
    "text_to_music_app": 60,
    "timbre_reference": 30,
    "variations": 30,
    "batch": 30,
    "chain": 20,
    "extend": 16,
    "fast": 60,
    "plot": 30,
    "scheduler": 30,
}
EXAMPLE_SECONDS = 8
# One per task runs on the shipped demo network, the others on random weights.
SHIPPED_DEMO = {"text_to_music", "repaint", "extend", "cover"}


def nodes(path: Path) -> list[dict[str, Any]]:
    return json.loads(path.read_text())["nodes"]


def test_every_task_has_a_workflow() -> None:
    expected = {"text_to_music", "cover", "repaint", "repaint_regions", "extend", "timbre_reference", "variations"}
    assert expected <= set(SHIPPED)


@pytest.mark.parametrize("path", OURS, ids=NAMES.get)
def test_a_workflow_runs_without_model_files(path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["run", str(path), "--demo", "--output", str(tmp_path), "--device", "cpu"]
    with shipped_demo() if NAMES[path] in SHIPPED_DEMO else nullcontext():
        assert main([*arguments, "--set", "AceStepXLSchedule.steps=2"]) == 0
    files = [line for line in capsys.readouterr().out.split() if not line.endswith(".png")]
    assert len(files) == SONGS.get(NAMES[path], 1)
    for file in files:
        samples, rate = soundfile.read(file)
        assert rate == 48000
        assert len(samples) == SECONDS.get(NAMES[path], EXAMPLE_SECONDS) * 48000
        assert 0.01 < abs(samples).max() <= 1


@pytest.mark.parametrize("path", NAMES, ids=NAMES.get)
def test_a_workflow_uses_known_nodes_and_published_files(path: Path) -> None:
    core = CORE_NODES if NAMES[path] in CORE else set()
    assert {node["type"] for node in nodes(path)} <= {*NODE_CLASS_MAPPINGS, *core, "MarkdownNote"}
    published = {tuple(source.target.rsplit("/", 1)) for source in BUNDLES["xl-sft"]}
    for node in nodes(path):
        for model in node["properties"].get("models", []):
            assert (model["directory"], model["name"]) in published
            assert model["url"].endswith(model["name"])
        if node["type"] == "AceStepXLLoader":
            assert node["widgets_values"][0] in {model["name"] for model in node["properties"]["models"]}


def test_the_workflow_with_nodes_of_comfyui_runs_without_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    steps = ("--set", "Schedule (ACE-Step).steps=2")
    assert main(["run", "core_nodes", "--demo", "--output", str(tmp_path), *steps]) == 0
    assert [path.suffix for path in tmp_path.rglob("*.*") if path.is_file()] == [".flac"]


@pytest.mark.parametrize("path", NAMES, ids=NAMES.get)
def test_a_workflow_has_no_local_paths(path: Path) -> None:
    assert "/home/" not in path.read_text()
    assert path.read_text().endswith("}\n")
