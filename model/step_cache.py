"""First-block cache: skips most layers at steps that hardly change their result.

The first layer is always computed. If its residual has changed little since the last evaluation of all layers, the
other layers are skipped and the residual they added then is added again. The idea is TeaCache's (Liu et al. 2024); the
first layer as the measure is ParaAttention's.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from .transformer import RunLayers
from .transformer_layer import ConditionKV, LayerCondition, PairedConditions

FIRST = 1  # layers that are always computed


@dataclass
class Counts:
    """Evaluations, one per song of a batch, and how many of them reused the other layers' residual."""

    evaluated: int = 0
    reused: int = 0


class StepCache:
    """Residuals of the last full evaluation under one condition. Make one for each condition and each run.

    Every song of a batch decides for itself, so it comes out as it would alone. Only an evaluation of all layers
    updates the cache: evaluating twice at one point, as some solvers do, gives one result and leaves one state.
    """

    def __init__(self, threshold: float, counts: Counts | None = None) -> None:
        """threshold: mean change of the first layer's residual, relative to its mean magnitude, below which the other
        layers are skipped. 0 never skips. counts: shared by the caches of a run."""
        self._threshold = threshold
        self._counts = Counts() if counts is None else counts
        self._first: Tensor | None = None  # residual of the first layers, ``[b s hidden]``
        self._rest: Tensor | None = None  # residual of the other layers at that evaluation

    def run(self, run_layers: RunLayers, h: Tensor, modulation: Tensor, condition: list[LayerCondition]) -> Tensor:
        """Run tokens ``[b s hidden]`` through all layers, or through the first and add the cached residual."""
        after_first = run_layers(h, modulation, condition, 0, FIRST)
        first = after_first - h
        stale = self._stale(first)
        self._counts.evaluated += len(stale)
        self._counts.reused += stale.count(False)
        if all(stale):
            out = run_layers(after_first, modulation, condition, FIRST, None)
            self._first, self._rest = first, out - after_first
            return out
        assert self._first is not None and self._rest is not None
        out = after_first + self._rest
        if any(stale):
            items = torch.tensor([i for i, is_stale in enumerate(stale) if is_stale], device=h.device)
            conditions = [_select(layer_condition, items) for layer_condition in condition]
            fresh = run_layers(after_first[items], _rows(modulation, items), conditions, FIRST, None)
            self._first[items], self._rest[items] = first[items], fresh - after_first[items]
            out[items] = fresh
        return out

    def _stale(self, first: Tensor) -> list[bool]:
        """For every song, whether all layers must be computed."""
        if self._first is None or self._first.shape != first.shape:
            return [True] * len(first)
        change = (first - self._first).abs().mean((1, 2), dtype=torch.float32)
        magnitude = self._first.abs().mean((1, 2), dtype=torch.float32)
        # NaN compares as stale, so damaged weights are computed and detected.
        return [not small for small in (change < self._threshold * magnitude).tolist()]


def _select(condition: LayerCondition, items: Tensor) -> LayerCondition:
    """A layer's condition, restricted to some songs."""
    if isinstance(condition, ConditionKV):
        mask = None if condition.mask is None else _rows(condition.mask, items)
        return ConditionKV(_rows(condition.k, items), _rows(condition.v, items), mask)
    if isinstance(condition, PairedConditions):
        raise TypeError("a step cache holds one condition and this batch has two; evaluate them one by one")
    return _rows(condition, items)


def _rows(values: Tensor, items: Tensor) -> Tensor:
    """Rows of some songs; a single row belongs to all of them."""
    return values if len(values) == 1 else values[items]
