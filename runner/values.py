"""Turns a value from JSON or from a command line into what a node's input accepts."""

from __future__ import annotations

import difflib
import math
from typing import Any

from .node_table import InputSpec

LISTED = 20
WORDS = {"true": True, "yes": True, "on": True, "1": True, "false": False, "no": False, "off": False, "0": False}


def convert(spec: InputSpec, value: Any) -> Any:
    """The value as the input's type, converted where nothing is lost. Raises ValueError that says what is expected.

    Types other than ComfyUI's widget types take any constant, as ComfyUI does.
    """
    kind = spec.type
    if kind == "INT":
        return _integer(value)
    if kind == "FLOAT":
        return _real(value)
    if kind == "BOOLEAN":
        return _boolean(value)
    if kind == "STRING":
        if isinstance(value, (str, int, float)):
            return str(value)
        raise ValueError(f"{_show(value)} is not text")
    return value


def check_range(spec: InputSpec, value: Any) -> None:
    """Raises ValueError when a converted value lies outside what the input declares."""
    if spec.type == "COMBO":
        _check_choice(spec, value)
    if spec.type not in ("INT", "FLOAT"):
        return
    low, high = spec.options.get("min"), spec.options.get("max")
    if (low is not None and value < low) or (high is not None and value > high):
        bounds = [f"at least {low}" if low is not None else "", f"at most {high}" if high is not None else ""]
        raise ValueError(f"{value} is out of range; allowed: {' and '.join(bound for bound in bounds if bound)}")


def parse(spec: InputSpec, text: str) -> Any:
    """A command-line text as the input's value. Raises ValueError that says what is expected."""
    if spec.type == "COMBO":
        return next((choice for choice in spec.choices if str(choice) == text), text)
    return convert(spec, text)


def close_to(name: str, known: list[str]) -> str:
    """What a mistyped name may have meant, as the end of a sentence: the closest names, and all when they are few."""
    if not known:
        return "there are none"
    close = difflib.get_close_matches(name, known, n=3, cutoff=0.6)
    guess = f"did you mean {' or '.join(close)}? " if close else ""
    return guess + (f"known: {', '.join(known)}" if len(known) <= LISTED else f"{len(known)} are known")


def _integer(value: Any) -> int:
    try:
        if isinstance(value, str):
            return int(value)
        if not isinstance(value, bool) and isinstance(value, (int, float)) and value == int(value):
            return int(value)
    except (ValueError, OverflowError):
        pass
    raise ValueError(f"{_show(value)} is not a whole number")


def _real(value: Any) -> float:
    try:
        number = math.nan if isinstance(value, bool) else float(value)
    except (TypeError, ValueError, OverflowError):
        number = math.nan
    if math.isfinite(number):
        return number
    raise ValueError(f"{_show(value)} is not a number")


def _boolean(value: Any) -> bool:
    if isinstance(value, (bool, int)) and value in (0, 1):
        return bool(value)
    if isinstance(value, str) and value.lower() in WORDS:
        return WORDS[value.lower()]
    raise ValueError(f"{_show(value)} is not true or false")


def _check_choice(spec: InputSpec, value: Any) -> None:
    chosen = value if spec.options.get("multiselect") and isinstance(value, list) else [value]
    wrong = [item for item in chosen if item not in spec.choices]
    if not wrong:
        return
    shown = ", ".join(_show(item) for item in wrong)
    if not spec.choices:
        raise ValueError(f"{shown} is not available; there is nothing to choose from")
    allowed = ", ".join(str(choice) for choice in spec.choices[:LISTED])
    if len(spec.choices) > LISTED:
        close = difflib.get_close_matches(str(wrong[0]), [str(choice) for choice in spec.choices], n=3, cutoff=0.4)
        allowed += f" and {len(spec.choices) - LISTED} more" + (f"; closest: {', '.join(close)}" if close else "")
    raise ValueError(f"{shown} is not one of the choices: {allowed}")


def _show(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
