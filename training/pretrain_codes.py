"""The audio codes learn alone, before there is a transformer to read them: five frames of music to one code, and back.

A cover reads nothing of its source but these. So they are learned on songs of all kinds, many windows a step, and stay
as they are when the transformer learns.
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
SONGS, SECONDS, FRAMES = 40, 8, 60  # a part of that many frames from each of the songs
RATE = 3e-3
NAMES = ("tokenizer.", "detokenizer.")


def through_codes(network: AceStep, latents: Tensor) -> Tensor:
    """What `AceStep.through_codes` returns, with gradients: rounding passes them on. latents: `[b t 64]`, t of whole
    windows."""
    tokenizer, quantizer = network.tokenizer, network.tokenizer.quantizer
    windows = rearrange(latents, "b (n w) c -> (b n) w c", w=tokenizer.window)
    pooled = tokenizer.attention_pooler(tokenizer.audio_acoustic_proj(windows))
    z = quantizer.project_in(rearrange(pooled, "(b n) d -> b n d", b=len(latents))).float()
    span = torch.tensor(quantizer.levels, dtype=torch.float32) - 1
    limit = 1 + 1 / span
    bounded = torch.tanh(z / limit) * limit
    rounded = 2 * torch.floor(span * (bounded.clamp(-1, 1) + 1) / 2 + 0.5) / span - 1
    return network.detokenizer(quantizer.project_out(bounded + (rounded - bounded).detach()))


def songs(seed: int, answers: dataset.Answers) -> Tensor:
    """`[b t 64]` some songs, each from a place of its own."""
    rng = np.random.default_rng((seed, 7))
    rows = []
    for number in range(SONGS):
        plan = composer.draw(seed * SONGS + number, SECONDS)
        first = int(rng.integers(plan.frames - FRAMES + 1))
        rows.append(answers.latents(composer.score(plan))[first : first + FRAMES])
    return torch.tensor(np.stack(rows))


def lost(network: AceStep, wanted: Tensor) -> Tensor:
    """Share of their power that latents lose on the way through the codes; soft songs count as much as loud ones."""
    error = (through_codes(network, wanted) - wanted).square().mean((1, 2))
    return (error / wanted.square().mean((1, 2))).mean()


def pretrain(network: AceStep, answers: dataset.Answers, seed: int, steps: int) -> None:
    """Train the audio tokenizer and the detokenizer in place, and hold them from there."""
    values = [value for name, value in network.named_parameters() if name.startswith(NAMES)]
    optimiser = torch.optim.AdamW(values, lr=RATE, betas=(0.9, 0.98), weight_decay=0.0, fused=True)
    for step in range(steps):
        share = min(1.0, (step + 1) / 50) * max(0.02, min(1.0, 2 * (1 - step / steps)))
        optimiser.param_groups[0]["lr"] = RATE * share
        wanted = songs(seed * 100_000 + step, answers)
        share_lost = lost(network, wanted)
        share_lost.backward()
        nn.utils.clip_grad_norm_(values, 1.0)
        optimiser.step()
        optimiser.zero_grad(set_to_none=True)
        if step % 100 == 0 or step == steps - 1:
            logger.info("codes %d: %.3f of the power lost", step, share_lost.item())
    for value in values:
        value.requires_grad_(False)
