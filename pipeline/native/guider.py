"""ComfyUI's guiders, CFGGuider and BasicGuider, over our network."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ... import parameters
from ...host import current_host
from ...model.network import AceStep
from ...sampler.guidance import PARAMETER_NAMES, Guidance
from ...sampler.native.levels import FlowLevels
from ...sampler.native.sampler_table import Sampler
from ...sampler.native.samplers.contract import Estimate
from ...sampler.native.sampling import fit_mask, guide, sample
from .. import conditioning, model_socket
from ..conditioning import Conditioning
from ..guider import Guider, refuse_damaged
from ..memory.oom_retry import Strategy, run_with_retries
from .conditions import network_inputs

# ComfyUI's callback of a step: its index, the clean estimate and x ``[b c t]``, and the number of steps.
OnStep = Callable[[int, Tensor, Tensor, int], None]


def levels_of(model: Any) -> FlowLevels:
    """The noise levels of a MODEL, which schedulers and samplers read."""
    return FlowLevels(current_host().sockets.sampling_patcher(model).model.model_sampling.shift)


@dataclass(frozen=True)
class NativeGuider:
    """A MODEL under plain classifier-free guidance. negative None: only the prompt, whatever the scale."""

    model: Any
    positive: Conditioning
    negative: Conditioning | None
    scale: float

    @property
    def levels(self) -> FlowLevels:
        """The noise levels of the model."""
        return levels_of(self.model)

    def sample(
        self,
        noise: Tensor,
        latent_image: Tensor,
        sampler: Any,
        sigmas: Tensor,
        denoise_mask: Tensor | None = None,
        callback: OnStep | None = None,
        disable_pbar: bool = False,
        seed: int | None = None,
    ) -> Tensor:
        """ComfyUI's contract of a GUIDER: latents ``[b 64 t]`` in and out, on the CPU. sampler: one of ComfyUI's
        samplers here, or a SAMPLER of another node."""
        network, host = model_socket.network_of(self.model), current_host()
        problem = _shape_problem(network, latent_image)
        if problem:
            raise ValueError(problem)
        if len(sigmas) < 2:
            return latent_image.float().cpu()
        strategies = self._strategies(latent_image, sigmas)

        def work(strategy: Strategy, device: torch.device) -> Tensor:
            model_socket.refresh(self.model)
            model = self._guided(network, latent_image, device)
            mask = None if denoise_mask is None else fit_mask(denoise_mask, latent_image).to(device)
            with host.progress(len(sigmas) - 1) as bar:

                def on_step(step: int, x0: Tensor, x: Tensor, total: int) -> None:
                    host.check_interrupted()
                    bar.update(step + 1)
                    if callback is not None:
                        callback(step, x0, x, total)

                tensors = (noise.float().to(device), latent_image.float().to(device))
                return self._denoise(model, sampler, sigmas, tensors, mask, seed or 0, on_step).float().cpu()

        result = run_with_retries(host, "sampling", [model_socket.held(self.model)], strategies, work)
        refuse_damaged(result.transpose(1, 2), network)
        return result

    def _denoise(
        self,
        model: GuidedNetwork,
        sampler: Any,
        sigmas: Tensor,
        tensors: tuple[Tensor, Tensor],
        mask: Tensor | None,
        seed: int,
        on_step: OnStep,
    ) -> Tensor:
        """tensors: noise and latent, ``[b c t]``; mask: of the same shape."""
        if not isinstance(sampler, Sampler):
            return sampler.sample(model, sigmas, {"model_options": {}, "seed": seed}, on_step, *tensors, mask, True)
        total = len(sigmas) - 1

        def report(step: int, x0: Tensor, x: Tensor) -> None:
            on_step(step, x0, x, total)

        noise, latent = tensors
        levels = self.levels
        return sample(
            model.estimate, noise, latent, sigmas, sampler, levels=levels, seed=seed, mask=mask, report=report
        ).latents

    def _strategies(self, latent: Tensor, sigmas: Tensor) -> list[Strategy]:
        """The ways to sample, by the estimate of a run of our own guider of the same size."""
        songs, _, frames = latent.shape
        positive = conditioning.read(self.positive, "positive")
        negative = None if self.negative is None else conditioning.read(self.negative, "negative")
        guider = Guider(self.model, positive, negative, _plain_guidance(self.scale))
        levels, seconds = sigmas.tolist(), frames / parameters.FRAME_RATE
        run = guider.describe(tuple(range(songs)), frames, levels, seconds=seconds, edit=None, sampler=None)
        return guider.strategies(run)

    def _guided(self, network: AceStep, latent: Tensor, device: torch.device) -> GuidedNetwork:
        songs, _, frames = latent.shape
        positive = network_inputs(self.positive, "positive", songs, frames, device)
        negative = None
        if self.negative is not None:
            negative = network_inputs(self.negative, "negative", songs, frames, device)
        return GuidedNetwork(network, positive, negative, self.scale, self.model)


@dataclass(frozen=True)
class GuidedNetwork:
    """A network under guidance, as samplers call a model."""

    network: AceStep
    positive: dict[str, Any]
    negative: dict[str, Any] | None
    scale: float
    model: Any

    @property
    def inner_model(self) -> Any:
        """What a sampler reads the kind of the noise levels from."""
        return current_host().sockets.sampling_patcher(self.model).model

    def __call__(self, x: Tensor, sigma: Tensor, model_options: Any = None, seed: int | None = None) -> Tensor:
        """The clean estimate ``[b c t]`` of x at level sigma ``[b]``."""
        return self.estimate(x, sigma.reshape(-1)[0], with_unconditional=False).x0

    def estimate(self, x: Tensor, sigma: Tensor, *, with_unconditional: bool) -> Estimate:
        """The clean estimates ``[b c t]`` of x at a level."""
        scale = 1.0 if self.negative is None else self.scale
        return guide(self._predict, scale)(x, sigma, with_unconditional=with_unconditional)

    def _predict(self, x: Tensor, sigma: Tensor, needs_both: bool) -> tuple[Tensor, Tensor | None]:
        level = sigma.to(x).expand(len(x))
        velocity = self.network(x, level, **self.positive).to(x)
        if not needs_both or self.negative is None:
            return velocity, None
        return velocity, self.network(x, level, **self.negative).to(x)


def _plain_guidance(scale: float) -> Guidance:
    defaults = {field: parameters.get(name).default for field, name in PARAMETER_NAMES.items()}
    return Guidance(**{**defaults, "type": "cfg", "scale": max(scale, 1.0)})


def _shape_problem(network: AceStep, latent: Tensor) -> str:
    channels = network.config.latent_channels
    if latent.ndim == 3 and latent.shape[1] == channels and latent.shape[2] > 0:
        return ""
    return (
        f"latent has the shape {list(latent.shape)}, expected [songs {channels} frames]: use "
        "EmptyAceStep1.5LatentAudio or VAEEncodeAudio"
    )
