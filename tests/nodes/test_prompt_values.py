"""Keys, time signatures and languages: the node, the command line, plan and the service agree on every spelling."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import graphs
import pytest
from task_requests import accepted, the_error

from acestep_xl.parameters import ids
from acestep_xl.runner.cli import main
from acestep_xl.runner.node_table import NodeTable
from acestep_xl.service.engine.graph_builder import build_graph

API_NAMES = {"key_scale": "settings.keyScale", "time_signature": "settings.timeSignature",
             "language": "settings.vocalLanguage"}  # fmt: skip


def plan(tmp_path: Path, capsys: pytest.CaptureFixture[str], values: dict[str, Any]) -> tuple[int, str]:
    """The exit code and messages of plan for a workflow with these values of the prompt."""
    graph = graphs.text_to_music()
    graph["text"]["inputs"] |= values
    (tmp_path / "workflow.json").write_text(json.dumps(graph))
    code = main(["plan", str(tmp_path / "workflow.json"), "--demo"])
    return code, capsys.readouterr().err


@pytest.mark.parametrize(
    ("name", "value"),
    [("key_scale", "C♯ minor"), ("key_scale", "B♭ major"), ("key_scale", "F# minor"), ("time_signature", 4),
     ("time_signature", 6.0), ("language", "yue")],
)  # fmt: skip
def test_accepted_by_all(name: str, value: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert plan(tmp_path, capsys, {name: value}) == (0, "")
    assert (
        NodeTable.shipped()
        .classes[ids.ENCODE]
        .VALIDATE_INPUTS(**{"language": None, "key_scale": None, "time_signature": None} | {name: value})
    )
    request = accepted({API_NAMES[name]: value})
    graph = build_graph(request, seed=1, prefix="x", table=NodeTable.shipped(), demo=True)
    (encode,) = (call for call in graph.values() if call.class_type == ids.ENCODE)
    assert encode.inputs[name] == {"C♯ minor": "C# minor", "B♭ major": "Bb major", 4: "4", 6.0: "6"}.get(value, value)


@pytest.mark.parametrize(
    ("name", "value", "hint"),
    [
        ("key_scale", "a minor", "did you mean A minor?"),
        ("key_scale", "Am", "did you mean A minor?"),
        ("time_signature", "4/4", "did you mean 4 (4/4)?"),
        ("time_signature", "6/8", "did you mean 6 (6/8)?"),
        ("language", "jp", "did you mean ja (Japanese)?"),
        ("language", "Japanese", "did you mean ja (Japanese)?"),
    ],
)
def test_refused_by_all_with_the_same_advice(
    name: str, value: str, hint: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, messages = plan(tmp_path, capsys, {name: value})
    assert code == 2 and repr(value) in messages and hint in messages
    assert main(["run", "text_to_music", "--demo", "--set", f"{ids.ENCODE}.{name}={value}"]) == 2
    assert hint in capsys.readouterr().err
    assert hint in the_error({API_NAMES[name]: value}).message


def test_all_problems_of_the_prompt_at_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _, messages = plan(tmp_path, capsys, {"key_scale": "x", "time_signature": "7/8", "language": "klingon"})
    assert all(repr(value) in messages for value in ("x", "7/8", "klingon"))


def test_spellings_of_one_key_are_one_song(tmp_path: Path) -> None:
    def song(**values: Any) -> bytes:
        settings = {f"text.{name}": value for name, value in values.items()}
        return graphs.run(tmp_path, settings, probes=("sample",)).outputs["sample"]["samples"].numpy().tobytes()

    plain = song(key_scale="C# minor", time_signature="4")
    assert song(key_scale="C♯ minor", time_signature=4) == plain != song(key_scale="C minor", time_signature="4")


@pytest.mark.parametrize("values", [{"bit_depth": 16}, {"sample_rate": 44100, "channels": 1}])
def test_other_choices_that_look_like_numbers(values: dict[str, Any], tmp_path: Path) -> None:
    settings = {f"save.{name}": value for name, value in values.items()}
    assert len(graphs.run(tmp_path, settings).files) == 1
    others = {"format": "wav", "bit_depth": "24"}
    assert NodeTable.shipped().classes[ids.SAVE].VALIDATE_INPUTS(**others | values) is True
