"""Regions: the part of a song that is made anew, while the rest stays what it was."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from .noise import mix


@dataclass(frozen=True)
class Region:
    """What may change, and how firmly the rest is held.

    source: ``[b t c]`` clean latents. mask: ``[b t 1]`` or ``[1 t 1]``, 1 where music is made, 0 where the source
    stays; between, that share of the new music is mixed with the source. noise: ``[b t c]``, the run's start noise.
    injection: share of the steps, 0 .. 1, after which the source is put back outside. blend_frames: latent frames
    outside each border over which the result fades into the source.

    Raises ValueError for shapes that do not fit and values out of range, all at once.
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
            problems.append(f"noise is {tuple(self.noise.shape)}, it must be {tuple(self.source.shape)} as the source")
        if self.mask.shape not in ((b, t, 1), (1, t, 1)):
            problems.append(f"mask is {tuple(self.mask.shape)}, allowed {(b, t, 1)} or {(1, t, 1)}")
        if not bool(((self.mask >= 0) & (self.mask <= 1)).all()):
            problems.append("mask has values outside 0 (keep the source) to 1 (make anew)")
        if not 0 <= self.injection <= 1:
            problems.append(f"injection is {self.injection}, allowed 0 to 1")
        if self.blend_frames < 0:
            problems.append(f"blend_frames is {self.blend_frames}, allowed 0 and more")
        if problems:
            raise ValueError("region: " + "; ".join(problems))

    def to(self, x: Tensor) -> Region:
        """The same region where x is and in its format, so that no step waits for a transfer."""
        return replace(self, source=self.source.to(x), mask=self.mask.to(x), noise=self.noise.to(x))

    def injected_steps(self, steps: int) -> int:
        """After how many of the run's steps ``inject`` is applied."""
        return round(self.injection * steps)

    def inject(self, x: Tensor, t: float) -> Tensor:
        """Put the source, with the run's own noise at level t, back outside the region."""
        # lerp is exact at the weights 0 and 1, and a NaN outside stays one.
        return torch.lerp(mix(self.noise, self.source, t), x, self.mask)

    def blend(self, x: Tensor) -> Tensor:
        """Put the clean source back outside the region, after the last step, with linear ramps outside its borders."""
        return torch.lerp(self.source, x, ramps(self.mask, self.blend_frames).to(x))


def ramps(mask: Tensor, frames: int) -> Tensor:
    """The mask ``[b t 1]`` with linear slopes of ``frames`` frames outside its borders, down to 0; on the CPU.

    Slopes of neighbouring regions join at their larger value; the slope beside a soft mask starts from its value.
    """
    # In units of one frame of the slope whole numbers stay exact, so beyond the slopes the result is 0, not nearly 0.
    height = mask.cpu().double() * (frames + 1)
    place = torch.arange(mask.shape[1], dtype=torch.float64)[:, None]
    after = (height + place).cummax(dim=1).values - place
    before = (height - place).flip(1).cummax(dim=1).values.flip(1) + place
    weight = torch.maximum(after, before).clamp(min=0) / (frames + 1)
    for item, inside in zip(weight[..., 0], mask.cpu()[..., 0], strict=True):
        _use_the_room(item, inside, frames)
    return weight


def _use_the_room(weight: Tensor, inside: Tensor, frames: int) -> None:
    """Make the slopes towards the song's start and end no longer than the room there, in place (official inference).

    weight and inside: ``[t]``, the mask with its slopes and without.
    """
    found = inside.nonzero()[:, 0].tolist()
    if not found:
        return
    first, last = found[0], found[-1]
    after = len(inside) - 1 - last
    if first < frames:
        weight[:first] = inside[first] * torch.arange(1, first + 1) / (first + 1)
    if after < frames:
        weight[last + 1 :] = inside[last] * torch.arange(after, 0, -1) / (after + 1)
