"""ComfyUI's samplers as SAMPLERs, which this pack's sampler node takes too."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from torch import Tensor

from ...sampler.native.levels import FlowLevels
from ...sampler.native.sampler_table import Sampler, get_sampler
from ...sampler.native.samplers.contract import Estimate
from ...sampler.native.sampling import sample


@dataclass(frozen=True)
class NativeSampler(Sampler):
    """A sampler by name with its options."""

    def sample(
        self,
        model_wrap: Any,
        sigmas: Tensor,
        extra_args: dict[str, Any],
        callback: Any,
        noise: Tensor,
        latent_image: Tensor,
        denoise_mask: Tensor | None = None,
        disable_pbar: bool = False,
    ) -> Tensor:
        """ComfyUI's contract of a SAMPLER: take noise ``[b c t]`` along the levels with this pack's guidance.

        Raises ValueError for samplers that need the estimate without condition, which a guider does not give.
        """
        if get_sampler(self.name).with_unconditional:
            raise ValueError(
                f"sampler {self.name} needs CFG's estimate without condition, which this guider does not give: choose "
                f"{self.name.removesuffix('_cfg_pp')}, or a guider of ComfyUI's"
            )
        options, seed = extra_args["model_options"], extra_args.get("seed") or 0
        hook = options.get("denoise_mask_function")

        def denoise(x: Tensor, sigma: Tensor, *, with_unconditional: bool) -> Estimate:
            level = sigma.to(x.device).expand(len(x))
            return Estimate(model_wrap(x, level, model_options=options, seed=seed), None)

        return sample(
            denoise,
            noise,
            latent_image,
            sigmas,
            self,
            levels=FlowLevels(model_wrap.inner_model.model_sampling.shift),
            seed=seed,
            mask=denoise_mask,
            mask_at=None if hook is None else lambda sigma, mask: hook(sigma, mask, extra_options={}),
            report=None if callback is None else lambda i, x0, x: callback(i, x0, x, len(sigmas) - 1),
        ).latents
