"""The settings of an adapter as the network takes them: groups, a curve over the run, regions of the song."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from ... import parameters
from ...audio.region_text import parse_regions
from ...audio.timeline import Span
from ...model.adapters.adapter import Adapter
from ...model.adapters.attach import Applied
from ...sampler.guidance import CURVES
from ...sampler.validation import find_problems

# A float32 level is off by up to about 1e-7; an interval that ends on a step must still include that step.
_TOLERANCE = 1e-6
# Field of StrengthCurve -> its parameter.
PARAMETER_NAMES = {
    "strength": "adapter_strength",
    "shape": "adapter_curve",
    "end_strength": "adapter_end_strength",
    "start": "adapter_start",
    "end": "adapter_end",
}


@dataclass(frozen=True)
class StrengthCurve:
    """A strength over progress, 0 (first step) .. 1 (last): from ``strength`` at ``start`` to ``end_strength`` at
    ``end``, and 0 outside of them. shape: a key of `CURVES`. Raises ValueError that lists every value out of range."""

    strength: float
    shape: str
    end_strength: float
    start: float
    end: float

    def __post_init__(self) -> None:
        problems = find_problems(self, PARAMETER_NAMES)
        if self.start > self.end:
            problems.append(f"start {self.start} lies after end {self.end}: swap them")
        if problems:
            raise ValueError("adapter: " + "; ".join(problems))

    @property
    def is_constant(self) -> bool:
        """Whether the strength is the same at every step."""
        return (self.start, self.end) == (0, 1) and (self.shape == "constant" or self.end_strength == self.strength)

    @property
    def is_zero(self) -> bool:
        """Whether the strength is 0 at every step."""
        return self.strength == 0 and (self.shape == "constant" or self.end_strength == 0)

    def __call__(self, progress: float) -> float:
        if not self.start - _TOLERANCE <= progress <= self.end + _TOLERANCE:
            return 0.0
        length = self.end - self.start
        fraction = min(max((progress - self.start) / length, 0.0), 1.0) if length > 0 else 0.0
        return self.strength + CURVES[self.shape](fraction) * (self.end_strength - self.strength)


def apply_settings(
    adapter: Adapter, curve: StrengthCurve, groups: Mapping[str, float], regions: str, mask: Tensor | None
) -> Applied:
    """An adapter with a node's settings. groups: factors by group. regions: in seconds, "" for everywhere. mask: a
    MASK over the whole song, which replaces regions."""
    over_song = None
    if mask is not None:
        over_song = mask_factors(mask)
    elif regions.strip():
        over_song = region_factors(parse_regions(regions))
    factors = {name: value for name, value in groups.items() if value != 1}
    return Applied(adapter, curve.strength, factors, None if curve.is_constant else curve, over_song)


def region_factors(spans: Sequence[Span]) -> Callable[[int], Tensor]:
    """1 within spans of seconds and 0 elsewhere, for the latent frames of a song."""

    def factors(frames: int) -> Tensor:
        starts = torch.arange(frames, dtype=torch.float64) / parameters.FRAME_RATE
        ends = starts + 1 / parameters.FRAME_RATE
        inside = [(ends > span.start + _TOLERANCE) & (starts < span.end - _TOLERANCE) for span in spans]
        return torch.stack(inside).any(dim=0).float()

    return factors


def mask_factors(mask: Tensor) -> Callable[[int], Tensor]:
    """The columns of a MASK ``[b h w]``, stretched over the latent frames of a song."""
    # A brush need not reach every row; a column counts where any is painted.
    columns = mask.reshape(1, 1, -1, mask.shape[-1]).amax(dim=2).float().cpu().clamp(0, 1)

    def factors(frames: int) -> Tensor:
        return F.interpolate(columns, frames, mode="linear", align_corners=False)[0, 0]

    return factors
