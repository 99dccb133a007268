"""Checks of settings against the table of parameters, for everything in this folder that has settings."""

from __future__ import annotations

import reprlib
from typing import Any

from .. import parameters


def problem(field: str, name: str, value: Any) -> str | None:
    """What is wrong with the value of a field that follows the parameter ``name``; None when nothing is.

    Takes any object. The text states the field, the value and what is allowed.
    """
    parameter = parameters.get(name)
    shown = reprlib.repr(value)
    if parameter.choices:
        return None if value in parameter.choices else f"{field} is {shown}, known: {', '.join(parameter.choices)}"
    low, high = parameter.minimum, parameter.maximum
    assert low is not None and high is not None, f"parameter {name} has no range"
    whole = parameter.kind == "INT"
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return f"{field} is {shown}, a {'whole ' if whole else ''}number from {low:g} to {high:g} is needed"
    if not low <= value <= high:
        return f"{field} is {shown}, allowed {low:g} to {high:g}"
    if whole and value != int(value):
        return f"{field} is {shown}, it must be a whole number"
    return None
