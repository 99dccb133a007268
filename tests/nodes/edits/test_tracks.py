"""Tracks of a source: lego, extract and complete."""

from __future__ import annotations

from pathlib import Path

import edit_graphs as edits
import pytest
import torch
from recorded_calls import record_calls

from acestep_xl.model.predictor import Predictor
from acestep_xl.runner.execute import NodeError


@pytest.mark.parametrize("task", ["lego", "extract", "complete"])
def test_tracks_need_a_base_checkpoint(tmp_path: Path, task: str) -> None:
    graph = edits.edit(task, "Tracks", task=task, regions="", batch_size=1, audio=["source", 0], vae=["load", 2])
    graph["source"] = edits.EXAMPLE
    graph["text"]["inputs"]["tracks"] = "drums"
    with pytest.raises(NodeError, match=rf"{task} needs a base checkpoint: this one is .*sft.*_base"):
        edits.run(tmp_path, graph)
    assert not list(tmp_path.rglob("*.wav"))


def test_a_track_sees_silence_outside_a_source_latent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not zeros, which the network was not trained on. The demo network passes as a base checkpoint."""
    predictors = record_calls(monkeypatch, Predictor, "__init__")
    monkeypatch.setattr(edits.demo_networks()[0], "training_kind", "base")
    source = edits.random_latents(150)
    graph = edits.edit("lego", "Tracks", task="lego", regions="-2-0, 6-7", batch_size=1, latent=["s", 0])
    edits.latents(tmp_path, graph | {"s": edits.SOURCE}, objects={"s": {"samples": source}})
    silence = edits.demo_networks()[0].silent(225)
    expected = torch.cat([silence[:50], source[0].T, silence[200:]])
    (predictor,) = predictors
    assert torch.equal(predictor["context"][0, :, :64], expected)
