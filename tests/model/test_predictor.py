"""The predictor's shortcuts: halves in one batch, levels announced ahead, the context settled once. None shows."""

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


NEGATIVES = {"null": None, "wholly": (1.0,) * BATCH, "partly": (1.0, 0.0, 0.3), "not at all": (0.0,) * BATCH}


@pytest.mark.parametrize("sources", [1, BATCH])
@pytest.mark.parametrize("weights", NEGATIVES.values(), ids=NEGATIVES)
def test_both_velocities_in_one_batch_are_those_of_two(
    golden: Any, weights: tuple[float, ...] | None, sources: int
) -> None:
    options: dict[str, Any] = {"sources": sources}
    if weights is not None:
        options |= {"negative": condition(golden, 9, 6), "negative_weights": weights}
    x = latent(golden)
    together, apart = (predictor(golden, together=how, **options)(x, 0.7, unconditional=True) for how in (True, False))
    for one, other in zip(together, apart, strict=True):
        assert one is not None and other is not None
        torch.testing.assert_close(one, other, rtol=0, atol=2e-5)
    assert together[1] is not None and not torch.allclose(together[0], together[1], atol=1e-3)


def test_levels_announced_ahead_give_the_same_velocities(golden: Any) -> None:
    ahead, late = predictor(golden), predictor(golden)
    levels = [1.0, 0.83, 0.5, 0.5, 0.0]
    ahead.precompute_timesteps(levels)
    for t in [*levels, 0.31]:
        expected = late(latent(golden), t, unconditional=False)[0]
        torch.testing.assert_close(ahead(latent(golden), t, unconditional=False)[0], expected, rtol=0, atol=2e-5)


def test_the_predictor_is_the_network_itself(golden: Any) -> None:
    decoder = golden.network.decoder
    source = context.text_to_music(golden.network, FRAMES)
    states = condition(golden, 12, 5)
    x = latent(golden, 1)
    whole = decoder(x, torch.tensor([0.4]), source, decoder.remember(states.states, None))
    velocity, none = Predictor(golden.network, states, source)(x, 0.4, unconditional=False)
    torch.testing.assert_close(velocity, whole)
    assert none is None


def test_the_null_condition_is_a_constant(golden: Any) -> None:
    """Attention over copies of one token does not depend on the query, so the shortcut is exact."""
    decoder, network = golden.network.decoder, golden.network
    source, x = context.text_to_music(network, FRAMES), latent(golden, 1)
    copies = network.null_condition_emb.expand(1, 17, -1)
    attended = decoder(x, torch.tensor([0.4]), source, decoder.remember(copies, None))
    constant = Predictor(network, condition(golden, 12, 5), source)(x, 0.4, unconditional=True)[1]
    assert constant is not None
    torch.testing.assert_close(constant, attended, rtol=0, atol=2e-5)
