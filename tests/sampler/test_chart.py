"""Charts: ticks, bounds and what is drawn where."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from acestep_xl.sampler.chart import BOTTOM, HEIGHT, LEFT, RIGHT, TOP, WIDTH, Panel, Series, draw, ticks

RED = "#ff0000"
INNER_WIDTH, INNER_HEIGHT = WIDTH - LEFT - RIGHT, HEIGHT - TOP - BOTTOM


def red_rows(image: np.ndarray, column: int) -> np.ndarray:
    """Rows in which a column is red."""
    pixels = image[:, column].astype(int)
    return np.flatnonzero(pixels[:, 0] - pixels[:, 1] > 60)


@given(st.floats(-1e6, 1e6), st.floats(1e-3, 1e6))
def test_ticks_are_round_few_and_within_the_bounds(low: float, span: float) -> None:
    high = low + span
    marks = ticks(low, high)
    assert 2 <= len(marks) <= 8
    assert all(low - 1e-6 * span <= mark <= high + 1e-6 * span for mark in marks)
    step = (marks[-1] - marks[0]) / (len(marks) - 1)
    assert f"{step:.0e}"[0] in "125"


def test_a_line_goes_where_its_values_are() -> None:
    line = Series([0, 1], [0, 1], RED, markers=False)
    image = draw([Panel("", "", "", (line,), (0.0, 1.0))])
    assert image.shape == (HEIGHT, WIDTH, 3) and image.dtype == np.uint8
    for share in (0.1, 0.5, 0.9):
        # The x axis has a margin of 3 % on either side.
        column = LEFT + round((share + 0.03) / 1.06 * INNER_WIDTH)
        assert red_rows(image, column).mean() == pytest.approx(TOP + (1 - share) * INNER_HEIGHT, abs=2)


def test_missing_values_interrupt_a_line_and_equal_ones_are_drawn() -> None:
    gap = Series([0, 1, 2, 3], [1.0, math.nan, math.nan, 1.0], RED, markers=False)
    image = draw([Panel("", "", "", (gap,))])
    assert not any(red_rows(image, column).size for column in range(LEFT, WIDTH))
    for values in ([5.0], [0.0, 0.0], [math.nan]):
        draw([Panel("", "", "", (Series(range(len(values)), values, RED),))])


def test_panels_stand_below_each_other() -> None:
    panels = [Panel("title", "x", "y", (Series([0, 1], [0, 1], RED, "red"),))] * 3
    image = draw(panels)
    assert len(image) == 3 * HEIGHT
    assert np.array_equal(image[:HEIGHT], image[HEIGHT : 2 * HEIGHT])
