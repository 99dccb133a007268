"""The plan command: what it prints, and what it refuses."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import tiny

from acestep_xl.pipeline.memory import plan as memory_plan
from acestep_xl.runner.cli import main


def test_the_command_prints_a_plan_and_runs_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    name = tiny.write("split", tmp_path / "models")
    setting = ["--set", f"AceStepXLLoader.model={name}", "--set", "AceStepXLEmptyLatent.seconds=240"]
    assert main(["plan", "text_to_music", *setting, "--card", "8"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[1] == "memory: everything stays on the card; at most 1.2 GiB of the 7.5 GiB free", lines
    assert [line.split()[0] for line in lines[3:6]] == ["text", "sampling", "decode"]
    assert lines[-1].startswith("  model file: safetensors fp32, "), lines
    assert main(["plan", "text_to_music", "--demo", "--json"]) == 0
    (entry,) = json.loads(capsys.readouterr().out)["samplers"]
    assert entry["plan"]["kind"] == memory_plan.MAIN
    assert sorted(path.name for path in tmp_path.iterdir()) == ["models"]


def test_an_unknown_length_is_asked_for(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["plan", "cover", "--demo"]) == 0
    assert "give it with --seconds" in capsys.readouterr().out
    assert main(["plan", "cover", "--demo", "--seconds", "60"]) == 0
    assert "in main memory" in capsys.readouterr().out


def test_impossible_options_are_refused_together(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["plan", "text_to_music", "--demo", "--card", "0", "--seconds", "900"]) == 2
    errors = capsys.readouterr().err
    assert "--card 0" in errors and "--seconds 900" in errors
