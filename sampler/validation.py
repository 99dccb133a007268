"""Checks of settings against the table of parameters."""

from __future__ import annotations

import reprlib
from collections.abc import Mapping
from typing import Any

from .. import parameters


def find_problem(field: str, parameter_name: str, value: Any) -> str | None:
    """What is wrong with a field's value under the named parameter, or None.

    Accepts any object. The message names the field, the value and what is allowed.
    """
    parameter = parameters.get(parameter_name)
    shown = reprlib.repr(value)
    if parameter.choices:
        return None if value in parameter.choices else f"{field} is {shown}, known: {', '.join(parameter.choices)}"
    low, high = parameter.minimum, parameter.maximum
    assert low is not None and high is not None, f"parameter {parameter_name} has no range"
    is_integer = parameter.kind == "INT"
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return f"{field} is {shown}, a {'whole ' if is_integer else ''}number from {low:g} to {high:g} is needed"
    if not low <= value <= high:
        return f"{field} is {shown}, allowed {low:g} to {high:g}"
    if is_integer and value != int(value):
        return f"{field} is {shown}, it must be a whole number"
    return None


def find_problems(settings: object, parameter_names: Mapping[str, str]) -> list[str]:
    """Everything wrong with the attributes of ``settings``. parameter_names: attribute -> parameter."""
    problems = (find_problem(field, name, getattr(settings, field)) for field, name in parameter_names.items())
    return [problem for problem in problems if problem is not None]
