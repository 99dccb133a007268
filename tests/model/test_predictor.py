"""The predictor's shortcuts change no numbers: two velocities in one batch, precomputed timesteps, one context."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from acestep_xl.model import context
from acestep_xl.model.condition import Condition
from acestep_xl.model.predictor import Predictor

FRAMES, BATCH = 301, 3  # an odd number, and more tokens than the window holds


def condition(golden: Any, tokens: int, seed: int, batch: int = 1) -> Condition:
    generator = torch.Generator().manual_seed(seed)
    width = golden.network.config.encoder.hidden
    mask = None if batch == 1 else torch.arange(tokens) < torch.tensor([[tokens]] * (batch - 1) + [[tokens - 4]])
    return Condition(torch.randn(batch, tokens, width, generator=generator), mask)


def latent(golden: Any, batch: int = BATCH) -> Tensor:
    generator = torch.Generator().manual_seed(1)
    return torch.randn(batch, FRAMES, golden.network.config.latent_channels, generator=generator)


def predictor(golden: Any, *, sources: int = 1, **options: Any) -> Predictor:
    source = context.text_to_music(golden.network, FRAMES).repeat(sources, 1, 1)
    source = source + 0.1 * torch.arange(sources)[:, None, None]
    return Predictor(golden.network, condition(golden, 12, 5, BATCH), source, **options)


NEGATIVES = {"null": None, "full": (1.0,) * BATCH, "mixed": (1.0, 0.0, 0.3), "zero": (0.0,) * BATCH}


@pytest.mark.parametrize("sources", [1, BATCH])
@pytest.mark.parametrize("weights", NEGATIVES.values(), ids=NEGATIVES)
def test_batched_velocities_equal_separate_ones(golden: Any, weights: tuple[float, ...] | None, sources: int) -> None:
    options: dict[str, Any] = {"sources": sources}
    if weights is not None:
        options |= {"negative": condition(golden, 9, 6), "negative_weights": weights}
    x = latent(golden)
    batched, separate = (
        predictor(golden, batched=option, **options)(x, 0.7, unconditional=True) for option in (True, False)
    )
    for actual, expected in zip(batched, separate, strict=True):
        assert actual is not None and expected is not None
        torch.testing.assert_close(actual, expected, rtol=0, atol=2e-5)
    assert batched[1] is not None and not torch.allclose(batched[0], batched[1], atol=1e-3)


def test_precomputed_timesteps_give_the_same_velocities(golden: Any) -> None:
    prepared, plain = predictor(golden), predictor(golden)
    levels = [1.0, 0.83, 0.5, 0.5, 0.0]
    prepared.precompute_timesteps(levels)
    for t in [*levels, 0.31]:
        expected = plain(latent(golden), t, unconditional=False)[0]
        torch.testing.assert_close(prepared(latent(golden), t, unconditional=False)[0], expected, rtol=0, atol=2e-5)


def test_the_predictor_gives_the_networks_velocity(golden: Any) -> None:
    decoder = golden.network.decoder
    source = context.text_to_music(golden.network, FRAMES)
    states = condition(golden, 12, 5)
    x = latent(golden, 1)
    expected = decoder(x, torch.tensor([0.4]), source, decoder.project_kv(states.states, None))
    velocity, unconditional = Predictor(golden.network, states, source)(x, 0.4, unconditional=False)
    torch.testing.assert_close(velocity, expected)
    assert unconditional is None


def test_the_null_condition_is_a_constant(golden: Any) -> None:
    """Attention over copies of one token does not depend on the query, so the shortcut is exact."""
    decoder, network = golden.network.decoder, golden.network
    source, x = context.text_to_music(network, FRAMES), latent(golden, 1)
    copies = network.null_condition_emb.expand(1, 17, -1)
    attended = decoder(x, torch.tensor([0.4]), source, decoder.project_kv(copies, None))
    constant = Predictor(network, condition(golden, 12, 5), source)(x, 0.4, unconditional=True)[1]
    assert constant is not None
    torch.testing.assert_close(constant, attended, rtol=0, atol=2e-5)
