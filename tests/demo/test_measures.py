"""The measures of the demo network's songs: gains, chance and thresholds, in closed form."""

from __future__ import annotations

from dataclasses import replace

import pytest
import training_package  # noqa: F401 - makes the folder training importable
from hypothesis import given
from hypothesis import strategies as st

from training import composer, evaluate, measure
from training.measure import Measurement, Thresholds

LIMITS = Thresholds(loudness=-20.0, brightness=-20.0, drums=-40.0)


def test_a_gain_counts_the_pairs_that_differ() -> None:
    """Ten better and none worse happen by chance once in 2^10; the ninety others do not count."""
    same = [True] * 45 + [False] * 45
    assert evaluate.gain([True] * 10 + same, [False] * 10 + same) == pytest.approx((10.0, 2**-10))
    assert evaluate.gain([False] * 10 + same, [True] * 10 + same) == pytest.approx((-10.0, 1.0))
    assert evaluate.gain([True, False], [False, True]) == pytest.approx((0.0, 0.75))
    assert evaluate.gain([True, False], [True, False]) == (0.0, 1.0)


@given(st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=60))
def test_a_gain_is_the_difference_of_the_shares(pairs: list[tuple[bool, bool]]) -> None:
    more, less = ([pair[i] for pair in pairs] for i in (0, 1))
    points, p = evaluate.gain(more, less)
    assert points == pytest.approx(100 * (sum(more) - sum(less)) / len(pairs)) and 0 < p <= 1


def test_chance_compares_songs_with_the_prompts_of_others() -> None:
    """All songs have drums, and two of four prompts ask for them: the prompts of other songs do half of the time."""
    plans = [replace(composer.draw_plan(1, 8), drums=i < 2) for i in range(4)]
    songs = [Measurement(plans[0].bpm, plans[0].key, -10.0, -10.0, -10.0)] * 4
    chance = evaluate.chance(songs, plans, LIMITS)
    assert chance["drums"] == 50 and chance["tempo"] == chance["key"] == 100
    assert evaluate.fulfilled_percent(songs, plans, LIMITS) == chance


@pytest.mark.parametrize(
    ("estimate", "agrees"), [(100, True), (103.9, True), (104.1, False), (50, True), (201, True), (150, False)]
)
def test_tempos_agree_within_four_percent_and_by_octaves(estimate: float, agrees: bool) -> None:
    assert measure.tempo_agrees(estimate, 100) == agrees


def test_thresholds_leave_the_fewest_on_the_wrong_side() -> None:
    assert measure.best_threshold([0, 1, 2, 10, 11, 12], [False] * 3 + [True] * 3) == 6
    assert measure.best_threshold([0, 1, 9, 10, 11, 2], [False, False, False, True, True, True]) in (1.5, 9.5)


def test_gains_count_prompts_and_not_songs() -> None:
    """Of two prompts with three songs each, one differs, which happens by chance every second time."""
    plans = [replace(composer.draw_plan(1, 8), drums=drums) for drums in (True, False)] * 3
    right = [Measurement(p.bpm, p.key, -10.0, -10.0, -10.0 if p.drums else -50.0) for p in plans]
    without_drums = [replace(song, drums=-50.0) for song in right]
    gains = evaluate.gains({7.0: right, 1.0: without_drums}, plans, LIMITS, 2)
    assert gains["drums"] == "+50, not clear (p 0.5)" and gains["tempo"] == "+0, not clear (p 1)"
