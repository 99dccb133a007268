"""Between our guider and ComfyUI's own samplers: the network as they call a model."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from ..sampler.modifiers import Modifier
from .edit import Job

if TYPE_CHECKING:
    from .guider import Guider

# Levels travel as float32; one this close to a step's is that step's.
SAME_LEVEL = 1e-6


class GuidedModel:
    """Our guided network as ComfyUI's samplers call a model: the denoised latent of x at a noise level.

    A sampler may evaluate several times per step and at levels of its own. The memory of guidance and modifiers
    advances once for every level of the schedule, at the first evaluation there; all others see it unchanged.
    """

    def __init__(self, job: Job, guider: Guider) -> None:
        for modifier in guider.modifiers:
            if type(modifier).step is not Modifier.step:
                raise ValueError(
                    f"{type(modifier).__name__} changes the latent after a step, which one of ComfyUI's samplers takes "
                    "by itself: use this pack's solver node, or leave it out"
                )
        patcher = guider.model_patcher
        self.inner_model = patcher.model
        self.model_patcher = patcher
        self._job = job
        self._guidance = guider.guidance
        self._run = guider.guidance.begin()
        self._modifiers = [modifier.begin() for modifier in guider.modifiers]
        self._ahead = list(job.sigmas[:-1])

    def __call__(self, x: Tensor, sigma: Tensor, model_options: Any = None, seed: int | None = None) -> Tensor:
        """x: ``[b c t]`` at level sigma ``[b]``; returns the estimate of the clean latent, ``[b c t]``."""
        t = float(sigma.reshape(-1)[0])
        advance = self._reaches(t)
        frames, guided = x.transpose(1, 2), self._guidance.active(t)
        velocity, against = self._predictor()(frames, t, unconditional=guided)
        if against is not None:
            conditional = velocity
            velocity = self._run.combine(conditional, against, frames, t, advance=advance)
            for modifier in self._modifiers:
                velocity = modifier.guided(velocity, conditional, frames, t)
        for modifier in self._modifiers:
            velocity = modifier.velocity(velocity, frames, t, advance)
        return x - velocity.transpose(1, 2) * t

    def _predictor(self) -> Any:
        step = len(self._job.sigmas) - 2 - len(self._ahead)
        switch = self._job.switch
        return self._job.predictor if switch is None or step < switch.step else switch.predictor

    def _reaches(self, t: float) -> bool:
        """Whether this is the first evaluation at the next level of the schedule."""
        reached = [level for level in self._ahead if level >= t - SAME_LEVEL]
        if not reached:
            return False
        self._ahead = self._ahead[len(reached) :]
        return abs(reached[-1] - t) <= SAME_LEVEL


def sample(job: Job, guider: Guider, sampler: Any, seed: int, callback: Any) -> Tensor:
    """Run a job with one of ComfyUI's SAMPLERs; returns ``[b t c]``.

    seed: for samplers that draw noise of their own. callback: ComfyUI's ``(step, x0, x, total)`` or None. A region is
    held as ComfyUI holds a noise mask, at every evaluation, for the share of the steps that the edit asks for, and
    blended at the end.
    """
    model = GuidedModel(job, guider)
    sigmas = torch.tensor(job.sigmas, device=job.noise.device)
    options: dict[str, Any] = {"transformer_options": {"sample_sigmas": sigmas}}
    mask = None
    if job.region is not None:
        mask = job.region.mask.transpose(1, 2).expand(len(job.noise), job.noise.shape[2], -1).to(job.noise)
        options["denoise_mask_function"] = _Hold(job)
    noise, source = (y.transpose(1, 2).contiguous() for y in (job.noise, job.source))
    extra = {"model_options": options, "seed": seed}
    result = sampler.sample(model, sigmas, extra, callback, noise, source, mask, True)
    result = result.transpose(1, 2)
    return result if job.region is None else job.region.to(result).blend(result)


class _Hold:
    """ComfyUI's hook on a noise mask: hold the source until a level, then let everything go."""

    def __init__(self, job: Job) -> None:
        steps = len(job.sigmas) - 1
        held = 0 if job.region is None else job.region.injected_steps(steps)
        self._until = job.sigmas[held] if held < steps else -1.0

    def __call__(self, sigma: Tensor, denoise_mask: Tensor, extra_options: Any) -> Tensor:
        holds = float(sigma.reshape(-1)[0]) > self._until + SAME_LEVEL
        return denoise_mask if holds else torch.ones_like(denoise_mask)
