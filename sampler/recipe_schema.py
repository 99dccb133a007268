"""The JSON Schema of the recipe, from the tables that its reader goes by."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

from .. import parameters
from .json_settings import MOST_LEVELS, Part, Setting
from .modifiers import MODIFIERS
from .recipe import GUIDANCE, MODIFIER, RETAKE, ROOT, SCHEDULE, SOLVER, VERSION
from .schedule import SCHEDULES
from .scheduler_names import NAMES
from .solver import SOLVERS

OWN = "Absent: the run's own value."
LEVELS = "Noise levels from 1 (noise) or below, falling strictly, to 0 (clean). They replace steps and shift."


def schema() -> dict[str, Any]:
    """JSON Schema of the object. It cannot say that levels fall and that values fit together; ``parse`` checks it."""
    noisy = [name for name, kind in SOLVERS.items() if kind.stochastic]
    properties = {
        "version": {"const": VERSION, "default": VERSION},
        "schedule": _part(SCHEDULE, {name: summary(formula) for name, formula in SCHEDULES.items()}),
        "solver": _part(SOLVER, {name: kind.source for name, kind in SOLVERS.items()}),
        "guidance": _part(GUIDANCE, {}),
        "modifiers": _modifiers(),
        "retake": _object(RETAKE, {}) | {"description": "Start noise turned towards that of another seed."},
    }
    both = {
        "properties": {
            "solver": {"properties": {"type": {"enum": noisy}}, "required": ["type"]},
            "modifiers": {"contains": {"properties": {"type": {"const": "wavelet"}}}},
        },
        "required": ["solver", "modifiers"],
    }
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": ROOT,
        "description": "A name, or an object of which every part may be left out. Case does not matter in names.",
        "oneOf": [
            {"enum": list(NAMES)},
            {"type": "object", "properties": properties, "additionalProperties": False, "not": both},
        ],
    }


def _part(part: Part, descriptions: Mapping[str, str]) -> dict[str, Any]:
    default = None if part.parameter is None else parameters.get(part.parameter).default
    variants = []
    for name, settings in part.variants.items():
        selector: dict[str, Any] = {"const": name} | ({"default": name} if name == default else {})
        made = _object(settings, {part.selector: selector})
        if name != default:
            made["required"] = [part.selector, *made.get("required", [])]
        variants.append(made | ({"description": descriptions[name]} if name in descriptions else {}))
    return {"oneOf": variants}


def _modifiers() -> dict[str, Any]:
    words = {name: f"{summary(kind)} {kind.WARNING or ''}".strip() for name, kind in MODIFIERS.items()}
    once = [
        {"contains": {"properties": {"type": {"const": name}}}, "minContains": 0, "maxContains": 1}
        for name in MODIFIER.variants
    ]
    return {"type": "array", "items": _part(MODIFIER, words), "allOf": once, "default": []}


def _object(settings: Mapping[str, Setting], first: Mapping[str, Any]) -> dict[str, Any]:
    required = [key for key, setting in settings.items() if setting.required]
    properties = {**first, **{key: _setting(setting) for key, setting in settings.items()}}
    made = {"type": "object", "properties": properties, "additionalProperties": False}
    return made | ({"required": required} if required else {})


def _setting(setting: Setting) -> dict[str, Any]:
    if setting.parameter == "custom_sigmas":
        return {
            "type": "array",
            "items": {"type": "number", "minimum": 0, "maximum": 1},
            "minItems": 2,
            "maxItems": MOST_LEVELS,
            "description": LEVELS,
        }
    parameter = parameters.get(setting.parameter)
    made: dict[str, Any] = {"description": parameter.help + (f" {OWN}" if setting.own else "")}
    if parameter.choices:
        made["enum"] = list(parameter.choices)
    else:
        kind = "integer" if parameter.kind == "INT" else "number"
        made |= {"type": kind, "minimum": parameter.minimum, "maximum": parameter.maximum}
    if not setting.own and not setting.required:
        made["default"] = parameter.default
    return made


def summary(thing: Any) -> str:
    """The first paragraph of a docstring as one line."""
    return paragraphs(thing)[0].split(" Raises ")[0]


def paragraphs(thing: Any) -> list[str]:
    """The docstring's paragraphs, each as one line, with the code marks of Markdown."""
    blocks = (inspect.getdoc(thing) or "").replace("``", "`").split("\n\n")
    return [" ".join(block.split()) for block in blocks]
