"""Measures repaints, extensions and covers of composed songs."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor

from acestep_xl.model.prompt import Prompt

from . import composer, generate, held_out, measure, sounds
from .composer import Plan
from .generate import STEPS, Checkpoint, decode

REPAINT_SECONDS, REGION = 16, (4, 13)
EXTEND_SECONDS, EXTEND_FROM = 16, 9
COVER_SECONDS = 12
REPAINT_TEXT = f"{REGION[0]} to {REGION[1]} s of {REPAINT_SECONDS} s"
EXTEND_TEXT = f"{EXTEND_FROM} to {EXTEND_SECONDS} s"
COVER_TEXT = f"{COVER_SECONDS} s"
BEAT_TOLERANCE = 0.15  # of a beat, to either side
BATCH = 10  # songs
Case = tuple[Plan, Prompt]
# Prompts, their sources `[b t 64]` and a seed to latents of that shape.
Generate = Callable[[Sequence[Prompt], Tensor, int], Tensor]


def sources(checkpoint: Checkpoint, plans: Sequence[Plan]) -> Tensor:
    """Composed songs as latents `[b t 64]`."""
    waves = torch.tensor(np.stack([composer.render_song(plan) for plan in plans]))
    return torch.cat([checkpoint.vae.encode(wave[None]) for wave in waves]).transpose(1, 2)


def measure_repaints(checkpoint: Checkpoint, count: int, scale: float) -> dict[str, float]:
    """Repaints of a region inside composed songs: whether the rest stayed, and tempo and key of the new part."""
    cases = held_out.cases(count, REPAINT_SECONDS, "repaint", held_out.FIRST + 20_000)
    source = sources(checkpoint, [plan for plan, _ in cases])
    first, last = (second * sounds.RATE // sounds.HOP for second in REGION)
    mask = torch.zeros(1, source.shape[1], 1)
    mask[:, first:last] = 1
    latents = _generate(cases, source, _repaint_with(checkpoint, mask, scale))
    parts = [wave[:, first * sounds.HOP : last * sounds.HOP] for wave in decode(checkpoint, latents)]
    change = (latents - source)[:, mask[0, :, 0] == 0].abs().max()
    return {"largest change outside the region": float(change), **_agreement(parts, cases)}


def measure_extensions(checkpoint: Checkpoint, count: int, scale: float) -> dict[str, float]:
    """Composed songs with a regenerated end: the offset of its beats from the source's grid."""
    cases = held_out.cases(count, EXTEND_SECONDS, "repaint", held_out.FIRST + 30_000)
    source = sources(checkpoint, [plan for plan, _ in cases])
    first = EXTEND_FROM * sounds.RATE // sounds.HOP
    mask = torch.zeros(1, source.shape[1], 1)
    mask[:, first:] = 1
    latents = _generate(cases, source, _repaint_with(checkpoint, mask, scale))
    offsets = []
    for wave, (plan, _) in zip(decode(checkpoint, latents), cases, strict=True):
        cut, period = first * sounds.HOP, 60 / plan.bpm
        before = measure.beat_offset(wave[:, :cut], 0.0, period)
        after = measure.beat_offset(wave[:, cut:], EXTEND_FROM, period)
        offsets.append(abs((after - before + 0.5) % 1 - 0.5))
    close = np.mean(np.array(offsets) <= BEAT_TOLERANCE)
    return {
        "beat continues (%)": 100 * float(close),
        "chance (%)": 200 * BEAT_TOLERANCE,
        "median offset (beats)": float(np.median(offsets)),
    }


def measure_covers(checkpoint: Checkpoint, count: int, scale: float) -> dict[str, float]:
    """Covers with prompts that leave out tempo and key: whether they have the source's."""
    cases = held_out.without_tempo_and_key(count, COVER_SECONDS, held_out.FIRST + 40_000)
    source = sources(checkpoint, [plan for plan, _ in cases])

    def generate_covers(prompts: Sequence[Prompt], sources: Tensor, seed: int) -> Tensor:
        return generate.covers(checkpoint, prompts, sources, scale=scale, steps=STEPS, seed=seed)

    return _agreement(decode(checkpoint, _generate(cases, source, generate_covers)), cases)


def _agreement(waves: Sequence[np.ndarray], cases: Sequence[Case]) -> dict[str, float]:
    """Percentage of the songs that have the tempo and key of their source's plan."""
    measurements = [measure.measure(wave) for wave in waves]
    tempo = [measure.tempo_agrees(m.tempo, plan.bpm) for m, (plan, _) in zip(measurements, cases, strict=True)]
    key = [m.key == plan.key for m, (plan, _) in zip(measurements, cases, strict=True)]
    return {
        "tempo agrees (%)": 100 * float(np.mean(tempo)),
        "key agrees (%)": 100 * float(np.mean(key)),
        "both agree (%)": 100 * float(np.mean(np.logical_and(tempo, key))),
    }


def _repaint_with(checkpoint: Checkpoint, mask: Tensor, scale: float) -> Generate:
    def generate_repaints(prompts: Sequence[Prompt], source: Tensor, seed: int) -> Tensor:
        return generate.repaints(checkpoint, prompts, source, mask, scale=scale, steps=STEPS, seed=seed)

    return generate_repaints


def _generate(cases: Sequence[Case], source: Tensor, generate_batch: Generate) -> Tensor:
    """Generate latents for all cases, in batches."""
    batches = []
    for start in range(0, len(cases), BATCH):
        prompts = [prompt for _, prompt in cases[start : start + BATCH]]
        batches.append(generate_batch(prompts, source[start : start + BATCH], 50 + start))
    return torch.cat(batches)
