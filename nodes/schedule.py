"""Node: noise schedule."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor

from .. import parameters
from ..pipeline.input_checks import settings_problem
from ..sampler.schedule import PARAMETER_NAMES, Options, build, choose
from ..sampler.validation import find_problem


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

    @classmethod
    def VALIDATE_INPUTS(
        cls,
        steps: int | None,
        shift: float | None,
        custom_sigmas: str | None,
        schedule: str | None = parameters.get("schedule_type").default,
        rho: float | None = None,
        alpha: float | None = None,
        beta: float | None = None,
        threshold: float | None = None,
        terminal: float | None = None,
        start: float | None = None,
        denoise: float | None = None,
    ) -> bool | str:
        """A linked value arrives as None; what it will be paired with is then known only in the run."""
        if custom_sigmas is None or schedule is None:
            schedule, custom_sigmas = "linear", ""
        options = {"shift": shift, "rho": rho, "alpha": alpha, "beta": beta, "threshold": threshold}
        options |= {"terminal": terminal, "start": start, "denoise": denoise}
        values = {"steps": steps, "schedule": schedule, "custom_sigmas": custom_sigmas, **options}
        return settings_problem(_build, values, {"steps": "steps", **PARAMETER_NAMES})

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
        levels = _build(
            steps=steps,
            schedule=schedule,
            custom_sigmas=custom_sigmas,
            shift=shift,
            rho=rho,
            alpha=alpha,
            beta=beta,
            threshold=threshold,
            terminal=terminal,
            start=start,
            denoise=denoise,
        )
        return (torch.tensor(levels),)


def _build(*, steps: int, schedule: str, custom_sigmas: str, **options: float) -> list[float]:
    """The levels. Raises ValueError."""
    if problem := find_problem("steps", "steps", steps):
        raise ValueError(f"schedule: {problem}")
    schedule, sigmas = choose(schedule, custom_sigmas)
    return build(schedule, steps, Options(**options, sigmas=sigmas))
