"""The JSON Schema of the recipe, from the tables in ``recipe_spec``."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

from .. import parameters
from .json_settings import MAX_LEVELS, FieldSpec, UnionSpec
from .modifiers import MODIFIERS
from .recipe_spec import GUIDANCE, MODIFIER, RETAKE, ROOT, SCHEDULE, SOLVER, VERSION
from .schedule import SCHEDULES
from .scheduler_names import NAMES
from .solver import SOLVERS

INHERITED = "Default: the run's own value."
LEVELS = "Noise levels from 1 (noise) or below, strictly decreasing, to 0 (clean). They replace steps and shift."


def schema() -> dict[str, Any]:
    """JSON Schema of a recipe. It cannot require decreasing levels or compatible settings; ``parse`` checks those."""
    noisy = [name for name, kind in SOLVERS.items() if kind.stochastic]
    properties = {
        "version": {"const": VERSION, "default": VERSION},
        "schedule": _union_schema(SCHEDULE, {name: summary(formula) for name, formula in SCHEDULES.items()}),
        "solver": _union_schema(SOLVER, {name: kind.source for name, kind in SOLVERS.items()}),
        "guidance": _union_schema(GUIDANCE, {}),
        "modifiers": _modifiers_schema(),
        "retake": _object_schema(RETAKE, {})
        | {"description": "Rotates the initial noise towards that of another seed."},
    }
    wavelet_with_noise = {
        "properties": {
            "solver": {"properties": {"type": {"enum": noisy}}, "required": ["type"]},
            "modifiers": {"contains": {"properties": {"type": {"const": "wavelet"}}}},
        },
        "required": ["solver", "modifiers"],
    }
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": ROOT,
        "description": "A name, or an object whose keys are all optional. Names are not case-sensitive.",
        "oneOf": [
            {"enum": list(NAMES)},
            {"type": "object", "properties": properties, "additionalProperties": False, "not": wavelet_with_noise},
        ],
    }


def _union_schema(union: UnionSpec, descriptions: Mapping[str, str]) -> dict[str, Any]:
    default = None if union.parameter is None else parameters.get(union.parameter).default
    variants = []
    for name, fields in union.variants.items():
        selector: dict[str, Any] = {"const": name} | ({"default": name} if name == default else {})
        variant = _object_schema(fields, {union.selector: selector})
        if name != default:
            variant["required"] = [union.selector, *variant.get("required", [])]
        variants.append(variant | ({"description": descriptions[name]} if name in descriptions else {}))
    return {"oneOf": variants}


def _modifiers_schema() -> dict[str, Any]:
    descriptions = {name: f"{summary(kind)} {kind.WARNING or ''}".strip() for name, kind in MODIFIERS.items()}
    at_most_once = [
        {"contains": {"properties": {"type": {"const": name}}}, "minContains": 0, "maxContains": 1}
        for name in MODIFIER.variants
    ]
    return {"type": "array", "items": _union_schema(MODIFIER, descriptions), "allOf": at_most_once, "default": []}


def _object_schema(fields: Mapping[str, FieldSpec], selector: Mapping[str, Any]) -> dict[str, Any]:
    required = [key for key, spec in fields.items() if spec.required]
    properties = {**selector, **{key: _field_schema(spec) for key, spec in fields.items()}}
    result = {"type": "object", "properties": properties, "additionalProperties": False}
    return result | ({"required": required} if required else {})


def _field_schema(spec: FieldSpec) -> dict[str, Any]:
    if spec.parameter == "custom_sigmas":
        return {
            "type": "array",
            "items": {"type": "number", "minimum": 0, "maximum": 1},
            "minItems": 2,
            "maxItems": MAX_LEVELS,
            "description": LEVELS,
        }
    parameter = parameters.get(spec.parameter)
    result: dict[str, Any] = {"description": parameter.help + (f" {INHERITED}" if spec.inherited else "")}
    if parameter.choices:
        result["enum"] = list(parameter.choices)
    else:
        kind = "integer" if parameter.kind == "INT" else "number"
        result |= {"type": kind, "minimum": parameter.minimum, "maximum": parameter.maximum}
    if not spec.inherited and not spec.required:
        result["default"] = parameter.default
    return result


def summary(documented: Any) -> str:
    """The first paragraph of a docstring as one line."""
    return paragraphs(documented)[0].split(" Raises ")[0]


def paragraphs(documented: Any) -> list[str]:
    """The paragraphs of a docstring, each as one line, with Markdown's code marks."""
    blocks = (inspect.getdoc(documented) or "").replace("``", "`").split("\n\n")
    return [" ".join(block.split()) for block in blocks]
