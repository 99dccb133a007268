"""Retake: variations between two seeds."""

from __future__ import annotations

from pathlib import Path

import edit_graphs as edits
import torch
from edit_graphs import node
from torch import Tensor


def test_a_retake_interpolates_between_two_seeds(tmp_path: Path) -> None:
    def song(graph: edits.Graph, seed: int) -> Tensor:
        return edits.latents(tmp_path, graph, {"sample.seed": seed})

    def retake(variance: float) -> Tensor:
        graph = edits.repaint("2-3", edits.EXAMPLE, batch_size=2)
        graph["retake"] = node("Retake", seed=3, retake_seed=90, variance=variance)
        graph["sample"]["inputs"]["noise"] = ["retake", 0]
        return song(graph, 12345)

    plain, other = (song(edits.repaint("2-3", edits.EXAMPLE, batch_size=2), seed) for seed in (3, 90))
    assert torch.equal(retake(0.0), plain)
    torch.testing.assert_close(retake(1.0), other, rtol=0, atol=1e-5)
    between = retake(0.3)
    assert (between - plain).abs().max() > 0.01 < (between - other).abs().max()
