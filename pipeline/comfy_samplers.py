"""Between our guider and ComfyUI's own samplers: the network as they call a model."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ..model.predictor import Predictor
from ..sampler.modifiers import Modifier
from .edit import PreparedRun
from .run import Run

# Levels travel as float32; one this close to a step's is that step's.
SAME_LEVEL = 1e-6


class GuidedModel:
    """Our guided network as ComfyUI's samplers call a model: the denoised latent of x at a noise level.

    A sampler may evaluate several times per step and at levels of its own. The memory of guidance and modifiers
    advances once for every level of the schedule, at the first evaluation there; all others see it unchanged.
    """

    def __init__(self, prepared: PreparedRun, run: Run, patcher: Any) -> None:
        """patcher: ComfyUI's model patcher of the network. Raises ValueError for a modifier that acts between steps."""
        for modifier in run.modifiers:
            if type(modifier).step is not Modifier.step:
                raise ValueError(
                    f"{type(modifier).__name__} changes the latent after a step, which one of ComfyUI's samplers takes "
                    "by itself: use this pack's solver node, or leave it out"
                )
        self.inner_model = patcher.model
        self.model_patcher = patcher
        self._prepared = prepared
        self._guidance = run.guidance
        self._guidance_run = run.guidance.begin()
        self._modifiers = [modifier.begin() for modifier in run.modifiers]
        self._upcoming = list(prepared.sigmas[:-1])

    def __call__(self, x: Tensor, sigma: Tensor, model_options: Any = None, seed: int | None = None) -> Tensor:
        """x: ``[b c t]`` at level sigma ``[b]``; returns the estimate of the clean latent, ``[b c t]``."""
        t = float(sigma.reshape(-1)[0])
        advance = self._reaches(t)
        latents, is_guided = x.transpose(1, 2), self._guidance.active(t)
        velocity, unconditional = self._predictor()(latents, t, unconditional=is_guided)
        if unconditional is not None:
            conditional = velocity
            velocity = self._guidance_run.combine(conditional, unconditional, latents, t, advance=advance)
            for modifier in self._modifiers:
                velocity = modifier.guided(velocity, conditional, latents, t)
        for modifier in self._modifiers:
            velocity = modifier.velocity(velocity, latents, t, advance)
        return x - velocity.transpose(1, 2) * t

    def _predictor(self) -> Predictor | Any:
        switch = self._prepared.switch
        step = len(self._prepared.sigmas) - 2 - len(self._upcoming)
        return self._prepared.predictor if switch is None or step < switch.step else switch.predictor

    def _reaches(self, t: float) -> bool:
        """Whether this is the first evaluation at the next level of the schedule."""
        reached = [level for level in self._upcoming if level >= t - SAME_LEVEL]
        if not reached:
            return False
        self._upcoming = self._upcoming[len(reached) :]
        return abs(reached[-1] - t) <= SAME_LEVEL


def sample(prepared: PreparedRun, run: Run, patcher: Any, sampler: Any, callback: Any) -> Tensor:
    """Run with one of ComfyUI's SAMPLERs; returns ``[b t c]``.

    callback: ComfyUI's ``(step, x0, x, total)`` or None. A sampler that draws noise of its own gets the first song's
    seed. A region is held as ComfyUI holds a noise mask, at every evaluation, for the share of the steps that the edit
    asks for, and blended at the end.
    """
    if not callable(getattr(sampler, "sample", None)):
        raise ValueError(
            f"sampler is a {type(sampler).__name__}: connect this pack's solver node or one of ComfyUI's samplers"
        )
    model = GuidedModel(prepared, run, patcher)
    sigmas = torch.tensor(prepared.sigmas, device=prepared.noise.device)
    options: dict[str, Any] = {"transformer_options": {"sample_sigmas": sigmas}}
    mask, region = None, prepared.region
    if region is not None:
        songs, _, channels = prepared.noise.shape
        mask = region.mask.transpose(1, 2).expand(songs, channels, -1).to(prepared.noise)
        options["denoise_mask_function"] = _SourceHold(prepared)
    noise, source = (y.transpose(1, 2).contiguous() for y in (prepared.noise, prepared.source))
    extra = {"model_options": options, "seed": run.seeds[0]}
    result = sampler.sample(model, sigmas, extra, callback, noise, source, mask, True).transpose(1, 2)
    return result if region is None else region.to(result).blend(result)


class _SourceHold:
    """ComfyUI's hook on a noise mask: hold the source down to a level, then release everything."""

    def __init__(self, prepared: PreparedRun) -> None:
        steps = len(prepared.sigmas) - 1
        held_steps = 0 if prepared.region is None else prepared.region.injected_steps(steps)
        self._until = prepared.sigmas[held_steps] if held_steps < steps else -1.0

    def __call__(self, sigma: Tensor, denoise_mask: Tensor, extra_options: Any) -> Tensor:
        holds = float(sigma.reshape(-1)[0]) > self._until + SAME_LEVEL
        return denoise_mask if holds else torch.ones_like(denoise_mask)
