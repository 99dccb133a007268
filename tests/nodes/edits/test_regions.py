"""The regions of a repaint, as text and as masks."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import edit_graphs as edits
import pytest
import soundfile
import torch
from edit_graphs import FRAME, RATE
from torch import Tensor

from acestep_xl.host import use
from acestep_xl.nodes.table import NODE_CLASS_MAPPINGS
from acestep_xl.pipeline.edit import LENGTH
from acestep_xl.runner.execute import NodeError
from acestep_xl.runner.node_table import NodeTable
from acestep_xl.runner.validate import validate
from acestep_xl.runner.workflow.read import read_workflow


def test_several_regions_in_text(tmp_path: Path) -> None:
    source = edits.white_noise(2, 3 * RATE)
    song, new = edits.run_repaint(tmp_path, edits.audio(source), "2–2.5; 0:01-0:01.25\n2.4-end", crossfade=0.01)
    outside = torch.ones(3 * RATE, dtype=torch.bool)
    outside[48000 - 480 : 60000 + 480], outside[96000 - 480 :] = False, False
    assert torch.equal(song[:, outside], source[:, outside])
    for region in (slice(48000, 60000), slice(96000, 3 * RATE)):
        assert torch.equal(song[:, region], new[:, region])


def repaint_with_mask(mask: Tensor) -> tuple[edits.Graph, dict[str, Any]]:
    """The graph and its objects; the mask replaces the region text."""
    graph = edits.repaint("10-20", edits.EXAMPLE, mask=["mask", 0]) | {"mask": edits.object_node("mask")}
    return graph, {"mask": mask}


@pytest.mark.parametrize("rows", [1, 64])
def test_a_mask_is_regions(tmp_path: Path, rows: int) -> None:
    columns = torch.zeros(1, 1, 80)
    columns[..., 10:20] = columns[..., 60:] = 1
    graph, objects = repaint_with_mask(columns.expand(1, rows, -1))
    by_mask = edits.run(tmp_path, graph, objects=objects, probes=("sample", "splice")).outputs
    by_text = edits.run(tmp_path, edits.repaint("1-2, 6-end", edits.EXAMPLE), probes=("sample", "splice")).outputs
    assert torch.equal(by_mask["sample"]["samples"], by_text["sample"]["samples"])
    assert torch.equal(by_mask["splice"]["waveform"], by_text["splice"]["waveform"])


def test_a_mask_over_a_latent(tmp_path: Path) -> None:
    samples = edits.random_latents(150)
    mask = torch.zeros(1, 1, 150)
    mask[..., 20:30] = 1
    graph = edits.without_splice(edits.repaint("", latent=["s", 0], mask=["mask", 0], mode="aggressive"))
    graph |= {"s": edits.SOURCE, "mask": edits.object_node("mask")}
    result = edits.latents(tmp_path, graph, objects={"s": {"samples": samples}, "mask": mask})
    assert (result != samples).any(dim=1)[0].nonzero().flatten().tolist() == list(range(20, 30))


@pytest.mark.parametrize("with_audio", [False, True])
def test_a_mask_over_a_latent_that_ends_inside_a_frame(tmp_path: Path, with_audio: bool) -> None:
    """Its columns span the song's samples, not its frames; otherwise the end of the mask would append samples."""
    length = 50 * FRAME + 777
    latent = {"samples": torch.zeros(1, 64, 51), LENGTH: length}
    mask = torch.zeros(1, 1, 200)
    mask[..., 100:199] = 1
    graph = edits.without_splice(edits.repaint("", latent=["s", 0], mask=["mask", 0]))
    graph |= {"s": edits.SOURCE, "mask": edits.object_node("mask"), "audio": edits.object_node("audio")}
    if with_audio:
        graph["edit"]["inputs"]["audio"] = ["audio", 0]
    objects = {"s": latent, "mask": mask, "audio": edits.audio(edits.white_noise(2, length))}
    (file,) = edits.run(tmp_path, graph, objects=objects).files
    assert soundfile.info(file).frames == length


def test_a_mask_painted_in_some_rows_only(tmp_path: Path) -> None:
    """A column counts when any of its rows is painted: a brush rarely covers them all."""
    mask = torch.zeros(1, 64, 80)
    mask[:, 20:40, 10:20] = 1
    graph, objects = repaint_with_mask(mask)
    painted = edits.latents(tmp_path, graph, objects=objects)
    assert torch.equal(painted, edits.latents(tmp_path, edits.repaint("1-2", edits.EXAMPLE)))


@pytest.mark.parametrize(("value", "message"), [(0.4, "a mask that reaches 0.5"), (float("nan"), "80 columns are NaN")])
def test_a_mask_without_a_region(tmp_path: Path, value: float, message: str) -> None:
    graph, objects = repaint_with_mask(torch.full((1, 1, 80), value))
    with pytest.raises(NodeError, match=message):
        edits.run(tmp_path, graph, objects=objects)


def test_a_noise_mask_of_another_node_is_a_repaint(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """In every shape that core nodes write, on the latent of an earlier run; outside it stays identical."""
    samples = edits.random_latents(150)
    for shape in ((1, 1, 150), (1, 1, 1, 300), (1, 64, 150)):
        mask = torch.zeros(shape)
        mask[..., shape[-1] // 3 : shape[-1] // 2] = 1
        graph = edits.edit("repaint", "EmptyLatent", seconds=6.0, batch_size=1) | {"s": edits.SOURCE}
        objects = {"s": {"samples": samples, "noise_mask": mask}}
        run = edits.run(tmp_path, graph, {"sample.latent": ["s", 0]}, objects=objects, probes=("sample",))
        result = run.outputs["sample"]
        assert (result["samples"] != samples).any(dim=1)[0].nonzero().flatten().tolist() == list(range(50, 75))
        assert "noise_mask" not in result
    assert not any("encoded for" in record.getMessage() for record in caplog.records)


def test_regions_that_do_not_fit_the_source(tmp_path: Path) -> None:
    with pytest.raises(NodeError, match=r"region 9 s to end is empty: the source ends at 8 s"):
        edits.run(tmp_path, edits.repaint("9-end", edits.EXAMPLE))
    with pytest.raises(NodeError, match=r"region -301 s to 0 s starts too early; allowed is -300 s or later"):
        edits.run(tmp_path, edits.repaint("-301-0", edits.EXAMPLE))


BAD_REGIONS = [
    ("abc", r"at character 1, 'abc': there is no dash"),
    ("1-2, 5", r"at character 6, '5': there is no dash"),
    ("1-2, 4-3", r"at character 6, '4-3': .*must end after its start"),
    ("1-x", r"at character 1, '1-x': 'x' is not a time"),
]


@pytest.mark.parametrize(("text", "message"), BAD_REGIONS)
def test_bad_region_text_is_reported_before_anything_runs(tmp_path: Path, text: str, message: str) -> None:
    assert re.search(message, NODE_CLASS_MAPPINGS["AceStepXLRepaint"].VALIDATE_INPUTS(regions=text))
    # A ValueError of the validation, not the NodeError of a run.
    with pytest.raises(ValueError, match=message):
        edits.run(tmp_path, edits.repaint(text, edits.SOURCE))


@pytest.mark.parametrize(("text", "message"), BAD_REGIONS)
def test_bad_region_text_of_a_track_is_reported_before_anything_runs(tmp_path: Path, text: str, message: str) -> None:
    graph = edits.edit("lego", "Tracks", task="lego", regions=text, batch_size=1, audio=["source", 0], vae=["load", 2])
    problems = validation_problems(graph | {"source": edits.EXAMPLE})
    assert any(re.search(message, problem) for problem in problems)


def validation_problems(graph: edits.Graph) -> list[str]:
    table = NodeTable.shipped()
    with use(edits.InputHost(Path("unused"))):
        return [str(problem) for problem in validate(read_workflow(graph, table).graph, table)]


def test_a_repaint_needs_region_text_or_a_mask() -> None:
    for text in ("", "  "):
        graph = edits.repaint(text, edits.EXAMPLE)
        assert any("region is missing" in problem for problem in validation_problems(graph)), text
        # Validation sees that a mask is connected, not what it is.
        with_mask = edits.repaint(text, edits.EXAMPLE, mask=["source", 0])
        assert not any("region is missing" in problem for problem in validation_problems(with_mask)), text


def test_connected_region_text_is_checked_when_it_runs(tmp_path: Path) -> None:
    repaint = NODE_CLASS_MAPPINGS["AceStepXLRepaint"]
    assert repaint.VALIDATE_INPUTS(regions=None, audio=None, vae=None) is True
    graph = edits.repaint("", edits.SOURCE) | {"text input": edits.object_node("text")}
    graph["edit"]["inputs"]["regions"] = ["text input", 0]
    objects = {"s": edits.audio(edits.white_noise(2, 2 * RATE)), "text": "1-2, oops"}
    with pytest.raises(NodeError, match=r"at character 6, 'oops'"):
        edits.run(tmp_path, graph, objects=objects)
