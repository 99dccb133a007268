"""What a run does with a source: carried on the LATENT from the node that sets it up to the sampler and the splice."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from .. import parameters
from ..audio.timeline import EditTimeline
from ..model import context
from ..model.network import AceStep
from ..model.predictor import Predictor
from ..sampler.denoise import Switch, start
from ..sampler.region import Region
from .regions import Mask, decode_mask, encode_mask

# Keys on the LATENT. The sampler takes EDIT off, so that its result can go into the next edit.
EDIT, SPLICE, LENGTH = "acestep_xl_edit", "acestep_xl_splice", "acestep_xl_samples"
TRACE = "acestep_xl_trace"  # what a run of our sampler did, for the plot
BASE_TASKS = ("lego", "extract", "complete")


@dataclass(frozen=True)
class Edit:
    """How a source is used.

    mask: the frames where music is made, None for all of them. strength: fraction of the steps that use the source.
    blend: latent frames over which a repaint fades into the source. source_start: how much of the source the run starts
    from, 0 = none. outside_frames: (start, end) of frames beyond the source, which are silence.
    """

    task: str
    mask: Mask | None
    strength: float
    blend: int = 0
    source_start: float = 0.0
    outside_frames: tuple[tuple[int, int], ...] = ()


@dataclass(frozen=True)
class Splice:
    """What the splice needs: the source ``[b c n]`` at 48 kHz, and which parts of it are made anew."""

    timeline: EditTimeline
    source: Tensor
    crossfade: float


@dataclass(frozen=True)
class PreparedRun:
    """The tensors of a run, ready for the loop. x: ``[b t c]`` at ``sigmas[0]``, made of noise and source."""

    predictor: Predictor
    x: Tensor
    sigmas: tuple[float, ...]
    noise: Tensor
    source: Tensor
    region: Region | None
    switch: Switch | None


# Makes the predictor of a context; the flag selects the prompt for after the source has been dropped.
MakePredictor = Callable[[Tensor, bool], Predictor]


def edit_of(latent: dict[str, Any], frames: int) -> Edit | None:
    """The edit that a LATENT asks for. Another node's noise mask is a repaint that keeps everything outside exactly."""
    edit = latent.get(EDIT)
    if edit is not None or latent.get("noise_mask") is None:
        return edit
    mask = latent["noise_mask"].float()
    # One row per song: ComfyUI's masks have a height, which a song has not. A column counts where any row is painted.
    mask = mask.reshape(len(mask), -1, mask.shape[-1]).amax(dim=1, keepdim=True)
    if mask.shape[-1] != frames:
        mask = F.interpolate(mask, size=frames, mode="nearest")
    return Edit("repaint", encode_mask(mask.transpose(1, 2)), strength=1.0)


def sample_count(latent: dict[str, Any]) -> int | None:
    """Length in samples that a LATENT carries, unless another node has cut or joined it since."""
    samples = latent.get(LENGTH)
    frames = latent["samples"].shape[-1]
    return samples if samples is not None and -(-samples // parameters.FRAME_SAMPLES) == frames else None


def check_edit(edit: Edit | None, network: AceStep) -> None:
    """Refuse what the checkpoint was not trained for."""
    if edit is not None and edit.task in BASE_TASKS and network.training_kind in ("sft", "turbo"):
        raise ValueError(
            f"{edit.task} needs a base checkpoint: this one is {network.name}, which was not trained for it. Load one "
            "such as acestep_v1.5_xl_base_bf16.safetensors"
        )


def prepare(
    edit: Edit, network: AceStep, make: MakePredictor, noise: Tensor, source: Tensor, sigmas: Sequence[float]
) -> PreparedRun:
    """Turn an edit into a run. noise and source: ``[b t c]`` on the run's device."""
    frames, run_frames = source.shape[1], noise.shape[1]
    source = source.clone()
    for first, end in edit.outside_frames:
        source[:, first:end] = network.silent(end)[first:].to(source)
    source = with_silence(source, network, run_frames)
    mask = None if edit.mask is None else F.pad(decode_mask(edit.mask).to(source), (0, 0, 0, run_frames - frames))
    levels = _from_source(tuple(sigmas), edit.source_start)
    x = start(noise, source, levels[0])
    predictor = make(_context(edit.task, network, source, mask), False)
    if mask is not None and edit.task == "repaint":
        region = Region(source, mask, noise, edit.strength, edit.blend)
        return PreparedRun(predictor, x, levels, noise, source, region, None)
    steps = len(levels) - 1
    switch = None
    if (source_steps := int(steps * edit.strength)) < steps:
        switch = Switch(source_steps, make(context.text_to_music(network, run_frames), True))
    return PreparedRun(predictor, x, levels, noise, source, None, switch)


def with_silence(latents: Tensor, network: AceStep, frames: int) -> Tensor:
    """Latents ``[b t c]`` over ``frames`` frames; songs of zeros, which have no source, become the silence latent.

    Where a run starts below noise, zeros are a sound that the network has never seen; official inference starts from
    the silence latent, which is what its text-to-music sees as the source.
    """
    is_empty = (latents == 0).flatten(1).all(dim=1)[:, None, None]
    return torch.where(is_empty, network.silent(frames).to(latents), extended(latents, network, frames))


def extended(source: Tensor, network: AceStep, frames: int) -> Tensor:
    """The source extended to ``frames`` frames with silence from its beginning."""
    missing = frames - source.shape[1]
    if missing == 0:
        return source
    silence = network.silent(missing).to(source)
    return torch.cat([source, silence.expand(len(source), -1, -1)], dim=1)


def _context(task: str, network: AceStep, source: Tensor, mask: Tensor | None) -> Tensor:
    """Source and mask as each task was trained to see them (official inference)."""
    everywhere = torch.ones_like(source[..., :1])
    if task == "cover":
        return context.cover(network, source)
    if task == "repaint" and mask is not None:
        return context.repaint(network, source, mask.expand_as(everywhere))
    return context.join(source, everywhere if mask is None else mask.expand_as(everywhere))


def _from_source(sigmas: tuple[float, ...], source_share: float) -> tuple[float, ...]:
    """The part of a schedule that starts nearest to ``1 - source_share``; at least one step is left."""
    if source_share <= 0:
        return sigmas
    first = min(range(len(sigmas) - 1), key=lambda i: abs(sigmas[i] - (1 - source_share)))
    return sigmas[first:]
