"""What a parameter of the task API accepts and refuses."""

from __future__ import annotations

import math
from typing import Any

from task_requests import accepted, the_error

from acestep_xl.service.schema.errors import ApiError

NOT_NUMBERS = ["5", "", True, False, None, [60], {}, {"value": 60}, math.nan, math.inf, -math.inf]
NOT_INTEGERS = [*NOT_NUMBERS, 60.5, 1e-9]
NOT_STRINGS = [5, 60.0, True, None, ["text"], {"text": "text"}]
NOT_OBJECTS = ["text", "{}", 5, True, None, [], [{}]]


def rejection(name: str, value: Any, context: dict[str, Any] | None = None) -> ApiError:
    """The only error of a task with this value; it names the parameter."""
    error = the_error({**(context or {}), name: value})
    assert error.parameter == name
    assert error.message.startswith(f"{name} ")
    return error


def check_numbers(name: str, low: float, high: float, beyond: float, context: dict[str, Any] | None = None) -> None:
    """A parameter accepts numbers from low to high, and refuses those `beyond` the limits and every other type."""
    context = context or {}
    for value in (low, high, (low + high) / 2 if beyond < 1 else (int(low) + int(high)) // 2):
        assert accepted({**context, name: value}).value(name) == value
    for value in (low - beyond, high + beyond, -(10**30), 10**30, 1e300, -1e300):
        error = rejection(name, value, context)
        assert f"{low:.12g}" in error.message and f"{high:.12g}" in error.message
    integer = beyond == 1
    for value in NOT_INTEGERS if integer else NOT_NUMBERS:
        rejection(name, value, context)
    # In JSON Schema, and so in this API, 60.0 is an integer.
    assert type(accepted({**context, name: float(high)}).value(name)) is (int if integer else float)


def check_text(name: str, low: int, high: int) -> None:
    """A parameter accepts texts of low to high characters, and refuses other lengths and every other type."""
    for length in (low, high):
        assert accepted({name: "x" * length}).value(name) == "x" * length
        assert accepted({name: "😀" * length}).value(name) == "😀" * length  # characters, not bytes or UTF-16
    for length in (0, low - 1, high + 1, 1_000_000):
        assert f"{low} to {high} characters" in rejection(name, "x" * length).message
    for value in NOT_STRINGS:
        rejection(name, value)
    assert "U+0000" in rejection(name, "x" * low + "\0").message
    assert "surrogate" in rejection(name, "x" * low + "\ud800").message
    assert accepted({name: " \n\t" * low}).value(name) == " \n\t" * low


def check_choices(name: str, choices: list[Any], context: dict[str, Any] | None = None) -> None:
    """A parameter accepts exactly these values."""
    context = context or {}
    for value in choices:
        assert accepted({**context, name: value}).value(name) == value
    others = ["", "other", None, True, [], {}, [choices[0]], 1e30, math.nan]
    for value in others + [value.swapcase() for value in choices if isinstance(value, str) and value != "de"]:
        error = rejection(name, value, context)
        assert error.allowed_values == tuple(choices)
        assert error.code.startswith("invalid")
