"""Between our guider and ComfyUI's own samplers: the network as they call a model."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ..sampler.guidance import Guidance
from .edit import Job

# The last injection is measured in steps; a noise level this close to a step's is that step's.
SAME_LEVEL = 1e-6


class GuidedModel:
    """Our guided network as ComfyUI's samplers call a model: the denoised latent of x at a noise level.

    A sampler may evaluate several times per step and at levels of its own. The memory of the guidance advances once for
    every level of the schedule, at the first evaluation there; all other evaluations see it unchanged.
    """

    def __init__(self, job: Job, guidance: Guidance, patcher: Any) -> None:
        self.inner_model = patcher.model
        self.model_patcher = patcher
        self._job = job
        self._guidance = guidance
        self._run = guidance.begin()
        self._ahead = list(job.sigmas[:-1])

    def __call__(self, x: Tensor, sigma: Tensor, model_options: Any = None, seed: int | None = None) -> Tensor:
        """x: ``[b c t]`` at level sigma ``[b]``; returns the estimate of the clean latent, ``[b c t]``."""
        t = float(sigma.reshape(-1)[0])
        advance = self._reaches(t)
        switch = self._job.switch
        passed = len(self._job.sigmas) - 1 - len(self._ahead)
        late = switch is not None and passed > switch.step
        predictor = switch.predictor if switch is not None and late else self._job.predictor
        frames, guided = x.transpose(1, 2), self._guidance.active(t)
        velocity, against = predictor(frames, t, unconditional=guided)
        if against is not None:
            velocity = self._run.combine(velocity, against, frames, t, advance=advance)
        return x - velocity.transpose(1, 2) * t

    def _reaches(self, t: float) -> bool:
        """Whether this is the first evaluation at the next level of the schedule."""
        reached = [level for level in self._ahead if level >= t - SAME_LEVEL]
        if not reached:
            return False
        self._ahead = self._ahead[len(reached) :]
        return abs(reached[-1] - t) <= SAME_LEVEL


def sample(job: Job, guidance: Guidance, patcher: Any, sampler: Any, noise: Tensor, source: Tensor, ui: Any) -> Tensor:
    """Run a job with one of ComfyUI's SAMPLERs. noise and source: ``[b t c]``; returns ``[b t c]``.

    ui: ComfyUI's callback ``(step, x0, x, total)`` or None. A region is held as ComfyUI holds a noise mask, at every
    evaluation, for the share of the steps that the edit asks for, and blended at the end.
    """
    model = GuidedModel(job, guidance, patcher)
    device = noise.device
    options: dict[str, Any] = {"transformer_options": {"sample_sigmas": torch.tensor(job.sigmas, device=device)}}
    mask = None
    if job.region is not None:
        mask = job.region.mask.to(device).transpose(1, 2).expand(len(noise), source.shape[2], -1)
        steps = len(job.sigmas) - 1
        held = job.region.injected_steps(steps)
        until = job.sigmas[held] if held < steps else -1.0

        def released(sigma: Tensor, denoise_mask: Tensor, extra_options: Any) -> Tensor:
            holds = float(sigma.reshape(-1)[0]) > until + SAME_LEVEL
            return denoise_mask if holds else torch.ones_like(denoise_mask)

        options["denoise_mask_function"] = released
    result = sampler.sample(
        model,
        torch.tensor(job.sigmas, device=device),
        {"model_options": options, "seed": None},
        ui,
        noise.transpose(1, 2).contiguous(),
        source.transpose(1, 2).contiguous(),
        mask,
        True,
    ).transpose(1, 2)
    return result if job.region is None else job.region.to(result).blend(result)
