"""Batches of edits, sources and prompts equal their single runs."""

from __future__ import annotations

from pathlib import Path

import edit_graphs as edits
import graphs
import numpy as np
import pytest
import torch
from edit_graphs import RATE, copy_node, node
from measure import batch_tolerance
from torch import Tensor

from acestep_xl.runner.execute import NodeError


@pytest.mark.parametrize("kind", ["repaint", "cover"])
def test_a_batch_of_edits_is_its_single_runs(tmp_path: Path, kind: str) -> None:
    def run_edit(batch: int, seed: int) -> graphs.Run:
        if kind == "repaint":
            graph = edits.repaint("-1-0, 2-3", edits.EXAMPLE, batch_size=batch)
        else:
            graph = edits.cover(edits.EXAMPLE, strength=0.5, source_start=0.3, batch_size=batch)
        return edits.run(tmp_path, graph, {"sample.seed": seed, "schedule.steps": 4}, probes=("sample",))

    batch = run_edit(3, 40)
    assert len(batch.files) == 3
    for i in range(3):
        single = run_edit(1, 40 + i)
        together, alone = (run.outputs["sample"]["samples"] for run in (batch, single))
        torch.testing.assert_close(together[i : i + 1], alone, rtol=0, atol=batch_tolerance(alone))
        # Wider than the latents' tolerance: the decoder amplifies their difference.
        songs = [edits.read_integers(file).astype(float) for file in (batch.files[i], single.files[0])]
        assert np.abs(songs[0] - songs[1]).max() < 2**31 * 1e-4


def test_a_batch_of_sources_is_its_single_runs(tmp_path: Path) -> None:
    sources = torch.stack([edits.white_noise(2, 2 * RATE, seed=seed) for seed in (1, 2)])

    def song(waveform: Tensor, seed: int) -> tuple[Tensor, Tensor]:
        graph = edits.repaint("0.5-1", edits.SOURCE)
        objects = {"s": {"waveform": waveform, "sample_rate": RATE}}
        outputs = edits.run(
            tmp_path, graph, {"sample.seed": seed}, objects=objects, probes=("sample", "splice")
        ).outputs
        return outputs["sample"]["samples"], outputs["splice"]["waveform"]

    latents, audio = song(sources, 5)
    for i in range(2):
        single_latents, single_audio = song(sources[i : i + 1], 5 + i)
        tolerance = batch_tolerance(single_latents)
        torch.testing.assert_close(latents[i : i + 1], single_latents, rtol=0, atol=tolerance)
        torch.testing.assert_close(audio[i : i + 1], single_audio, rtol=0, atol=1e-4)
    graph = edits.repaint("0.5-1", edits.SOURCE, batch_size=3)
    with pytest.raises(NodeError, match="batch_size is 3 and the source holds 2 songs"):
        edits.run(tmp_path, graph, objects={"s": {"waveform": sources, "sample_rate": RATE}})


def with_two_prompts(graph: edits.Graph) -> edits.Graph:
    """The graph with a second prompt, "other", for its second song."""
    caption, lyrics = "loud guitars and a choir of a hundred voices", "[Verse]\n" + "oh " * 99
    graph["other"] = copy_node(graph, "text", caption=caption, lyrics=lyrics, bpm=0)
    graph["both"] = node("BatchPrompts", first=["text", 0], second=["other", 0])
    graph["guider"]["inputs"]["positive"] = ["both", 0]
    return graph


@pytest.mark.parametrize("kind", ["text", "repaint", "cover"])
def test_a_batch_of_prompts_is_its_single_runs(tmp_path: Path, kind: str) -> None:
    def song(batch: int, prompt: str, seed: int) -> Tensor:
        if kind == "text":
            graph = with_two_prompts(edits.text_to_music(2.0, batch_size=batch))
        elif kind == "repaint":
            graph = with_two_prompts(edits.repaint("2-3", edits.EXAMPLE, batch_size=batch))
        else:
            graph = with_two_prompts(edits.cover(edits.EXAMPLE, strength=0.5, batch_size=batch))
        return edits.latents(tmp_path, graph, {"sample.seed": seed, "guider.positive": [prompt, 0]})

    both = song(2, "both", 3)
    first, second = song(1, "text", 3), song(1, "other", 4)
    alone = torch.cat([first, second])
    torch.testing.assert_close(both, alone, rtol=0, atol=batch_tolerance(alone))
    with pytest.raises(NodeError, match="2 prompts for 3 songs"):
        song(3, "both", 3)


@pytest.mark.parametrize("socket", ["positive", "negative"])
def test_a_batch_with_a_prompt_of_a_core_node(tmp_path: Path, socket: str) -> None:
    """Core's encode node writes none of this pack's own keys."""
    encoded = edits.run(tmp_path, edits.text_to_music(2.0), probes=("text",)).outputs["text"]
    text, extra = encoded[0]
    core = [[text, {key: value for key, value in extra.items() if not key.startswith("acestep_xl")}]]

    def song(name: str, batch: int, seed: int) -> Tensor:
        graph = with_two_prompts(edits.text_to_music(2.0, batch_size=batch)) | {"core": edits.object_node("core")}
        graph["other"]["inputs"]["task"] = "text2music"
        graph["both"]["inputs"] = {"first": ["core", 0], "second": ["other", 0]}
        graph["guider"]["inputs"] |= {"positive": ["text", 0], socket: [name, 0]}
        return edits.latents(tmp_path, graph, {"sample.seed": seed}, objects={"core": core})

    single = torch.cat([song("core", 1, 3), song("other", 1, 4)])
    try:
        both = song("both", 2, 3)
    except NodeError as error:
        # A batch needs one task, and core's prompts have none.
        assert "need the same task" in str(error)
        return
    torch.testing.assert_close(both, single, rtol=0, atol=batch_tolerance(single))


def test_negative_prompts_of_a_batch_may_be_empty(tmp_path: Path) -> None:
    """An empty negative prompt is the null condition, in a batch as alone."""

    def song(negative: str, batch: int, seed: int) -> Tensor:
        graph = edits.text_to_music(2.0, batch_size=batch)
        for name, caption in (("empty text", ""), ("noise", "noise, hiss, wrong notes")):
            graph[name] = copy_node(graph, "text", caption=caption)
        graph["negatives"] = node("BatchPrompts", first=["empty text", 0], second=["noise", 0])
        return edits.latents(tmp_path, graph, {"guider.negative": [negative, 0], "sample.seed": seed})

    both = song("negatives", 2, 3)
    single = torch.cat([song("empty text", 1, 3), song("noise", 1, 4)])
    torch.testing.assert_close(both, single, rtol=0, atol=batch_tolerance(single))
