"""Converts values from JSON or the command line to the type of a node's input."""

from __future__ import annotations

import difflib
import math
from typing import Any

from ..parameters.choices import spell
from .node_table import InputSpec

MAX_LISTED = 20  # names or choices spelt out in a message
BOOLEANS = {"true": True, "yes": True, "on": True, "1": True, "false": False, "no": False, "off": False, "0": False}


def convert(spec: InputSpec, value: Any) -> Any:
    """The value as the input's type, if the conversion is lossless. Raises ValueError naming the value and the type.

    Types other than ComfyUI's widget types take any literal, as in ComfyUI.
    """
    kind = spec.type
    if kind == "INT":
        return _to_int(value)
    if kind == "FLOAT":
        return _to_float(value)
    if kind == "BOOLEAN":
        return _to_bool(value)
    if kind == "STRING":
        return _to_text(value)
    if kind == "COMBO" and value not in spec.choices and spell(value) in spec.choices:
        return spell(value)  # 4 for "4": JSON clients send choices that look like numbers as numbers
    return value


def check_range(spec: InputSpec, value: Any) -> None:
    """Raise ValueError if a converted value is outside the input's declared range or choices."""
    if spec.type == "COMBO":
        _check_choice(spec, value)
    if spec.type not in ("INT", "FLOAT"):
        return
    low, high = spec.options.get("min"), spec.options.get("max")
    if (low is not None and value < low) or (high is not None and value > high):
        bounds = [f"at least {low}" if low is not None else "", f"at most {high}" if high is not None else ""]
        raise ValueError(f"{value} is out of range; allowed: {' and '.join(bound for bound in bounds if bound)}")


def parse_text(spec: InputSpec, text: str) -> Any:
    """The input's value from command-line text. Raises ValueError naming the text and the type."""
    if spec.type == "COMBO":
        return next((choice for choice in spec.choices if str(choice) == text), text)
    return convert(spec, text)


def suggest(name: str, known: list[str]) -> str:
    """A hint for an unknown name: the closest known names, and all of them when they are few."""
    if not known:
        return "there are none"
    matches = difflib.get_close_matches(name, known, n=3, cutoff=0.6)
    hint = f"did you mean {' or '.join(matches)}? " if matches else ""
    return hint + (f"known: {', '.join(known)}" if len(known) <= MAX_LISTED else f"{len(known)} are known")


def _to_int(value: Any) -> int:
    try:
        if isinstance(value, str):
            return int(value)
        if not isinstance(value, bool) and isinstance(value, (int, float)) and value == int(value):
            return int(value)
    except (ValueError, OverflowError):
        pass
    raise ValueError(f"{_show(value)} is not a whole number")


def _to_float(value: Any) -> float:
    try:
        number = math.nan if isinstance(value, bool) else float(value)
    except (TypeError, ValueError, OverflowError):
        number = math.nan
    if math.isfinite(number):
        return number
    raise ValueError(f"{_show(value)} is not a number")


def _to_bool(value: Any) -> bool:
    if isinstance(value, (bool, int)) and value in (0, 1):
        return bool(value)
    if isinstance(value, str) and value.lower() in BOOLEANS:
        return BOOLEANS[value.lower()]
    raise ValueError(f"{_show(value)} is not true or false")


def _to_text(value: Any) -> str:
    if not isinstance(value, (str, int, float)):
        raise ValueError(f"{_show(value)} is not text")
    half = next((i for i, character in enumerate(str(value)) if "\ud800" <= character <= "\udfff"), None)
    if half is not None:
        # Cut inside an emoji, or a byte of the command line that is not UTF-8.
        raise ValueError(f"character {half} is half a surrogate pair ({str(value)[half]!r}): enter the text again")
    return str(value)


def _check_choice(spec: InputSpec, value: Any) -> None:
    values = value if spec.options.get("multiselect") and isinstance(value, list) else [value]
    invalid = [item for item in values if item not in spec.choices]
    if not invalid:
        return
    shown = ", ".join(_show(item) for item in invalid)
    if not spec.choices:
        raise ValueError(f"{shown} is not available; there is nothing to choose from")
    choices = [str(choice) for choice in spec.choices]
    allowed = ", ".join(choices[:MAX_LISTED])
    if len(choices) > MAX_LISTED:
        closest = difflib.get_close_matches(str(invalid[0]), choices, n=3, cutoff=0.4)
        allowed += f" and {len(choices) - MAX_LISTED} more" + (f"; closest: {', '.join(closest)}" if closest else "")
    raise ValueError(f"{shown} is not one of the choices: {allowed}")


def _show(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
