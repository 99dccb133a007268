"""A solver as a SAMPLER that our sampler node and ComfyUI's own both take."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor

from ..sampler.noise import seeds_for
from ..sampler.solver import Solver, make_solver

# A velocity is (x - x0) / t of another model's estimate; below this level the division is meaningless, and the last
# velocity is used instead. So Heun's last step is Euler's, as it is in core.
SMALLEST_LEVEL = 1e-4


@dataclass(frozen=True)
class SolverSampler:
    """A solver by name. eta: share of fresh noise per step, for solvers that add noise."""

    name: str
    eta: float

    def solver(self, seeds: list[int]) -> Solver:
        """The solver of a run whose item i has ``seeds[i]``."""
        return make_solver(self.name, seeds, self.eta)

    def sample(
        self,
        model_wrap: Any,
        sigmas: Tensor,
        extra_args: dict[str, Any],
        callback: Any,
        noise: Tensor,
        latent_image: Tensor | None = None,
        denoise_mask: Tensor | None = None,
        disable_pbar: bool = False,
    ) -> Tensor:
        """ComfyUI's contract of a SAMPLER: run another model's guider with this solver.

        noise and latent_image: ``[b ...]``. Only for flow models, whose latent at a level is that share of noise.
        """
        _require_flow(model_wrap.inner_model.model_sampling)
        source = torch.zeros_like(noise) if latent_image is None else latent_image
        levels = [float(level) for level in sigmas]
        flat = noise.flatten(1).shape
        options, seed = extra_args.get("model_options", {}), extra_args.get("seed") or 0
        # Every step's first evaluation is above 0, so both are set before anyone reads them.
        estimate, velocity = noise, noise

        def evaluate(y: Tensor, t: float) -> Tensor:
            nonlocal estimate, velocity
            if t < SMALLEST_LEVEL:
                return velocity.reshape(y.shape)
            x, sigma = y.reshape(noise.shape), torch.full((len(noise),), t, device=noise.device)
            if denoise_mask is not None:
                x = torch.lerp(t * noise + (1 - t) * source, x, denoise_mask)
            estimate = model_wrap(x, sigma, model_options=options, seed=seed)
            if denoise_mask is not None:
                estimate = torch.lerp(source, estimate, denoise_mask)
            velocity = (x - estimate) / t
            return velocity.reshape(y.shape)

        stepper = self.solver(seeds_for(seed, len(noise)))()
        y = (levels[0] * noise + (1 - levels[0]) * source).reshape(*flat, 1)
        for index, (t, t_next) in enumerate(pairwise(levels)):
            y = stepper(evaluate, y, t, t_next)
            if callback is not None:
                callback(index, estimate, y.reshape(noise.shape), len(levels) - 1)
        return y.reshape(noise.shape)


def _require_flow(model_sampling: Any) -> None:
    """ComfyUI marks flow models by a base class called CONST."""
    if not any(base.__name__ == "CONST" for base in type(model_sampling).__mro__):
        raise ValueError(
            f"this solver is for flow models, and the model's noise levels are {type(model_sampling).__name__}: use "
            "one of core's samplers for it"
        )
