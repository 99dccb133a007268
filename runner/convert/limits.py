"""Whether a node of this pack takes the values of a node that it replaces."""

from __future__ import annotations

from typing import Any

from ... import parameters


def outside(value: Any, name: str, parameter: str) -> str:
    """Why a value is out of a parameter's range, or "". A link may be anything."""
    limits = parameters.get(parameter)
    if not isinstance(value, (int, float)) or limits.minimum is None or limits.maximum is None:
        return ""
    if limits.minimum <= value <= limits.maximum:
        return ""
    return f"its {name} is {value:g}, and a node of this pack takes {limits.minimum:g} to {limits.maximum:g}"
