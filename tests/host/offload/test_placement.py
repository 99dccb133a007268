"""Which blocks a placement loads within a budget."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from acestep_xl.host.offload.placement import NetworkSizes, Placement, choose_placement, spread_evenly

SIZES = NetworkSizes(fixed=10, per_run=(30, 20), per_step=(100,) * 10, largest=40)


@pytest.mark.parametrize(
    ("budget", "expected"),
    [
        (1060, Placement((0, 1), tuple(range(10)), 1060, 0)),
        (1059, Placement((), (0, 1, 2, 3, 4, 5, 6, 7, 8), 910, 100)),
        (1009, Placement((), (0, 1, 2, 3, 5, 6, 7, 8), 810, 100)),
        (610, Placement((), (0, 2, 4, 6, 8), 510, 100)),
        (209, Placement((), (), 10, 100)),
        (0, Placement((), (), 10, 100)),
    ],
)
def test_placements_by_budget(budget: int, expected: Placement) -> None:
    assert choose_placement(SIZES, budget) == expected


def test_blocks_that_run_once_a_run_are_offloaded_first() -> None:
    sizes = NetworkSizes(fixed=0, per_run=(300, 200), per_step=(10,) * 4, largest=10)
    assert choose_placement(sizes, 60) == Placement((), (0, 1, 2, 3), 40, 20)
    assert choose_placement(sizes, 260) == Placement((1,), (0, 1, 2, 3), 240, 20)
    assert choose_placement(sizes, 539) == Placement((1,), (0, 1, 2, 3), 240, 20)


@given(count=st.integers(0, 40), omitted=st.integers(0, 40))
def test_omitted_blocks_are_spread_evenly(count: int, omitted: int) -> None:
    chosen = spread_evenly(count, count + omitted)
    assert len(chosen) == count
    rest = sorted(set(range(count + omitted)) - set(chosen))
    gaps = [b - a for a, b in pairwise(rest)]
    assert not gaps or max(gaps) - min(gaps) <= 1
