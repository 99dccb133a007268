"""A latent through a guider and a sampler, as ComfyUI's sampler nodes take it."""

from __future__ import annotations

from typing import Any

from torch import Tensor

Latent = dict[str, Any]


def run(guider: Any, noise: Any, sampler: Any, sigmas: Tensor, latent: Latent) -> tuple[Latent, Latent]:
    """The finished latent, and the clean estimate of the last step."""
    estimates: list[Tensor] = []

    def keep(step: int, x0: Tensor, x: Tensor, total: int) -> None:
        estimates[:] = [x0]

    samples = guider.sample(
        noise.generate_noise(latent),
        latent["samples"],
        sampler,
        sigmas,
        denoise_mask=latent.get("noise_mask"),
        callback=keep,
        seed=noise.seed,
    )
    denoised = estimates[0].float().cpu() if estimates else samples
    return {**latent, "samples": samples}, {**latent, "samples": denoised}


def part_of(sigmas: Tensor, first: int, end: int, finishes: bool) -> Tensor:
    """The levels of the steps first .. end - 1. finishes: the last step goes to 0, wherever it is."""
    if end < len(sigmas) - 1:
        sigmas = sigmas[: end + 1].clone()
        if finishes:
            sigmas[-1] = 0
    return sigmas[first:] if first < len(sigmas) - 1 else sigmas[:0]
