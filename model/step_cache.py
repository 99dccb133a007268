"""Skipping most of the network at steps that hardly change it, known as first-block cache.

The first layer is always computed. Where what it adds has changed little since the evaluation that last went through
all layers, the others are not computed, and what they added then is added again (the idea is TeaCache's, by Liu et al.,
2024; with the first layer as the measure it is ParaAttention's).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from .transformer import Halves, LayerCondition, Memory, Run

FIRST = 1  # layers that are always computed


@dataclass
class Counts:
    """Evaluations of songs, and how many of them reused the other layers' work."""

    evaluated: int = 0
    reused: int = 0


class StepCache:
    """What one condition's evaluations of a run left behind. Make one for each condition and each run.

    Every song of a batch decides for itself, so it comes out as it would alone. Only an evaluation through all layers
    replaces what is kept: asking twice at one point, as some solvers do, gives one answer and leaves one state.
    """

    def __init__(self, threshold: float, counts: Counts | None = None) -> None:
        """threshold: mean change of what the first layer adds, relative to its mean magnitude, below which the other
        layers are skipped. 0 never skips. counts: where to count."""
        self._threshold = threshold
        self._counts = Counts() if counts is None else counts
        self._first: Tensor | None = None  # what the first layers added, ``[b s hidden]``
        self._rest: Tensor | None = None  # what the others added then

    def through(self, run: Run, h: Tensor, modulation: Tensor, condition: list[LayerCondition]) -> Tensor:
        """Tokens ``[b s hidden]`` through all layers, or through the first ones alone."""
        after = run(h, modulation, condition, 0, FIRST)
        first = after - h
        stale = self._stale(first)
        self._counts.evaluated += len(stale)
        self._counts.reused += stale.count(False)
        if all(stale):
            done = run(after, modulation, condition, FIRST, None)
            self._first, self._rest = first, done - after
            return done
        assert self._first is not None and self._rest is not None
        done = after + self._rest
        if any(stale):
            items = torch.tensor([i for i, old in enumerate(stale) if old], device=h.device)
            anew = run(after[items], _of_items(modulation, items), [_select(c, items) for c in condition], FIRST, None)
            self._first[items], self._rest[items] = first[items], anew - after[items]
            done[items] = anew
        return done

    def _stale(self, first: Tensor) -> list[bool]:
        """For every song, whether all layers have to be computed."""
        if self._first is None or self._first.shape != first.shape:
            return [True] * len(first)
        change = (first - self._first).abs().mean((1, 2), dtype=torch.float32)
        size = self._first.abs().mean((1, 2), dtype=torch.float32)
        # NaN is not below anything, so a broken network is computed and seen.
        return [not small for small in (change < self._threshold * size).tolist()]


def _select(condition: LayerCondition, items: Tensor) -> LayerCondition:
    """A layer's view of the condition for some songs."""
    if isinstance(condition, Memory):
        mask = None if condition.mask is None else _of_items(condition.mask, items)
        return Memory(_of_items(condition.k, items), _of_items(condition.v, items), mask)
    if isinstance(condition, Halves):
        raise TypeError("a step cache is of one condition, and this batch reads two; evaluate them one by one")
    return _of_items(condition, items)


def _of_items(values: Tensor, items: Tensor) -> Tensor:
    """Rows of some songs; a single row is everybody's."""
    return values if len(values) == 1 else values[items]
