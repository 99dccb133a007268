"""Node: noise schedule."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor

from .. import parameters
from ..sampler import schedule


class Schedule:
    """The noise levels a run goes through."""

    CATEGORY = "audio/ACE-Step XL"
    DESCRIPTION = "Noise levels from 1 (noise) to 0 (clean): evenly spaced and shifted, or a list of your own."
    FUNCTION = "make"
    RETURN_TYPES = ("SIGMAS",)
    RETURN_NAMES = ("sigmas",)
    OUTPUT_TOOLTIPS = ("For the sampler; core nodes that take SIGMAS accept it too.",)
    SEARCH_ALIASES: ClassVar = ["ace step steps", "shift", "scheduler", "sigmas"]

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        names = ("steps", "shift", "custom_sigmas")
        return {"required": {name: parameters.widget(name) for name in names}}

    def make(self, steps: int, shift: float, custom_sigmas: str) -> tuple[Tensor]:
        if custom_sigmas.strip():
            return (torch.tensor(schedule.parse_sigmas(custom_sigmas)),)
        return (torch.tensor(schedule.linear(steps, shift)),)
