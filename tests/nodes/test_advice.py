"""Advice that a run logs."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import edit_graphs as edits
import graphs
import pytest
import torch
from guiders import make_guider

from acestep_xl import host as hosts
from acestep_xl.host.headless import HeadlessHost
from acestep_xl.model import random_network
from acestep_xl.nodes.sampler import Sampler


@pytest.mark.parametrize(
    ("settings", "messages"),
    [
        ({"guider.scale": 1.0, "guider.negative": ["text", 0]}, ["the negative prompt has no effect"]),
        (
            {"text.lyrics": "Привет мир как дела", "text.duration": 200.0},
            ["Cyrillic", "3 steps on", "says 200 seconds"],
        ),
    ],
    ids=["guider", "prompt and sampler"],
)
def test_the_nodes_log_their_advice(
    settings: dict[str, Any], messages: list[str], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    graphs.run(tmp_path, settings)
    for message in messages:
        assert message in caplog.text


def test_a_prompt_for_another_task(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    edits.latents(tmp_path, edits.repaint("2-3", edits.EXAMPLE), {"text.task": "text2music"})
    assert "encoded for text2music and the source is set up for repaint" in caplog.text
    caplog.clear()
    edits.latents(tmp_path, edits.repaint("2-3", edits.EXAMPLE))
    assert "encoded for" not in caplog.text


@pytest.mark.parametrize("task", ["repaint", "cover", "lego"])
def test_a_prompt_for_a_task_without_its_source(tmp_path: Path, caplog: pytest.LogCaptureFixture, task: str) -> None:
    edits.latents(tmp_path, edits.text_to_music(2.0, task=task))
    assert f"encoded for {task}" in caplog.text


@pytest.mark.parametrize(
    ("kind", "scale", "advised"), [("sft", 7.0, False), ("turbo", 1.0, False), ("turbo", 7.0, True)]
)
def test_guidance_on_a_turbo_checkpoint(
    kind: str, scale: float, advised: bool, caplog: pytest.LogCaptureFixture
) -> None:
    network = random_network.load()[0]
    network.training_kind = kind
    make_guider(scale=scale, network=network)
    assert ("without guidance" in caplog.text) == advised


def test_a_region_far_beyond_its_source(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    edits.latents(tmp_path, edits.repaint("20-22", edits.EXAMPLE))
    assert "starts 12 s after the source, which ends at 8 s" in caplog.text
    caplog.clear()
    edits.latents(tmp_path, edits.repaint("7-10", edits.EXAMPLE))
    assert "after the source" not in caplog.text


def test_audio_codes_shorter_than_the_song(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    guider = make_guider()
    coded = replace(guider, positive=replace(guider.positive, codes=((7,) * 10,)))
    with hosts.use(HeadlessHost([], tmp_path, device="cpu")):
        Sampler().sample(coded, torch.tensor([1.0, 0.0]), {"samples": torch.zeros(1, 64, 250)}, 0)
    assert "the audio codes last 2 seconds and the song 10" in caplog.text
