"""Noise levels of ComfyUI's schedulers as our Schedule, or as ComfyUI's BasicScheduler where none is equal."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ...parameters import ids
from ..graph import Link
from . import effects
from .limits import outside
from .models import shift_of
from .rewrite import Rewrite

BASIC = "BasicScheduler"
LOWEST_TIME = 0.001  # of ComfyUI's table of levels, before the shift
TABLE_SIZE = 1000


@dataclass(frozen=True)
class Equal:
    """The schedule that gives a scheduler's levels. options: its inputs. has_terminal: whether it has to be told the
    lowest level of ComfyUI's table."""

    schedule: str
    options: dict[str, float]
    has_terminal: bool = False
    effect: str = effects.SAME_LEVELS


def replace_basic_scheduler(rewrite: Rewrite, node_id: str) -> str:
    """BasicScheduler -> Schedule. Returns why it stays, or ""."""
    before = rewrite.graph[node_id]
    inputs, problem = _schedule_inputs(rewrite, before.inputs)
    if problem:
        return problem
    rewrite.replace(node_id, ids.SCHEDULE, inputs)
    rewrite.record(node_id, before, (ids.SCHEDULE,), *level_effects(before.inputs))
    return ""


def add_levels(rewrite: Rewrite, settings: dict[str, Any], place: str) -> tuple[Link, str, list[str]]:
    """Add what gives the levels of a KSampler: its output, its class and the effects on the sound.

    settings: KSampler's model, scheduler, steps and denoise.
    """
    inputs, problem = _schedule_inputs(rewrite, settings)
    if problem:
        basic = {name: settings.get(name) for name in ("model", "scheduler", "steps", "denoise")}
        return Link(rewrite.add(BASIC, basic, place), 0), BASIC, [effects.KEPT_LEVELS, effects.SILENT_START]
    return Link(rewrite.add(ids.SCHEDULE, inputs, place), 0), ids.SCHEDULE, level_effects(settings)


def level_effects(settings: dict[str, Any]) -> list[str]:
    """What Schedule in place of a scheduler does to the sound."""
    denoise, steps = settings.get("denoise", 1.0), settings.get("steps")
    effect = EQUALS[settings["scheduler"]].effect
    if settings["scheduler"] == "simple" and isinstance(steps, int) and isinstance(denoise, (int, float)):
        effect = effects.SAME_LEVELS if TABLE_SIZE % int(steps / denoise) == 0 else effect
    return [effect, effects.PARTIAL if denoise != 1 else ""]


def _schedule_inputs(rewrite: Rewrite, settings: dict[str, Any]) -> tuple[dict[str, Any], str]:
    """The inputs of Schedule, and why it cannot give the levels, or ""."""
    scheduler, shift = settings.get("scheduler"), shift_of(rewrite, settings.get("model"))
    if not isinstance(scheduler, str):
        return {}, "its scheduler comes over a link"
    if scheduler not in EQUALS:
        return {}, f"no schedule of this pack has the levels of {scheduler}"
    if shift is None:
        return {}, "another node than ModelSamplingAuraFlow sets the noise levels of its model"
    equal = EQUALS[scheduler]
    inputs = {"schedule": equal.schedule, "shift": shift, **equal.options}
    inputs |= {name: settings[name] for name in ("steps", "denoise") if name in settings}
    if equal.has_terminal:
        if not isinstance(shift, (int, float)):
            return {}, f"its shift comes over a link, and the levels of {scheduler} depend on it"
        inputs["terminal"] = _terminal(float(shift))
    names = {"steps": "steps", "shift": "shift", "denoise": "schedule_denoise", "terminal": "schedule_terminal"}
    problems = [outside(inputs.get(name), name, parameter) for name, parameter in names.items()]
    return inputs, "; ".join(filter(None, problems))


def _terminal(shift: float) -> float:
    """The lowest level of ComfyUI's table; sgm_uniform shifts it once more, as here."""
    return round(shift * LOWEST_TIME / (1 + (shift - 1) * LOWEST_TIME), 6)


# Scheduler -> the schedule with the same levels.
EQUALS: dict[str, Equal] = {
    "simple": Equal("linear", {}, effect=effects.ROUNDED_LEVELS),
    "sgm_uniform": Equal("sgm_uniform", {}, has_terminal=True),
    "karras": Equal("karras", {"rho": 7.0}, has_terminal=True),
    "exponential": Equal("exponential", {}, has_terminal=True),
    "kl_optimal": Equal("kl_optimal", {}, has_terminal=True),
    "beta": Equal("beta", {"alpha": 0.6, "beta": 0.6}, effect=effects.QUANTILE_LEVELS),
    "linear_quadratic": Equal("linear_quadratic", {"threshold": 0.025}),
}
