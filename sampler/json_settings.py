"""Reads JSON objects by tables of field specifications and collects all their problems."""

from __future__ import annotations

import reprlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from .. import parameters
from . import schedule
from .validation import find_problem

MAX_LEVELS = int(parameters.get("steps").maximum or 0) + 1


@dataclass(frozen=True)
class FieldSpec:
    """A key of an object. parameter: its range and default. inherited: when absent, the value is that of the run (the
    request or the nodes). required: it must be present."""

    parameter: str
    inherited: bool = False
    required: bool = False


@dataclass(frozen=True)
class UnionSpec:
    """An object whose key ``selector`` names one of ``variants``, each with its own fields. parameter: the selector's
    choices and default; None if the selector is required."""

    selector: str
    parameter: str | None
    variants: Mapping[str, Mapping[str, FieldSpec]]


@dataclass(frozen=True)
class Problem:
    """One problem. path: dotted, such as ``modularScheduler.solver.eta``. message: begins with the path and gives the
    value, what is allowed and the remedy."""

    path: str
    message: str


@dataclass(frozen=True)
class Selection:
    """The selected variant of a union and its settings; inherited settings are absent unless given."""

    type: str
    settings: Mapping[str, Any]


class ObjectReader:
    """Reads one object. A method that cannot read its value adds to ``problems`` and returns nothing usable."""

    def __init__(self) -> None:
        self.problems: list[Problem] = []

    def add_problem(self, path: str, text: str) -> None:
        """text continues the sentence that the path begins."""
        self.problems.append(Problem(path, f"{path} {text}"))

    def read_mapping(self, path: str, value: object, expected: str) -> dict[Any, Any] | None:
        """The value if it is an object. expected: what the message asks for."""
        if isinstance(value, dict):
            return value
        self.add_problem(path, f"is {reprlib.repr(value)}, it must be {expected}")
        return None

    def check_keys(
        self, path: str, value: dict[Any, Any], allowed: Sequence[str], owner: str, union: UnionSpec | None = None
    ) -> None:
        """Report every key of ``owner`` that is not allowed, and which variants of ``union`` have it."""
        for key in value:
            if key not in allowed:
                name = key if isinstance(key, str) and len(key) <= 40 else reprlib.repr(key)
                variants = {} if union is None else union.variants
                owners = [variant for variant, fields in variants.items() if key in fields]
                hint = f", but of {', '.join(owners)}" if 0 < len(owners) <= 4 else ""
                self.add_problem(f"{path}.{name}", f"is not a setting of {owner}{hint}; allowed: {', '.join(allowed)}")

    def read_union(self, path: str, value: object, union: UnionSpec) -> Selection | None:
        """The selected variant with all its settings."""
        names = ", ".join(union.variants)
        mapping = self.read_mapping(path, value, f"an object with the key {union.selector}, one of {names}")
        if mapping is None:
            return None
        default = None if union.parameter is None else parameters.get(union.parameter).default
        selected = mapping.get(union.selector, default)
        if not isinstance(selected, str) or selected not in union.variants:
            shown = reprlib.repr(selected) if union.selector in mapping else "missing"
            self.add_problem(f"{path}.{union.selector}", f"is {shown}, known: {names}")
            return None
        fields = union.variants[selected]
        self.check_keys(path, mapping, (union.selector, *fields), selected, union)
        return Selection(selected, self.read_fields(path, mapping, fields))

    def read_fields(self, path: str, value: dict[Any, Any], fields: Mapping[str, FieldSpec]) -> dict[str, Any]:
        """The settings given, with the defaults of absent ones that are not inherited."""
        settings: dict[str, Any] = {}
        for key, spec in fields.items():
            field_path = f"{path}.{key}"
            if key not in value:
                if spec.required:
                    self.add_problem(field_path, "is missing")
                elif not spec.inherited:
                    settings[key] = parameters.get(spec.parameter).default
            elif spec.parameter == "custom_sigmas":
                settings[key] = self._read_sigmas(field_path, value[key])
            elif (message := find_problem(field_path, spec.parameter, value[key])) is not None:
                self.problems.append(Problem(field_path, message))
            else:
                settings[key] = _as_kind(value[key], parameters.get(spec.parameter).kind)
        return settings

    def _read_sigmas(self, path: str, value: object) -> tuple[float, ...]:
        if not isinstance(value, list) or not all(_is_number(level) for level in value):
            self.add_problem(
                path, f"is {reprlib.repr(value)}, it must be a list of levels from 1 (noise) down to 0 (clean)"
            )
            return ()
        if len(value) > MAX_LEVELS:
            self.add_problem(path, f"has {len(value)} levels, allowed {MAX_LEVELS} for {MAX_LEVELS - 1} steps")
            return ()
        try:
            return tuple(schedule.custom(sigmas=[float(level) for level in value]))
        except (ValueError, OverflowError) as error:  # a Python int may be too large for a float
            self.add_problem(path, f"cannot be used: {error}")
            return ()


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _as_kind(value: Any, kind: str) -> Any:
    """Convert to the parameter's type: JSON does not distinguish 7 from 7.0."""
    return int(value) if kind == "INT" else float(value) if kind == "FLOAT" else value
