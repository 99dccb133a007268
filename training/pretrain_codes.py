"""Trains the audio codes alone, before the transformer: five frames of music to one code, and back.

They are all that a cover gets of its source. So they learn from songs of all kinds, many windows per step, and are
frozen while the transformer learns.
"""

from __future__ import annotations

import logging

import numpy as np
import torch
from einops import rearrange
from torch import Tensor, nn

from acestep_xl.model.network import AceStep

from . import composer, dataset

logger = logging.getLogger(__name__)
SONGS, SECONDS, FRAMES = 40, 8, 60  # FRAMES of each song
RATE = 3e-3
NAMES = ("tokenizer.", "detokenizer.")


def round_trip_codes(network: AceStep, latents: Tensor) -> Tensor:
    """`AceStep.round_trip_codes` with gradients, which pass straight through the rounding.

    latents: `[b t 64]`, t a multiple of the window.
    """
    tokenizer, quantizer = network.tokenizer, network.tokenizer.quantizer
    windows = rearrange(latents, "b (n w) c -> (b n) w c", w=tokenizer.window)
    pooled = tokenizer.attention_pooler(tokenizer.audio_acoustic_proj(windows))
    z = quantizer.project_in(rearrange(pooled, "(b n) d -> b n d", b=len(latents))).float()
    span = torch.tensor(quantizer.levels, dtype=torch.float32) - 1
    limit = 1 + 1 / span
    bounded = torch.tanh(z / limit) * limit
    rounded = 2 * torch.floor(span * (bounded.clamp(-1, 1) + 1) / 2 + 0.5) / span - 1
    return network.detokenizer(quantizer.project_out(bounded + (rounded - bounded).detach()))


def draw_songs(seed: int, responses: dataset.ImpulseResponses) -> Tensor:
    """Latents `[b t 64]` of parts of songs, each from a random position."""
    rng = np.random.default_rng((seed, 7))
    rows = []
    for number in range(SONGS):
        plan = composer.draw_plan(seed * SONGS + number, SECONDS)
        first = int(rng.integers(plan.frames - FRAMES + 1))
        rows.append(responses.latents(composer.write_score(plan))[first : first + FRAMES])
    return torch.tensor(np.stack(rows))


def power_lost(network: AceStep, latents: Tensor) -> Tensor:
    """Fraction of their power that latents lose in the codes; soft songs count as much as loud ones."""
    error = (round_trip_codes(network, latents) - latents).square().mean((1, 2))
    return (error / latents.square().mean((1, 2))).mean()


def pretrain(network: AceStep, responses: dataset.ImpulseResponses, seed: int, steps: int) -> None:
    """Train the audio tokenizer and the detokenizer in place, then freeze them."""
    values = [value for name, value in network.named_parameters() if name.startswith(NAMES)]
    optimiser = torch.optim.AdamW(values, lr=RATE, betas=(0.9, 0.98), weight_decay=0.0, fused=True)
    for step in range(steps):
        share = min(1.0, (step + 1) / 50) * max(0.02, min(1.0, 2 * (1 - step / steps)))
        optimiser.param_groups[0]["lr"] = RATE * share
        loss = power_lost(network, draw_songs(seed * 100_000 + step, responses))
        loss.backward()
        nn.utils.clip_grad_norm_(values, 1.0)
        optimiser.step()
        optimiser.zero_grad(set_to_none=True)
        if step % 100 == 0 or step == steps - 1:
            logger.info("codes %d: %.3f of the power lost", step, loss.item())
    for value in values:
        value.requires_grad_(False)
