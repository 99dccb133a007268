"""What a run does with a source: carried on the LATENT from the node that sets it up to the sampler and the splice."""

from __future__ import annotations

from collections.abc import Callable
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

# Keys on the LATENT. The sampler takes EDIT off, so that its result can go into the next edit.
EDIT, SPLICE, LENGTH = "acestep_xl_edit", "acestep_xl_splice", "acestep_xl_samples"
TRACE = "acestep_xl_trace"  # what a run of our sampler did, for the plot
BASE_TASKS = ("lego", "extract", "complete")


@dataclass(frozen=True)
class Edit:
    """How a source is used.

    mask: ``[1 t 1]`` or ``[b t 1]``, 1 where music is made, or None for everywhere. strength: fraction of the steps
    that use the source. blend: latent frames over which a repaint fades into the source. source_start: how much of the
    source the run starts from, 0 = none. beside: frames that the source says nothing of; they are silence.
    """

    task: str
    mask: Tensor | None
    strength: float
    blend: int = 0
    source_start: float = 0.0
    beside: tuple[tuple[int, int], ...] = ()


@dataclass(frozen=True)
class Splice:
    """What the splice needs: the source ``[b c n]`` at 48 kHz, and what of it is made anew."""

    plan: EditTimeline
    source: Tensor
    crossfade: float


@dataclass(frozen=True)
class Job:
    """One run, ready for the sampler. x: ``[b t c]`` at ``sigmas[0]``, made of noise and source."""

    predictor: Predictor
    x: Tensor
    sigmas: list[float]
    noise: Tensor
    source: Tensor
    region: Region | None
    switch: Switch | None


# Makes a predictor for a context; released says that the prompt is the one for after the source is let go.
MakePredictor = Callable[[Tensor, bool], Predictor]


def find(latent: dict[str, Any], frames: int) -> Edit | None:
    """The edit a LATENT asks for. A noise mask of another node is a repaint that keeps everything outside exactly."""
    edit = latent.get(EDIT)
    if edit is not None or latent.get("noise_mask") is None:
        return edit
    mask = latent["noise_mask"].float()
    # One row per song: ComfyUI's masks have a height, which a song has not. A column counts where any row is painted.
    mask = mask.reshape(len(mask), -1, mask.shape[-1]).amax(dim=1, keepdim=True)
    if mask.shape[-1] != frames:
        mask = F.interpolate(mask, size=frames, mode="nearest")
    return Edit("repaint", mask.transpose(1, 2), strength=1.0)


def length(latent: dict[str, Any]) -> int | None:
    """Samples of a song that a LATENT knows of, unless another node has cut or joined it since."""
    samples = latent.get(LENGTH)
    frames = latent["samples"].shape[-1]
    return samples if samples is not None and -(-samples // parameters.FRAME_SAMPLES) == frames else None


def task_of(edit: Edit | None) -> str:
    """What a run with this edit does."""
    return "text2music" if edit is None else edit.task


def check(edit: Edit | None, network: AceStep) -> None:
    """Refuse what the checkpoint was not trained for."""
    done = task_of(edit)
    if done in BASE_TASKS and network.training_kind in ("sft", "turbo"):
        raise ValueError(
            f"{done} needs a base checkpoint: this one is {network.name}, which was not trained for it. Load one such "
            "as acestep_v1.5_xl_base_bf16.safetensors"
        )


def prepare(
    edit: Edit, network: AceStep, make: MakePredictor, noise: Tensor, source: Tensor, sigmas: list[float]
) -> Job:
    """Turn an edit into a run. noise and source: ``[b t c]`` on the run's device."""
    frames = source.shape[1]
    source = source.clone()
    for first, end in edit.beside:
        source[:, first:end] = network.silent(end)[first:].to(source)
    source = extended(source, network, noise.shape[1])
    mask = None if edit.mask is None else F.pad(edit.mask.to(source), (0, 0, 0, noise.shape[1] - frames))
    sigmas = _from_source(sigmas, edit.source_start)
    x = start(noise, source, sigmas[0])
    predictor = make(_context(edit.task, network, source, mask), False)
    if mask is not None and edit.task == "repaint":
        return Job(predictor, x, sigmas, noise, source, Region(source, mask, noise, edit.strength, edit.blend), None)
    kept = int((len(sigmas) - 1) * edit.strength)
    released = None if kept == len(sigmas) - 1 else make(context.text_to_music(network, noise.shape[1]), True)
    return Job(predictor, x, sigmas, noise, source, None, None if released is None else Switch(kept, released))


def _context(task: str, network: AceStep, source: Tensor, mask: Tensor | None) -> Tensor:
    """Source and mask as each task was trained to see them (official inference)."""
    everywhere = torch.ones_like(source[..., :1])
    if task == "cover":
        return context.cover(network, source)
    if task == "repaint" and mask is not None:
        return context.repaint(network, source, mask.expand_as(everywhere))
    return context.join(source, everywhere if mask is None else mask.expand_as(everywhere))


def _from_source(sigmas: list[float], share: float) -> list[float]:
    """The part of a schedule that starts nearest to ``1 - share``; at least one step is left."""
    if share <= 0:
        return sigmas
    first = min(range(len(sigmas) - 1), key=lambda i: abs(sigmas[i] - (1 - share)))
    return sigmas[first:]


def extended(source: Tensor, network: AceStep, frames: int) -> Tensor:
    """The source brought to the shortest length the network runs at, with silence from its beginning after it."""
    missing = frames - source.shape[1]
    if missing == 0:
        return source
    silence = network.silent(missing).to(source)
    return torch.cat([source, silence.expand(len(source), -1, -1)], dim=1)
