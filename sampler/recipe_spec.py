"""Which fields each part of a recipe has. Ranges and defaults are those of ``parameters``."""

from __future__ import annotations

from .json_settings import FieldSpec, UnionSpec
from .modifiers import MODIFIERS
from .schedule import SCHEDULES, options_of
from .solver import SOLVERS

VERSION = 1
ROOT = "modularScheduler"
KEYS = ("version", "schedule", "solver", "guidance", "modifiers", "retake")


def _schedule_fields(name: str) -> dict[str, FieldSpec]:
    options = options_of(name)
    if "sigmas" in options:
        return {"sigmas": FieldSpec("custom_sigmas", required=True)}
    fields = {"steps": FieldSpec("steps", inherited=True)}
    if "shift" in options:
        fields["shift"] = FieldSpec("shift", inherited=True)
    return fields | {option: FieldSpec(f"schedule_{option}") for option in options if option != "shift"}


_START_SCALE = {"startScale": FieldSpec("guidance_scale", inherited=True)}
_BOTH_SCALES = _START_SCALE | {"endScale": FieldSpec("guidance_end_scale")}

SCHEDULE = UnionSpec("type", "schedule_type", {name: _schedule_fields(name) for name in SCHEDULES})
SOLVER = UnionSpec(
    "type",
    "solver_type",
    {name: {"eta": FieldSpec("solver_eta")} if kind.stochastic else {} for name, kind in SOLVERS.items()},
)
GUIDANCE = UnionSpec(
    "curve", "guidance_curve", {"constant": _START_SCALE, "linear": _BOTH_SCALES, "cosine": _BOTH_SCALES}
)
MODIFIER = UnionSpec(
    "type",
    None,
    {
        name: {field: FieldSpec(parameter) for field, parameter in kind.SETTINGS.items()}
        for name, kind in MODIFIERS.items()
    },
)
RETAKE = {"seed": FieldSpec("retake_seed", required=True), "variance": FieldSpec("retake_variance")}
