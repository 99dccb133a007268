"""Songs of the shipped demo checkpoint: they follow their prompt, and edits keep their source.

The complete measurement is `python -m training.evaluate_demo`; these are a few of its cases, with limits below its
results and above chance.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
import training_package  # noqa: F401 - makes the folder training importable
from demo_network import shipped_demo

from acestep_xl.model import demo
from training import evaluate, evaluate_edits, generate, held_out, measure, sounds
from training.composer import Plan
from training.generate import Checkpoint
from training.measure import Measurement

pytestmark = pytest.mark.slow
CASES, SEED, STEPS = 12, 77_000, 20
FRAMES = evaluate.SECONDS * sounds.RATE // sounds.HOP
# From `measure.calibrate` for the published page.
LIMITS = measure.Thresholds(loudness=-25.4, brightness=-16.8, drums=-37.8)


@pytest.fixture(scope="module")
def checkpoint() -> Iterator[Checkpoint]:
    with shipped_demo():
        yield Checkpoint(*demo.load())


@pytest.fixture(scope="module")
def songs(checkpoint: Checkpoint) -> tuple[list[Plan], list[Measurement]]:
    """Held-out plans, and measurements of the songs generated from their prompts."""
    cases = held_out.cases(CASES, evaluate.SECONDS, first=held_out.FIRST + SEED)
    prompts = [prompt for _, prompt in cases]
    latents = generate.songs(checkpoint, prompts, FRAMES, scale=7.0, steps=STEPS, seed=SEED)
    return [plan for plan, _ in cases], [measure.measure(wave) for wave in generate.decode(checkpoint, latents)]


# Percent of the songs. A guess is right for 21 of the tempos, 5 of the keys and about half of the others.
@pytest.mark.parametrize(
    ("wish", "least"), [("tempo", 75), ("key", 60), ("drums", 75), ("loud or soft", 75), ("bright or dark", 80)]
)
def test_songs_follow_their_prompts(songs: tuple[list[Plan], list[Measurement]], wish: str, least: float) -> None:
    plans, measurements = songs
    assert evaluate.fulfilled_percent(measurements, plans, LIMITS)[wish] >= least


def test_one_seed_is_one_song(checkpoint: Checkpoint) -> None:
    ((_, prompt),) = held_out.cases(1, 4)
    reloaded = Checkpoint(*demo.load())
    one, two = (generate.songs(c, [prompt], 100, scale=7.0, steps=3, seed=5) for c in (checkpoint, reloaded))
    other = generate.songs(checkpoint, [prompt], 100, scale=7.0, steps=3, seed=6)
    assert torch.equal(one, two) and not torch.equal(one, other)


def test_a_repaint_keeps_the_rest_and_its_tempo(checkpoint: Checkpoint) -> None:
    results = evaluate_edits.measure_repaints(checkpoint, 6, 7.0)
    assert results["largest change outside the region"] == 0
    assert results["tempo agrees (%)"] >= 60 and results["key agrees (%)"] >= 60


def test_an_extension_continues_the_beat(checkpoint: Checkpoint) -> None:
    assert evaluate_edits.measure_extensions(checkpoint, 6, 7.0)["beat continues (%)"] >= 60


def test_a_cover_has_the_key_of_its_source(checkpoint: Checkpoint) -> None:
    """The prompt does not name it; a guess is right once in twenty times."""
    assert evaluate_edits.measure_covers(checkpoint, 6, 7.0)["key agrees (%)"] >= 60
