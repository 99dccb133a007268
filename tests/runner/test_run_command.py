"""The run command as a user sees it: files, problems, exit codes, Ctrl-C."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path
from typing import Any

import pytest

from acestep_xl import host as host_package
from acestep_xl.runner import cli, workflow_input
from acestep_xl.runner.node_table import NodeTable

pytestmark = pytest.mark.usefixtures("no_models_from_this_machine")

seen: dict[str, Any] = {}  # what the nodes received and did


class Loader:
    RETURN_TYPES = ("MODEL",)
    FUNCTION = "load"

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        files = host_package.current_host().model_names("diffusion_models")
        return {"required": {"model": ([*files, "demo"],), "text_encoder": (["auto"],)}}

    def load(self, model: str, text_encoder: str) -> tuple[str]:
        if model == "demo":
            host_package.current_host().warn("this is not music")
        return (model,)


class Steps:
    """Checks for an interrupt before each step; sends SIGINT at step `stop_at`."""

    RETURN_TYPES = ("LATENT",)
    FUNCTION = "run"

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        return {
            "required": {"model": ("MODEL",), "steps": ("INT", {"default": 4, "min": 1, "max": 100})},
            "optional": {"stop_at": ("INT", {"default": -1}), "fail": ("STRING", {"default": ""})},
        }

    def run(self, model: str, steps: int, stop_at: int = -1, fail: str = "") -> tuple[str]:
        seen.update(model=model, done=0)
        if fail:
            raise {"value": ValueError, "bug": ZeroDivisionError}[fail]("it went wrong")
        with host_package.current_host().progress(steps) as bar:
            for step in range(steps):
                host_package.current_host().check_interrupted()
                if step == stop_at:
                    signal.raise_signal(signal.SIGINT)
                    seen["handler"] = signal.getsignal(signal.SIGINT)
                seen["done"] = step + 1
                bar.update(step + 1)
        return ("latent",)


class Save:
    RETURN_TYPES = ()
    FUNCTION = "save"
    OUTPUT_NODE = True

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        return {"required": {"latent": ("LATENT",)}, "hidden": {"png": "EXTRA_PNGINFO"}}

    def save(self, latent: str, png: Any) -> dict[str, Any]:
        folder = host_package.current_host().output_directory() / "audio"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "song.wav").write_bytes(b"RIFF")
        seen["png"] = png
        saved = [{"filename": "song.wav", "subfolder": "audio", "type": "output"}]
        return {"ui": {"audio": saved, "images": [{"filename": "p.png", "subfolder": "", "type": "temp"}], "n": [3]}}


@pytest.fixture
def table() -> NodeTable:
    seen.clear()
    return NodeTable({"AceStepXLLoader": Loader, "Steps": Steps, "Save": Save}, {"Steps": "Take Steps"})


@pytest.fixture
def workflow(tmp_path: Path) -> Path:
    path = tmp_path / "song.json"
    graph = {
        "1": {"class_type": "AceStepXLLoader", "inputs": {"model": "xl.safetensors", "text_encoder": "auto"}},
        "2": {"class_type": "Steps", "inputs": {"model": ["1", 0], "steps": 4}},
        "3": {"class_type": "Save", "inputs": {"latent": ["2", 0]}},
    }
    path.write_text(json.dumps(graph))
    return path


def test_run_prints_only_the_files_on_stdout(
    workflow: Path, models: Path, table: NodeTable, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code = cli.main(["run", str(workflow), "--models", str(models), "--output", str(tmp_path / "songs")], table)
    out, err = capsys.readouterr()
    assert code == 0
    song, picture = out.splitlines()
    assert song == str(tmp_path / "songs" / "audio" / "song.wav") and Path(song).is_file()
    assert picture.endswith("p.png") and str(tmp_path / "songs") not in picture
    for line in ("[1/3] AceStepXLLoader", "[2/3] Take Steps", "Take Steps: 4/4", "[3/3] Save"):
        assert line in err.splitlines()
    assert seen["model"] == "xl.safetensors"


def test_run_settings_and_json(
    workflow: Path, models: Path, table: NodeTable, capsys: pytest.CaptureFixture[str]
) -> None:
    code = cli.main(["run", str(workflow), "--models", str(models), "--set", "Take Steps.steps=7", "--json"], table)
    result = json.loads(capsys.readouterr().out)
    assert code == 0 and seen["done"] == 7
    assert result["status"] == "ok"
    assert result["files"][0] == os.path.join("output", "audio", "song.wav")
    assert result["ui"]["3"]["n"] == [3]


def test_demo_needs_no_files_and_shows_the_loaders_warning(
    workflow: Path, table: NodeTable, caplog: pytest.LogCaptureFixture
) -> None:
    assert cli.main(["run", str(workflow), "--demo"], table) == 0
    assert seen["model"] == "demo"
    assert "not music" in caplog.text


def test_a_missing_model_file_comes_with_a_remedy(
    workflow: Path, table: NodeTable, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["run", str(workflow)], table) == 2
    out, err = capsys.readouterr()
    assert out == ""
    for word in ("node 1", "'xl.safetensors'", "acestep-xl models", "acestep-xl download xl-sft", "--demo"):
        assert word in err


def test_every_problem_is_printed(
    workflow: Path, models: Path, table: NodeTable, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = ["--set", "2.steps=0", "--set", "2.speed=1", "--set", "9.x=1", "--set", "1.model=gone"]
    assert cli.main(["run", str(workflow), "--models", str(models), *settings, "--json"], table) == 2
    out, err = capsys.readouterr()
    for word in ("0 is out of range", "2.speed=1", "9.x=1", "'gone'"):
        assert word in err
    assert len(json.loads(out)["problems"]) == 4 and json.loads(out)["status"] == "invalid"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["run", "nowhere"], "no workflow file 'nowhere'; shipped workflows:"),
        (["run", "../song"], "no workflow file"),
        (["run", "song.json", "--set", "steps=3"], "NODE.INPUT=VALUE"),
        (["run", "song.json", "--device", "toaster"], "no device 'toaster'"),
        (["run", "bad.json"], "is not JSON"),
        (["run", "none.json"], "not a workflow"),
        (["download"], "name a bundle (xl-sft, xl-base, xl-turbo)"),
        (["download", "xl-huge"], "unknown bundle 'xl-huge'; known: xl-sft"),
    ],
)
def test_bad_usage(
    arguments: list[str],
    words: str,
    workflow: Path,
    table: NodeTable,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "bad.json").write_text("{")
    (tmp_path / "none.json").write_text('{"a": 1}')
    assert cli.main(arguments, table) == 2
    assert words in capsys.readouterr().err


def test_json_also_reports_bad_usage_and_interrupts(
    workflow: Path, table: NodeTable, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["run", "nowhere", "--json"], table) == 2
    assert "nowhere" in json.loads(capsys.readouterr().out)["problems"][0]
    assert cli.main(["run", str(workflow), "--demo", "--set", "2.stop_at=0", "--json"], table) == 130
    assert json.loads(capsys.readouterr().out) == {"status": "interrupted"}


def run_failing(kind: str, workflow: Path, table: NodeTable) -> int:
    return cli.main(["run", str(workflow), "--demo", "--set", f"2.fail={kind}", "--json"], table)


def test_a_failed_run(workflow: Path, table: NodeTable, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_failing("value", workflow, table) == 1
    out, err = capsys.readouterr()
    assert "error: node 2 (Take Steps, Steps): ValueError: it went wrong" in err
    assert "Traceback" not in err, "the message of a wrong value is enough"
    assert json.loads(out)["status"] == "failed"
    assert run_failing("bug", workflow, table) == 1
    assert "Traceback" in capsys.readouterr().err, "a bug needs its traceback"


def test_ctrl_c_stops_within_one_step(workflow: Path, table: NodeTable, capsys: pytest.CaptureFixture[str]) -> None:
    previous = signal.getsignal(signal.SIGINT)
    code = cli.main(["run", str(workflow), "--demo", "--set", "2.steps=50", "--set", "2.stop_at=3"], table)
    out, err = capsys.readouterr()
    assert code == 130, err
    assert seen["done"] == 4, "the current step finishes, no further one begins"
    assert out == "" and "interrupted" in err and "Ctrl-C again" in err
    assert seen["handler"] == signal.SIG_DFL, "the second Ctrl-C kills"
    assert signal.getsignal(signal.SIGINT) == previous


def saved_by_comfyui() -> dict[str, Any]:
    """The graph with the demo model as the editor saves it."""
    properties: dict[str, Any] = {"pos": [0, 0], "size": [1, 1], "flags": {}, "order": 0, "mode": 0, "properties": {}}
    nodes = [
        {"id": 1, "type": "AceStepXLLoader", "inputs": [], "widgets_values": ["demo", "auto"],
         "outputs": [{"name": "MODEL", "type": "MODEL", "links": [1]}]},
        {"id": 2, "type": "Steps", "inputs": [{"name": "model", "type": "MODEL", "link": 1}],
         "outputs": [{"name": "LATENT", "type": "LATENT", "links": [2]}], "widgets_values": [5, -1, ""]},
        {"id": 3, "type": "Save", "inputs": [{"name": "latent", "type": "LATENT", "link": 2}], "outputs": [],
         "widgets_values": []},
    ]  # fmt: skip
    links = [[1, 1, 0, 2, 0, "MODEL"], [2, 2, 0, 3, 0, "LATENT"]]
    return {"nodes": [node | properties for node in nodes], "links": links, "version": 0.4}


def test_metadata_holds_the_saved_file_only_if_it_matches_the_graph(tmp_path: Path, table: NodeTable) -> None:
    path = tmp_path / "ui.json"
    path.write_text(json.dumps(saved_by_comfyui()))
    assert cli.main(["run", str(path)], table) == 0
    assert seen["png"] == {"workflow": saved_by_comfyui()} and seen["done"] == 5
    assert cli.main(["run", str(path), "--set", "2.steps=6"], table) == 0
    assert seen["png"] is None and seen["done"] == 6


def test_shipped_workflow_by_bare_name(
    workflow: Path,
    table: NodeTable,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    file = workflow.rename(tmp_path / "01 A tune.json")
    monkeypatch.setattr(workflow_input, "SHIPPED", {"tune": file})
    assert cli.main(["run", "tune", "--demo"], table) == 0
    assert cli.main(["run", "tun", "--demo"], table) == 2
    assert "shipped workflows: tune" in capsys.readouterr().err
