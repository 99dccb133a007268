"""Songs of a loaded checkpoint, by the project's own sampler with its default settings."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from acestep_xl import parameters
from acestep_xl.model import context
from acestep_xl.model.condition import Condition
from acestep_xl.model.network import AceStep
from acestep_xl.model.predictor import Predictor
from acestep_xl.model.prompt import Prompt
from acestep_xl.model.text import TextEncoder
from acestep_xl.model.vae import Oobleck
from acestep_xl.sampler import noise, region, schedules
from acestep_xl.sampler.denoise import denoise
from acestep_xl.sampler.guidance import Guidance
from acestep_xl.sampler.solver import make_solver

STEPS = 30  # of the songs that are measured


@dataclass(frozen=True)
class Checkpoint:
    network: AceStep
    encoder: TextEncoder
    vae: Oobleck


def guidance(scale: float) -> Guidance:
    """APG with the project's defaults."""
    names = ("guidance_start", "guidance_end", "apg_momentum", "apg_norm_threshold", "apg_eta", "adg_angle_clip")
    start, end, momentum, threshold, eta, clip = (parameters.get(name).default for name in names)
    return Guidance("apg", scale, start, end, momentum, threshold, eta, clip, "standard")


@torch.no_grad()
def condition(checkpoint: Checkpoint, prompts: Sequence[Prompt]) -> Condition:
    states, network = checkpoint.encoder.encode(prompts), checkpoint.network
    reference = network.silent_reference().expand(len(prompts), -1, -1)
    return network.encoder(
        states.caption, states.caption_mask, states.lyrics, states.lyrics_mask, reference, list(range(len(prompts)))
    )


def sigmas(steps: int) -> list[float]:
    return schedules.linear(steps, shift=parameters.get("shift").default, start=1.0)


def songs(
    checkpoint: Checkpoint, prompts: Sequence[Prompt], frames: int, *, scale: float, steps: int, seed: int
) -> Tensor:
    """Text to music: latents `[b t 64]`; song i has the seed ``seed + i``."""
    network = checkpoint.network
    predictor = Predictor(network, condition(checkpoint, prompts), context.text_to_music(network, frames))
    start = noise.draw([seed + i for i in range(len(prompts))], frames, network.config.latent_channels)
    return denoise(predictor, start, sigmas(steps), guidance=guidance(scale), solver=make_solver("euler", [seed], 0.0))


def covers(
    checkpoint: Checkpoint, prompts: Sequence[Prompt], source: Tensor, *, scale: float, steps: int, seed: int
) -> Tensor:
    """Songs over the audio codes of their sources `[b t 64]`."""
    network = checkpoint.network
    predictor = Predictor(network, condition(checkpoint, prompts), context.cover(network, source))
    start = noise.draw([seed + i for i in range(len(prompts))], source.shape[1], source.shape[2])
    return denoise(predictor, start, sigmas(steps), guidance=guidance(scale), solver=make_solver("euler", [seed], 0.0))


def repaints(
    checkpoint: Checkpoint,
    prompts: Sequence[Prompt],
    source: Tensor,
    mask: Tensor,
    *,
    scale: float,
    steps: int,
    seed: int,
) -> Tensor:
    """Sources `[b t 64]` with the frames where mask `[1 t 1]` is 1 made anew; the rest is put back in every step."""
    network = checkpoint.network
    around = context.repaint(network, source, mask.expand(len(source), -1, -1))
    predictor = Predictor(network, condition(checkpoint, prompts), around)
    start = noise.draw([seed + i for i in range(len(prompts))], source.shape[1], source.shape[2])
    held = region.Region(source, mask, start, injection=1.0, blend_frames=0)
    solver = make_solver("euler", [seed], 0.0)
    return denoise(predictor, start, sigmas(steps), guidance=guidance(scale), solver=solver, region=held)


def decoded(checkpoint: Checkpoint, latents: Tensor) -> list[np.ndarray]:
    """Waveforms `[2 n]` of latents `[b t 64]`."""
    return [checkpoint.vae.decode(item.T[None])[0].numpy() for item in latents]
