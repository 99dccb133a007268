"""The step cache: exact where nothing is skipped, independent across songs and runs, and counted correctly."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from acestep_xl.model import random_network
from acestep_xl.model.condition import Condition
from acestep_xl.model.network import share
from acestep_xl.model.predictor import Predictor
from acestep_xl.model.step_cache import Counts, StepCache
from acestep_xl.model.transformer_layer import LayerCondition, PairedConditions

FRAMES, TOKENS = 40, 9


def predictor(threshold: float, songs: int = 1, prompts: int = 1, only: int | None = None, **options: Any) -> Predictor:
    """A predictor for a batch of songs, or for only one of them."""
    network = share(random_network.network())
    network.step_cache = threshold
    draw = torch.Generator().manual_seed(0)
    states = torch.randn(prompts, TOKENS, random_network.CONFIG.encoder.hidden, generator=draw)
    mask = None if prompts == 1 else torch.arange(TOKENS) < torch.arange(TOKENS - prompts, TOKENS)[:, None]
    context = torch.randn(songs, FRAMES, 128, generator=draw)
    if only is not None:
        context = context[only : only + 1]
        states, mask = (y if y is None or prompts == 1 else y[only : only + 1] for y in (states, mask))
    return Predictor(network, Condition(states, mask), context, **options)


def latents(songs: int = 1) -> Tensor:
    return torch.randn(songs, FRAMES, 64, generator=torch.Generator().manual_seed(1))


def trajectory(predict: Predictor, x: Tensor, steps: int = 12, unconditional: bool = True) -> list[Tensor]:
    """Every velocity along an Euler trajectory that follows the mean of both."""
    velocities = []
    for i in range(steps):
        both = [y for y in predict(x, 1 - i / steps, unconditional=unconditional) if y is not None]
        velocities += both
        x = x - sum(both) / len(both) / steps
    return velocities


def test_without_a_threshold_nothing_is_cached_and_no_bit_changes() -> None:
    predict = predictor(0.0)
    plain = [y for y in trajectory(predict, latents())]
    assert predict.counts == Counts()
    # A cache with threshold 0 runs all layers every time and returns their result unchanged.
    never = StepCache(0.0)
    predict = predictor(0.0)
    predict._cache = lambda condition: never  # pyright: ignore[reportAttributeAccessIssue]
    assert all(torch.equal(a, b) for a, b in zip(plain, trajectory(predict, latents()), strict=True))
    assert never._counts.evaluated == 24 and never._counts.reused == 0


def test_a_larger_threshold_skips_more_and_a_small_one_stays_close() -> None:
    exact, reused = trajectory(predictor(0.0), latents()), []
    for threshold in (0.001, 0.05, 0.3, 1.0):
        predict = predictor(threshold)
        near = trajectory(predict, latents())
        reused.append(predict.counts.reused)
        assert predict.counts.evaluated == 24
        if threshold == 0.05:
            assert torch.cosine_similarity(near[-2].flatten(), exact[-2].flatten(), dim=0) > 0.98
    assert reused == sorted(reused) and reused[0] == 0 and 0 < reused[-1] <= 22, "the first step is always computed"


def test_evaluating_twice_at_one_point_gives_one_result_and_one_state() -> None:
    x, other = latents(), latents() + 0.02 * torch.randn(1, FRAMES, 64, generator=torch.Generator().manual_seed(5))
    once, twice = predictor(0.1), predictor(0.1)
    first = once(x, 0.7, unconditional=True)
    for _ in range(3):
        again = twice(x, 0.7, unconditional=True)
        for a, b in zip(first, again, strict=True):
            torch.testing.assert_close(a, b, rtol=0, atol=2e-6)
    for a, b in zip(once(other, 0.68, unconditional=True), twice(other, 0.68, unconditional=True), strict=True):
        assert torch.equal(a, b), "the cache holds the only full evaluation"


@pytest.mark.parametrize("prompts", [1, 3])
def test_every_song_decides_for_itself(prompts: int) -> None:
    """Songs change at different speeds, so some steps compute only part of the batch."""
    songs, speed = 3, torch.tensor([0.01, 0.3, 3.0])[:, None, None]
    drift = torch.randn(songs, FRAMES, 64, generator=torch.Generator().manual_seed(2)) * speed
    batch, partly_computed = predictor(0.1, songs, prompts), False
    alone = [predictor(0.1, songs, prompts, only=i) for i in range(songs)]
    for i in range(6):
        x, before = latents(songs) + i * drift, batch.counts.reused
        velocities = batch(x, 0.5, unconditional=True)
        for song, single in enumerate(alone):
            pair = single(x[song : song + 1], 0.5, unconditional=True)
            for a, b in zip(velocities, pair, strict=True):
                assert a is not None and b is not None
                torch.testing.assert_close(a[song : song + 1], b, rtol=0, atol=2e-5)
        partly_computed |= 0 < batch.counts.reused - before < 2 * songs
    assert partly_computed and batch.counts.reused == sum(single.counts.reused for single in alone)


def test_velocities_and_runs_have_separate_caches() -> None:
    network = share(random_network.network())
    network.step_cache = 1.0
    draw = torch.Generator().manual_seed(0)
    condition = Condition(torch.randn(1, TOKENS, random_network.CONFIG.encoder.hidden, generator=draw), None)
    context = torch.randn(1, FRAMES, 128, generator=draw)
    one = Predictor(network, condition, context)
    one(latents(), 0.9, unconditional=False)
    one(latents(), 0.9, unconditional=True)
    assert one.counts == Counts(4 - 1, 1), "the unconditional velocity was computed: it had no cache yet"
    two = Predictor(network, condition, context)
    two(latents(), 0.9, unconditional=True)
    assert two.counts == Counts(2, 0)


def test_a_batch_of_another_size_and_a_damaged_step_are_computed() -> None:
    cache = StepCache(1.0)
    double = lambda h, modulation, condition, first, end: h * (2 if first == 0 else 3)  # noqa: E731
    modulation, none = torch.zeros(1, 6, 4), [torch.zeros(1, 1, 4)]
    h = torch.ones(2, 5, 4)
    assert torch.equal(cache.run(double, h, modulation, none), 6 * h)
    # The first layer adds h. It changes by half, so the cached residual of the others is added: 4.
    assert torch.equal(cache.run(double, 1.5 * h, modulation, none), 3 * h + 4)
    assert torch.equal(cache.run(double, h[:1], modulation, none), 6 * h[:1])
    damaged = cache.run(double, h[:1] * float("nan"), modulation, none)
    assert damaged.isnan().all() and cache._counts == Counts(6, 2)


def test_a_batch_with_two_conditions_is_refused() -> None:
    cache, one = StepCache(0.5), torch.zeros(1, 1, 4)
    halves: list[LayerCondition] = [PairedConditions(one, one)]
    add = lambda h, modulation, condition, first, end: h + 1 if first == 0 else h  # noqa: E731
    grow = lambda h, modulation, condition, first, end: h + torch.tensor([1.0, 9.0])[:, None, None]  # noqa: E731
    cache.run(add, torch.ones(2, 5, 4), torch.zeros(1, 6, 4), halves)
    with pytest.raises(TypeError, match="evaluate them one by one"):
        cache.run(grow, torch.ones(2, 5, 4), torch.zeros(1, 6, 4), halves)
