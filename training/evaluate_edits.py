"""How repaints, extensions and covers of composed songs turn out, in numbers."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor

from acestep_xl.model.prompt import Prompt

from . import composer, generate, held_out, measure, sounds
from .composer import Plan
from .generate import STEPS, Checkpoint, decoded

REPAINT_SECONDS, REGION = 16, (4, 13)
EXTEND_SECONDS, EXTEND_FROM = 16, 9
COVER_SECONDS = 12
REGION_TOLD = f"{REGION[0]} to {REGION[1]} s of {REPAINT_SECONDS} s"
EXTEND_TOLD = f"{EXTEND_FROM} to {EXTEND_SECONDS} s"
COVER_TOLD = f"{COVER_SECONDS} s"
BEAT_TOLERANCE = 0.15  # of a beat, to either side
TOGETHER = 10  # songs in a batch
Case = tuple[Plan, Prompt]
# Prompts, their sources `[b t 64]` and a seed to latents of that shape.
Make = Callable[[Sequence[Prompt], Tensor, int], Tensor]


def sources(checkpoint: Checkpoint, plans: Sequence[Plan]) -> Tensor:
    """Composed songs as latents `[b t 64]`."""
    waves = torch.tensor(np.stack([composer.song(plan) for plan in plans]))
    return torch.cat([checkpoint.vae.encode(wave[None]) for wave in waves]).transpose(1, 2)


def edited(checkpoint: Checkpoint, count: int, scale: float) -> dict[str, float]:
    """Repaints of a stretch inside composed songs: what stayed, and tempo and key of what is new."""
    cases = held_out.cases(count, REPAINT_SECONDS, "repaint", held_out.FIRST + 20_000)
    source = sources(checkpoint, [plan for plan, _ in cases])
    first, last = (second * sounds.RATE // sounds.HOP for second in REGION)
    mask = torch.zeros(1, source.shape[1], 1)
    mask[:, first:last] = 1
    new = _made(cases, source, _repaints(checkpoint, mask, scale))
    parts = [wave[:, first * sounds.HOP : last * sounds.HOP] for wave in decoded(checkpoint, new)]
    kept = (new - source)[:, mask[0, :, 0] == 0].abs().max()
    return {"largest change of a latent outside": float(kept), **_agreement(parts, cases)}


def extended(checkpoint: Checkpoint, count: int, scale: float) -> dict[str, float]:
    """Composed songs whose end is made anew: how far its beats lie from the source's grid."""
    cases = held_out.cases(count, EXTEND_SECONDS, "repaint", held_out.FIRST + 30_000)
    source = sources(checkpoint, [plan for plan, _ in cases])
    first = EXTEND_FROM * sounds.RATE // sounds.HOP
    mask = torch.zeros(1, source.shape[1], 1)
    mask[:, first:] = 1
    new = _made(cases, source, _repaints(checkpoint, mask, scale))
    offsets = []
    for wave, (plan, _) in zip(decoded(checkpoint, new), cases, strict=True):
        cut, period = first * sounds.HOP, 60 / plan.bpm
        before = measure.beat_offset(wave[:, :cut], 0.0, period)
        after = measure.beat_offset(wave[:, cut:], EXTEND_FROM, period)
        offsets.append(abs((after - before + 0.5) % 1 - 0.5))
    close = np.mean(np.array(offsets) <= BEAT_TOLERANCE)
    return {
        "beat goes on (%)": 100 * float(close),
        "chance (%)": 200 * BEAT_TOLERANCE,
        "median offset (beats)": float(np.median(offsets)),
    }


def covered(checkpoint: Checkpoint, count: int, scale: float) -> dict[str, float]:
    """Covers whose prompts do not say tempo and key: whether they come from the source."""
    cases = held_out.without_tempo_and_key(count, COVER_SECONDS, held_out.FIRST + 40_000)
    source = sources(checkpoint, [plan for plan, _ in cases])

    def make(prompts: Sequence[Prompt], part: Tensor, seed: int) -> Tensor:
        return generate.covers(checkpoint, prompts, part, scale=scale, steps=STEPS, seed=seed)

    return _agreement(decoded(checkpoint, _made(cases, source, make)), cases)


def _agreement(waves: Sequence[np.ndarray], cases: Sequence[Case]) -> dict[str, float]:
    """Share of the pieces that have tempo and key of their source's plan."""
    found = [measure.measure(wave) for wave in waves]
    tempo = [measure.tempo_agrees(m.tempo, plan.bpm) for m, (plan, _) in zip(found, cases, strict=True)]
    key = [m.key == plan.key for m, (plan, _) in zip(found, cases, strict=True)]
    return {
        "tempo agrees (%)": 100 * float(np.mean(tempo)),
        "key agrees (%)": 100 * float(np.mean(key)),
        "both agree (%)": 100 * float(np.mean(np.logical_and(tempo, key))),
    }


def _repaints(checkpoint: Checkpoint, mask: Tensor, scale: float) -> Make:
    def make(prompts: Sequence[Prompt], source: Tensor, seed: int) -> Tensor:
        return generate.repaints(checkpoint, prompts, source, mask, scale=scale, steps=STEPS, seed=seed)

    return make


def _made(cases: Sequence[Case], source: Tensor, make: Make) -> Tensor:
    """In batches."""
    made = []
    for start in range(0, len(cases), TOGETHER):
        prompts = [prompt for _, prompt in cases[start : start + TOGETHER]]
        made.append(make(prompts, source[start : start + TOGETHER], 50 + start))
    return torch.cat(made)
