"""Recommended settings for each kind of checkpoint. Data only: nothing here is applied automatically."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Preset:
    """Steps, shift of the linear schedule and guidance for one kind of checkpoint, with the source of the advice.

    guidance_type: a key of ``guidance.GUIDANCE``. guidance_scale 1 is no guidance.
    """

    steps: int
    shift: float
    guidance_type: str
    guidance_scale: float
    source: str


# The official sources disagree: the training configuration has shift 1 and 50 steps for base and SFT, the Python API
# shift 1 and 8 steps for all. The user interface is what people have heard results from.
_INTERFACE = "default of the official user interface"

PRESETS: dict[str, Preset] = {
    "sft": Preset(50, 3.0, "apg", 7.0, f"{_INTERFACE} for SFT checkpoints"),
    "base": Preset(32, 3.0, "apg", 7.0, f"{_INTERFACE} for base checkpoints; the training configuration has 50 steps"),
    "turbo": Preset(8, 3.0, "apg", 1.0, f"{_INTERFACE} for turbo checkpoints, which were distilled for no guidance"),
}
