"""Sources of ten minutes, and longer ones."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import edit_graphs as edits
import pytest
import soundfile
import torch
from edit_graphs import RATE

from acestep_xl.runner.execute import NodeError


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["audio", "latent"])
def test_ten_minutes(tmp_path: Path, kind: str) -> None:
    length = 600 * RATE
    if kind == "audio":
        source = edits.white_noise(2, length)
        graph, objects = edits.repaint("300-300.5", edits.SOURCE), {"s": edits.audio(source)}
    else:
        source = edits.random_latents(15000)
        graph = edits.without_splice(edits.repaint("300-300.5", latent=["s", 0])) | {"s": edits.SOURCE}
        objects = {"s": {"samples": source}}
    settings = {"schedule.steps": 1, "guider.scale": 1.0, "save.format": "flac"}
    run = edits.run(tmp_path, graph, settings, objects=objects, probes=("sample", "decode"))
    assert soundfile.info(run.files[0]).frames == length
    if kind == "latent":
        same = (run.outputs["sample"]["samples"] == source).all(dim=1)[0]
        # Strength 0.5 of one step injects the source in round(0.5) = 0 steps, so the border fades over 12 frames.
        assert (~same).nonzero().flatten().tolist() == list(range(7500 - 12, 7513 + 12))
    else:
        song = edits.read_integers(run.files[0])[: 299 * RATE]
        assert (song == (source.T[: 299 * RATE].double() * 2**23).round().int().numpy() << 8).all()


@pytest.mark.parametrize(
    ("source", "regions", "message"),
    [
        (edits.audio(torch.zeros(1, 601 * 8000), 8000), "300-301", r"the song would be 601 s long"),
        (edits.audio(torch.zeros(1, 599 * 8000), 8000), "599-601", r"region 599 s to 601 s lies beyond 600 s"),
        (edits.audio(torch.zeros(1, 599 * 8000), 8000), "-2-0", r"would be 601 s long \(2 s before the source, 599 s"),
    ],
)
def test_longer_than_ten_minutes(tmp_path: Path, source: dict[str, Any], regions: str, message: str) -> None:
    with pytest.raises(NodeError, match=message) as error:
        edits.run_repaint(tmp_path, source, regions)
    assert "600 s" in str(error.value)


def test_a_cover_of_more_than_ten_minutes(tmp_path: Path) -> None:
    audio = {"s": edits.audio(torch.zeros(1, 601 * 8000), 8000)}
    with pytest.raises(NodeError, match=r"the song would be 601 s long .*allowed are 1 to 600 s"):
        edits.run(tmp_path, edits.cover(edits.SOURCE), objects=audio)
    latent = {"s": {"samples": torch.zeros(1, 64, 15001)}}
    graph = edits.cover(latent=["s", 0]) | {"s": edits.SOURCE}
    with pytest.raises(NodeError, match=r"the song would be 600.04 s long .*allowed are 1 to 600 s"):
        edits.run(tmp_path, graph, objects=latent)
