"""Workflows for ComfyUI's own nodes and for other packs, and our own with some of those in them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import graphs
import pytest
from saved_workflows import node, saved_file, slot

from acestep_xl.parameters import ids
from acestep_xl.runner.cli import main
from acestep_xl.runner.graph import NodeCall
from acestep_xl.runner.node_table import NodeTable
from acestep_xl.runner.workflow import foreign_classes
from acestep_xl.runner.workflow.read import read_workflow

# An ACE-Step 1.0 graph and what else has no place here, with what the message names instead.
CORE_GRAPH = {
    "1": {"class_type": "unCLIPCheckpointLoader", "inputs": {"ckpt_name": "ace_step.safetensors"}},
    "2": {"class_type": "TextEncodeAceStepAudio", "inputs": {"clip": ["1", 1], "tags": "piano", "lyrics": ""}},
    "3": {"class_type": "EmptyAceStepLatentAudio", "inputs": {"seconds": 30, "batch_size": 1}},
    "4": {"class_type": "LatentApplyOperationCFG", "inputs": {"model": ["1", 0]}},
    "5": {"class_type": "DualCFGGuider", "inputs": {"model": ["4", 0], "cond1": ["2", 0]}},
    "6": {"class_type": "VAEDecode", "inputs": {"samples": ["3", 0], "vae": ["1", 2]}},
    "7": {"class_type": "SaveVideo", "inputs": {"video": ["6", 0], "filename_prefix": "x"}},
}
NOTHING = "nothing here replaces it: take it out, or run the workflow in ComfyUI"
CORE_REPLACEMENTS = (
    NOTHING,
    f"use TextEncodeAceStepAudio1.5 or {ids.ENCODE}",
    f"use EmptyAceStep1.5LatentAudio or {ids.EMPTY_LATENT}",
    NOTHING,
    f"use {ids.GUIDER}",
    f"use VAEDecodeAudio or {ids.DECODE}",
    NOTHING,
)


def refused(
    data: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str], command: str = "run"
) -> list[str]:
    """The problems that the command reports, and that it writes nothing."""
    (tmp_path / "w.json").write_text(json.dumps(data))
    name, *options = command.split()
    assert main([name, str(tmp_path / "w.json"), "--json", *options]) == 2
    assert [path.name for path in tmp_path.iterdir()] == ["w.json"]
    return json.loads(capsys.readouterr().out)["problems"]


@pytest.mark.parametrize("command", ["run", "plan"])
def test_the_core_graph(command: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lead, *problems = refused(CORE_GRAPH, tmp_path, capsys, command)
    assert lead.startswith("this is a workflow for ComfyUI's own nodes;") and "text_to_music" in lead
    assert len(problems) == len(CORE_GRAPH), "and nothing else, such as a missing output node, is claimed"
    for problem, replacement in zip(problems, CORE_REPLACEMENTS, strict=True):
        assert problem.endswith(f"is one of ComfyUI's own nodes; {replacement}")


@pytest.mark.parametrize(
    ("kind", "pack", "replacement"),
    [
        ("AceStepSFTGenerate", "ComfyUI-AceStep_SFT", ids.SAMPLER),
        ("ACE_STEP_Cover", "ComfyUI-kaola-ace-step", ids.COVER),
        ("ACE_STEP_Captioner", "ComfyUI-kaola-ace-step", "nothing here replaces it"),
        ("ACEStep15NativeEditGuider", "ComfyUI_RyanOnTheInside", ids.REPAINT),
        ("AcestepCPPGenerate", "acestep-cpp-comfyui", ids.SAMPLER),
    ],
)
def test_a_graph_of_another_pack(
    kind: str, pack: str, replacement: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = {"1": {"class_type": kind, "inputs": {}}, "2": {"class_type": "SaveVideo", "inputs": {"video": ["1", 0]}}}
    lead, first, second = refused(data, tmp_path, capsys)
    assert lead.startswith(f"this is a workflow for {pack} and ComfyUI's own nodes;")
    assert f"{kind} is a node of {pack}" in first and replacement in first and NOTHING in second


def test_a_graph_of_another_pack_with_nodes_that_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    save = {"class_type": "SaveAudio", "inputs": {"audio": ["1", 0], "filename_prefix": "x"}}
    data = {"1": {"class_type": "AceStepSFTGenerate", "inputs": {}}, "2": save}
    lead, problem = refused(data, tmp_path, capsys)
    assert "also uses ComfyUI-AceStep_SFT, which only ComfyUI runs: AceStepSFTGenerate;" in lead
    assert ids.SAMPLER in problem


def test_the_pack_is_named_as_the_editor_saved_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    nodes = [
        node(1, "Audio Thing", [], [("AUDIO", [5])], [], properties={"cnr_id": "some-pack"}),
        node(
            2, "Other Thing", [slot("audio", "AUDIO", 5)], [("AUDIO", [])], [], properties={"aux_id": "who/their-pack"}
        ),
        node(3, "AnyCoreNode", [slot("audio", "AUDIO", 5)], [], [], properties={"cnr_id": "comfy-core"}),
    ]
    lead, *problems = refused(saved_file(nodes, [[5, 1, 0, 2, 0, "AUDIO"]]), tmp_path, capsys)
    assert "for some-pack, their-pack and ComfyUI's own nodes;" in lead
    assert "a node of some-pack" in problems[0] and "one of ComfyUI's own nodes" in " ".join(problems)


@pytest.mark.parametrize(
    ("saved", "pack"),
    [
        ("comfyui_ryanontheinside", "ComfyUI_RyanOnTheInside"),
        ("jeankassio/ComfyUI-AceStep_SFT", "ComfyUI-AceStep_SFT"),
        ("comfyui-videohelpersuite", "ComfyUI-VideoHelperSuite"),
        ("someone/their-pack", "their-pack"),
        ("comfy-core", foreign_classes.CORE),
        ("acestep-xl", ""),
    ],
)
def test_a_pack_has_one_name(saved: str, pack: str) -> None:
    assert foreign_classes.pack_of(NodeCall("Thing", {}, "Thing", pack=saved)) == pack


def test_a_graph_of_pictures_is_not_pointed_to_nodes_of_music(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    kinds = ("EmptyLatentImage", "CLIPTextEncode", "VAEDecode", "SaveImage")
    data = {str(i): {"class_type": kind, "inputs": {}} for i, kind in enumerate(kinds)}
    assert all(NOTHING in problem for problem in refused(data, tmp_path, capsys)[1:])
    del data["3"]
    assert not any(NOTHING in problem for problem in refused(data, tmp_path, capsys)[1:])


def test_nodes_of_one_class_are_one_problem(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = CORE_GRAPH | {"9": {"class_type": "SaveVideo", "inputs": {"video": ["6", 0], "filename_prefix": "y"}}}
    problems = refused(data, tmp_path, capsys)
    assert len(problems) == len(CORE_GRAPH) + 1 and problems[-1].startswith("node 7, 9 (")


def test_a_group_node_is_told_what_to_do_with_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    nodes = [node(1, "workflow>My group", [slot("x", "*", 5)], [("AUDIO", [5])], [])]
    problems = refused(saved_file(nodes, [[5, 1, 0, 1, 0, "*"]]), tmp_path, capsys)
    assert "group node; ungroup it" in " ".join(problems)


def test_a_damaged_file_claims_nothing_about_its_nodes(
    simple: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for command in ("run", "run --demo", "plan --demo", "plot --demo --set AceStepXLSampler.seed=3"):
        (problem,) = refused(simple | {"links": [[1, 2]]}, tmp_path, capsys, command)
        assert "damaged" in problem, command


def test_a_misspelt_class_is_no_foreign_one(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    graph = graphs.text_to_music()
    graph["save"]["class_type"] = "AceStepXLSvae"
    (problem,) = refused(graph, tmp_path, capsys)
    assert "unknown node class 'AceStepXLSvae'; did you mean AceStepXLSave" in problem


def test_our_graph_with_a_core_output_that_does_not_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    graph = graphs.text_to_music()
    graph["save"] = {"class_type": "CreateVideo", "inputs": {"audio": ["decode", 0], "fps": 30}}
    lead, problem = refused(graph, tmp_path, capsys)
    assert "also uses ComfyUI's own nodes, which only ComfyUI runs: CreateVideo;" in lead and NOTHING in problem


def with_preview(kind: str = "PreviewAny") -> dict[str, Any]:
    return graphs.text_to_music() | {"look": {"class_type": kind, "inputs": {"audio": ["decode", 0]}}}


@pytest.mark.parametrize("kind", ["PreviewAny", "PreviewAudioCompare"])
def test_our_graph_with_a_preview_runs_without_it(
    kind: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "w.json").write_text(json.dumps(with_preview(kind)))
    assert main(["run", "w.json"]) == 0
    captured = capsys.readouterr()
    assert f"left out: node look ({kind}), which only shows something in ComfyUI" in captured.err
    assert captured.out.count(".wav") == 1


def test_a_preview_is_no_output(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    graph = with_preview()
    del graph["save"]
    (problem,) = refused(graph, tmp_path, capsys)
    assert "no output node" in problem


def test_a_preview_that_feeds_a_node_is_not_left_out() -> None:
    graph = with_preview()
    graph["save"]["inputs"]["audio"] = ["look", 0]
    assert "look" in read_workflow(graph, NodeTable.shipped()).graph


def test_unknown_nodes_of_a_saved_file_that_nothing_is_connected_to_are_left_out(
    simple: dict[str, Any], table: NodeTable
) -> None:
    simple["nodes"].append(node(60, "Rich Note (someone)", [slot("*", "*")], [("*", [])], ["hello"]))
    workflow = read_workflow(simple, table)
    assert "60" not in workflow.graph and workflow.problems == []
    assert "node 60 (Rich Note (someone))" in workflow.notices[0] and len(workflow.notices) == 1


def test_every_replacement_names_nodes_that_exist() -> None:
    known = NodeTable.shipped().classes
    for classes in foreign_classes.REPLACEMENTS.values():
        for kind, replacement in classes.items():
            words = replacement.replace(",", " ").split()
            assert all(word in known for word in words if word.startswith("AceStepXL")), (kind, replacement)
            assert kind not in known
    assert not foreign_classes.OTHER_CORE_CLASSES & known.keys()


def test_ours_have_no_pack() -> None:
    assert [foreign_classes.pack_of(NodeCall(kind, {}, "")) for kind in NodeTable.shipped().classes if kind] == [
        ""
    ] * len(NodeTable.shipped().classes)


@pytest.mark.parametrize("text", ["[" * 100_000, '{"a":' * 100_000, '{"nodes": ' + "[" * 100_000])
@pytest.mark.parametrize("command", ["run", "plan"])
def test_deep_nesting_is_refused_in_words(
    text: str, command: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "deep.json").write_text(text)
    assert main([command, str(tmp_path / "deep.json")]) == 2
    assert "deep" in capsys.readouterr().err.splitlines()[0]


def test_subgraphs_nested_without_end_are_refused_in_words(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    count = 3000
    definitions = [
        {"id": f"s{i}", "nodes": [node(1, f"s{i + 1}", [], [], [])], "links": [], "inputs": [], "outputs": []}
        for i in range(count)
    ]
    data = saved_file([node(1, "s0", [], [], [])], [], definitions={"subgraphs": definitions})
    assert "nested too deeply" in refused(data, tmp_path, capsys)[0]
