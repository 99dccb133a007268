"""What the shipped demo checkpoint makes, as music: does it do what the prompt says, and do edits keep their source?

The whole measurement is `python -m training.evaluate_demo`; these are a handful of its cases, with limits below what it
found and above chance.
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
from training.measure import Measured

pytestmark = pytest.mark.slow
CASES, SEED, STEPS = 12, 77_000, 20
FRAMES = evaluate.SECONDS * sounds.RATE // sounds.HOP
# What divides composed songs (`measure.calibrate` of the published page).
LIMITS = measure.Thresholds(loudness=-25.4, brightness=-16.8, drums=-37.8)


@pytest.fixture(scope="module")
def checkpoint() -> Iterator[Checkpoint]:
    with shipped_demo():
        yield Checkpoint(*demo.load())


@pytest.fixture(scope="module")
def songs(checkpoint: Checkpoint) -> tuple[list[Plan], list[Measured]]:
    """Held-out plans, and what is heard in the songs of their prompts."""
    cases = held_out.cases(CASES, evaluate.SECONDS, first=held_out.FIRST + SEED)
    prompts = [prompt for _, prompt in cases]
    latents = generate.songs(checkpoint, prompts, FRAMES, scale=7.0, steps=STEPS, seed=SEED)
    return [plan for plan, _ in cases], [measure.measure(wave) for wave in generate.decoded(checkpoint, latents)]


# Percent of the songs. A guess finds 21 of the tempos, 5 of the keys and about half of the others.
@pytest.mark.parametrize(
    ("wish", "least"), [("tempo", 75), ("key", 60), ("drums", 75), ("loud or soft", 75), ("bright or dark", 80)]
)
def test_songs_do_what_their_prompts_say(songs: tuple[list[Plan], list[Measured]], wish: str, least: float) -> None:
    plans, heard = songs
    assert evaluate.percent(heard, plans, LIMITS)[wish] >= least


def test_one_seed_is_one_song(checkpoint: Checkpoint) -> None:
    ((_, prompt),) = held_out.cases(1, 4)
    again = Checkpoint(*demo.load())
    one, two = (generate.songs(c, [prompt], 100, scale=7.0, steps=3, seed=5) for c in (checkpoint, again))
    other = generate.songs(checkpoint, [prompt], 100, scale=7.0, steps=3, seed=6)
    assert torch.equal(one, two) and not torch.equal(one, other)


def test_a_repaint_keeps_the_rest_and_its_tempo(checkpoint: Checkpoint) -> None:
    found = evaluate_edits.edited(checkpoint, 6, 7.0)
    assert found["largest change of a latent outside"] == 0
    assert found["tempo agrees (%)"] >= 60 and found["key agrees (%)"] >= 60


def test_an_appended_part_goes_on_in_the_beat(checkpoint: Checkpoint) -> None:
    assert evaluate_edits.extended(checkpoint, 6, 7.0)["beat goes on (%)"] >= 60


def test_a_cover_has_the_key_of_its_source(checkpoint: Checkpoint) -> None:
    """The prompt does not say it; one guess in twenty is right."""
    assert evaluate_edits.covered(checkpoint, 6, 7.0)["key agrees (%)"] >= 60
