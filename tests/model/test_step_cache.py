"""The step cache: exact where it must be, blind to other songs and other runs, and honest about what it skipped."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from acestep_xl.model import random_network
from acestep_xl.model.condition import Condition
from acestep_xl.model.predictor import Predictor
from acestep_xl.model.quantise import share
from acestep_xl.model.step_cache import Counts, StepCache
from acestep_xl.model.transformer import Halves, LayerCondition

FRAMES, TOKENS = 40, 9


def predictor(threshold: float, songs: int = 1, prompts: int = 1, only: int | None = None, **options: Any) -> Predictor:
    """A predictor of songs, or of one of them alone."""
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


def path(predict: Predictor, x: Tensor, steps: int = 12, unconditional: bool = True) -> list[Tensor]:
    """Euler's way with the mean of both velocities, and every velocity on it."""
    seen = []
    for i in range(steps):
        both = [y for y in predict(x, 1 - i / steps, unconditional=unconditional) if y is not None]
        seen += both
        x = x - sum(both) / len(both) / steps
    return seen


def test_without_a_threshold_nothing_is_kept_and_the_bits_are_the_same() -> None:
    predict = predictor(0.0)
    plain = [y for y in path(predict, latents())]
    assert predict.counts == Counts()
    # A cache whose threshold is 0 goes through all layers every time, and their numbers come out untouched.
    never = StepCache(0.0)
    predict = predictor(0.0)
    predict._cache = lambda condition: never  # pyright: ignore[reportAttributeAccessIssue]
    assert all(torch.equal(a, b) for a, b in zip(plain, path(predict, latents()), strict=True))
    assert never._counts.evaluated == 24 and never._counts.reused == 0


def test_a_larger_threshold_skips_more_and_a_step_that_hardly_changes_is_close() -> None:
    exact, reused = path(predictor(0.0), latents()), []
    for threshold in (0.001, 0.05, 0.3, 1.0):
        predict = predictor(threshold)
        near = path(predict, latents())
        reused.append(predict.counts.reused)
        assert predict.counts.evaluated == 24
        if threshold == 0.05:
            assert torch.cosine_similarity(near[-2].flatten(), exact[-2].flatten(), dim=0) > 0.98
    assert reused == sorted(reused) and reused[0] == 0 and 0 < reused[-1] <= 22, "the first step is always computed"


def test_asking_twice_at_one_point_gives_one_answer_and_one_state() -> None:
    x, other = latents(), latents() + 0.02 * torch.randn(1, FRAMES, 64, generator=torch.Generator().manual_seed(5))
    once, twice = predictor(0.1), predictor(0.1)
    first = once(x, 0.7, unconditional=True)
    for _ in range(3):
        again = twice(x, 0.7, unconditional=True)
        for a, b in zip(first, again, strict=True):
            torch.testing.assert_close(a, b, rtol=0, atol=2e-6)
    for a, b in zip(once(other, 0.68, unconditional=True), twice(other, 0.68, unconditional=True), strict=True):
        assert torch.equal(a, b), "what was kept is that of the one computed evaluation"


@pytest.mark.parametrize("prompts", [1, 3])
def test_every_song_decides_for_itself(prompts: int) -> None:
    """Songs that move at different speeds, so that some steps compute only a part of the batch."""
    songs, speed = 3, torch.tensor([0.01, 0.3, 3.0])[:, None, None]
    drift = torch.randn(songs, FRAMES, 64, generator=torch.Generator().manual_seed(2)) * speed
    whole, mixed = predictor(0.1, songs, prompts), False
    alone = [predictor(0.1, songs, prompts, only=i) for i in range(songs)]
    for i in range(6):
        x, before = latents(songs) + i * drift, whole.counts.reused
        together = whole(x, 0.5, unconditional=True)
        for song, single in enumerate(alone):
            pair = single(x[song : song + 1], 0.5, unconditional=True)
            for a, b in zip(together, pair, strict=True):
                assert a is not None and b is not None
                torch.testing.assert_close(a[song : song + 1], b, rtol=0, atol=2e-5)
        mixed |= 0 < whole.counts.reused - before < 2 * songs
    assert mixed and whole.counts.reused == sum(single.counts.reused for single in alone)


def test_both_velocities_decide_for_themselves_and_a_run_knows_nothing_of_another() -> None:
    network = share(random_network.network())
    network.step_cache = 1.0
    draw = torch.Generator().manual_seed(0)
    condition = Condition(torch.randn(1, TOKENS, random_network.CONFIG.encoder.hidden, generator=draw), None)
    context = torch.randn(1, FRAMES, 128, generator=draw)
    one = Predictor(network, condition, context)
    one(latents(), 0.9, unconditional=False)
    one(latents(), 0.9, unconditional=True)
    assert one.counts == Counts(4 - 1, 1), "the unconditional velocity was computed: nothing of it was kept yet"
    two = Predictor(network, condition, context)
    two(latents(), 0.9, unconditional=True)
    assert two.counts == Counts(2, 0)


def test_a_batch_of_another_size_is_computed_and_a_damaged_step_never_skipped() -> None:
    cache = StepCache(1.0)
    double = lambda h, modulation, condition, first, end: h * (2 if first == 0 else 3)  # noqa: E731
    modulation, none = torch.zeros(1, 6, 4), [torch.zeros(1, 1, 4)]
    h = torch.ones(2, 5, 4)
    assert torch.equal(cache.through(double, h, modulation, none), 6 * h)
    # The first layer adds h; it changes by half, so the rest adds what it added before: 4.
    assert torch.equal(cache.through(double, 1.5 * h, modulation, none), 3 * h + 4)
    assert torch.equal(cache.through(double, h[:1], modulation, none), 6 * h[:1])
    damaged = cache.through(double, h[:1] * float("nan"), modulation, none)
    assert damaged.isnan().all() and cache._counts == Counts(6, 2)


def test_a_batch_that_reads_two_conditions_is_refused() -> None:
    cache, one = StepCache(0.5), torch.zeros(1, 1, 4)
    halves: list[LayerCondition] = [Halves(one, one)]
    add = lambda h, modulation, condition, first, end: h + 1 if first == 0 else h  # noqa: E731
    grow = lambda h, modulation, condition, first, end: h + torch.tensor([1.0, 9.0])[:, None, None]  # noqa: E731
    cache.through(add, torch.ones(2, 5, 4), torch.zeros(1, 6, 4), halves)
    with pytest.raises(TypeError, match="evaluate them one by one"):
        cache.through(grow, torch.ones(2, 5, 4), torch.zeros(1, 6, 4), halves)
