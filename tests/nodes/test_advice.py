"""Advice that a run logs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import edit_graphs as edits
import graphs
import pytest
from guiders import make_guider

from acestep_xl.model import random_network


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
