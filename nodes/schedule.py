"""Node: noise schedule."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor

from .. import parameters
from ..sampler.schedule import Options, build, choose


class Schedule:
    """The noise levels of a run."""

    CATEGORY = "audio/ACE-Step XL"
    DESCRIPTION = (
        "Noise levels from 1 (noise) to 0 (clean). linear with a shift is the official schedule; the others are "
        "those of ComfyUI's schedulers, or your own list."
    )
    FUNCTION = "make"
    RETURN_TYPES = ("SIGMAS",)
    RETURN_NAMES = ("sigmas",)
    OUTPUT_TOOLTIPS = ("For the sampler; core nodes that take SIGMAS accept it too.",)
    SEARCH_ALIASES: ClassVar = ["ace step steps", "shift", "scheduler", "sigmas", "karras", "denoise"]

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        names = ("steps", "shift", "custom_sigmas")
        return {
            "required": {name: parameters.widget(name) for name in names},
            "optional": {
                "schedule": parameters.widget("schedule_type"),
                "rho": parameters.widget("schedule_rho"),
                "alpha": parameters.widget("schedule_alpha"),
                "beta": parameters.widget("schedule_beta"),
                "threshold": parameters.widget("schedule_threshold"),
                "terminal": parameters.widget("schedule_terminal"),
                "start": parameters.widget("schedule_start"),
                "denoise": parameters.widget("schedule_denoise"),
            },
        }

    def make(
        self,
        steps: int,
        shift: float,
        custom_sigmas: str,
        schedule: str = parameters.get("schedule_type").default,
        rho: float = parameters.get("schedule_rho").default,
        alpha: float = parameters.get("schedule_alpha").default,
        beta: float = parameters.get("schedule_beta").default,
        threshold: float = parameters.get("schedule_threshold").default,
        terminal: float = parameters.get("schedule_terminal").default,
        start: float = parameters.get("schedule_start").default,
        denoise: float = parameters.get("schedule_denoise").default,
    ) -> tuple[Tensor]:
        schedule, sigmas = choose(schedule, custom_sigmas)
        options = Options(shift, rho, alpha, beta, threshold, terminal, start, denoise, sigmas)
        return (torch.tensor(build(schedule, steps, options)),)
