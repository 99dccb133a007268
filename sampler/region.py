"""Regions: the part of a song that is regenerated while the rest keeps its source."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from .noise import mix


@dataclass(frozen=True)
class Region:
    """Which frames may change, and how strongly the others follow the source.

    source: ``[b t c]`` clean latents. mask: ``[b t 1]`` or ``[1 t 1]``, 1 where music is generated, 0 where the source
    stays; values between mix the two. noise: ``[b t c]``, the run's initial noise. injection: the fraction of the
    steps, 0 .. 1, after which the source is restored outside the region. blend_frames: latent frames outside each
    border over which the result fades into the source.

    Raises ValueError that lists every shape that does not fit and every value out of range.
    """

    source: Tensor
    mask: Tensor
    noise: Tensor
    injection: float
    blend_frames: int

    def __post_init__(self) -> None:
        problems = []
        b, t, _ = self.source.shape
        if self.noise.shape != self.source.shape:
            problems.append(
                f"noise is {tuple(self.noise.shape)}, it must be {tuple(self.source.shape)} like the source"
            )
        if self.mask.shape not in ((b, t, 1), (1, t, 1)):
            problems.append(f"mask is {tuple(self.mask.shape)}, allowed {(b, t, 1)} or {(1, t, 1)}")
        if not bool(((self.mask >= 0) & (self.mask <= 1)).all()):
            problems.append("mask has values outside 0 (keep the source) to 1 (regenerate)")
        if not 0 <= self.injection <= 1:
            problems.append(f"injection is {self.injection}, allowed 0 to 1")
        if self.blend_frames < 0:
            problems.append(f"blend_frames is {self.blend_frames}, allowed 0 or more")
        if problems:
            raise ValueError("region: " + "; ".join(problems))

    def to(self, x: Tensor) -> Region:
        """The region on the device and in the dtype of x, so that no step waits for a copy."""
        return replace(self, source=self.source.to(x), mask=self.mask.to(x), noise=self.noise.to(x))

    def injected_steps(self, steps: int) -> int:
        """How many of the run's steps are followed by ``inject``."""
        return round(self.injection * steps)

    def inject(self, x: Tensor, t: float) -> Tensor:
        """Restore the source, noised to level t with the run's own noise, outside the region."""
        # lerp is exact at weights 0 and 1, and propagates NaN.
        return torch.lerp(mix(self.noise, self.source, t), x, self.mask)

    def blend(self, x: Tensor) -> Tensor:
        """Restore the clean source outside the region after the last step, with linear ramps at its borders."""
        return torch.lerp(self.source, x, ramps(self.mask, self.blend_frames).to(x))


def ramps(mask: Tensor, frames: int) -> Tensor:
    """The mask ``[b t 1]`` with linear ramps of ``frames`` frames down to 0 outside its borders; on the CPU.

    Where two ramps overlap, the larger value counts. The ramp beside a soft mask starts from the mask's value.
    """
    # Scaled so that a ramp falls by 1 per frame: integers are exact, so the result beyond a ramp is 0, not nearly 0.
    height = mask.cpu().double() * (frames + 1)
    index = torch.arange(mask.shape[1], dtype=torch.float64)[:, None]
    falling = (height + index).cummax(dim=1).values - index
    rising = (height - index).flip(1).cummax(dim=1).values.flip(1) + index
    weights = torch.maximum(falling, rising).clamp(min=0) / (frames + 1)
    for item_weights, item_mask in zip(weights[..., 0], mask.cpu()[..., 0], strict=True):
        _shorten_outer_ramps(item_weights, item_mask, frames)
    return weights


def _shorten_outer_ramps(weights: Tensor, mask: Tensor, frames: int) -> None:
    """Fit the first and the last ramp between the region and the song's ends, in place (official inference).

    weights, mask: ``[t]``, with and without ramps.
    """
    masked = mask.nonzero()[:, 0].tolist()
    if not masked:
        return
    first, last = masked[0], masked[-1]
    frames_after = len(mask) - 1 - last
    if first < frames:
        weights[:first] = mask[first] * torch.arange(1, first + 1) / (first + 1)
    if frames_after < frames:
        weights[last + 1 :] = mask[last] * torch.arange(frames_after, 0, -1) / (frames_after + 1)
