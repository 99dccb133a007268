"""Checks one value of a task against its entry in the table of parameters."""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from ...parameters import choices as spellings
from ...parameters.api import ApiParameter
from .errors import ApiError

MAX_SHOWN = 60  # characters of a value in a message
MAX_MISSPELT = 40  # characters of a word for which a suggestion is looked up


def check(parameter: ApiParameter, value: object) -> ApiError | None:
    """What is wrong with a value, which may be any object; None if it is valid."""
    name, choices = parameter.name, parameter.choices
    if not _has_type(parameter, value):
        return _invalid(parameter, value)
    if isinstance(value, str) and not is_encodable(value):
        message = f"{name} holds an unpaired surrogate, which is not valid text"
        return ApiError(error_code("invalid", name), message, name)
    if choices and value not in choices:
        return _invalid(parameter, value)
    if isinstance(value, (str, int, float)) and not _in_range(parameter, value):
        return replace(_invalid(parameter, value), code=OUT_OF_RANGE.get(name, error_code("invalid", name)))
    if isinstance(value, str) and not _matches(parameter, value):
        message = f"{name} holds the character U+0000; leave it out"
        return _invalid(parameter, value) if parameter.form else ApiError(error_code("invalid", name), message, name)
    return None


def missing(parameter: ApiParameter) -> ApiError:
    """The error for a required value that is absent."""
    message = f"{parameter.name} is missing; it must be {parameter.requirement}"
    code = error_code("missing", parameter.name)
    return ApiError(code, message, parameter.name, allowed_values=parameter.choices or None)


def convert(parameter: ApiParameter, value: Any) -> Any:
    """A valid value as the parameter's type: JSON does not distinguish 60 from 60.0."""
    if parameter.type == "integer":
        return int(value)
    return float(value) if parameter.type == "number" else value


def error_code(kind: str, name: str) -> str:
    """The code of an error with a parameter: "invalid" and "settings.bpm" give "invalidBpm"."""
    return kind + capitalise(name.rpartition(".")[2])


def format_value(value: object, secret: bool = False) -> str:
    """A value as JSON spells it: short, printable, and never a secret."""
    if secret and isinstance(value, str):
        return f"a string of {len(value)} characters"
    if isinstance(value, str):
        text = json.dumps(value[:MAX_SHOWN], ensure_ascii=False) + "…" * (len(value) > MAX_SHOWN)
        return printable(text)
    if value is None or isinstance(value, bool):
        return json.dumps(value)
    if isinstance(value, int):
        return str(value) if abs(value) < 10**20 else "a number of more than 20 digits"
    if isinstance(value, float):
        return repr(value)
    return {list: "a list", dict: "an object"}.get(type(value), f"a {type(value).__name__}")


def did_you_mean(value: object, allowed: Iterable[Any]) -> str:
    """The allowed word closest to a value, as the end of a sentence; empty if none is close."""
    words = {str(word).lower(): str(word) for word in allowed}
    if not isinstance(value, str) or not 0 < len(value) <= MAX_MISSPELT:
        return ""
    matches = difflib.get_close_matches(value.lower(), words, n=1, cutoff=0.6)
    return f"; did you mean {words[matches[0]]}?" if matches else ""


def capitalise(word: str) -> str:
    """The word with its first letter in upper case and the others as they are."""
    return word[:1].upper() + word[1:]


def is_encodable(value: str) -> bool:
    """Whether a string can be encoded as UTF-8; JSON escapes can spell strings that cannot."""
    try:
        value.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def printable(value: object) -> str:
    """A value as text that can be encoded as UTF-8."""
    return str(value).encode("utf-8", "backslashreplace").decode("utf-8")


def shorten(text: str, length: int) -> str:
    """The text, cut to a number of characters."""
    return text if len(text) <= length else f"{text[: length - 1]}…"


def _invalid(parameter: ApiParameter, value: object) -> ApiError:
    """The error for a value that is not what the parameter requires."""
    name = parameter.name
    message = f"{name} is {format_value(value, parameter.secret)}; it must be {parameter.requirement}"
    message += _hint(parameter, value)
    return ApiError(error_code("invalid", name), message, name, allowed_values=parameter.choices or None)


def _hint(parameter: ApiParameter, value: object) -> str:
    if parameter.node in spellings.HINTS and isinstance(value, (str, int, float)):
        return spellings.hint(parameter.node, parameter.choices, value)
    return did_you_mean(value, parameter.choices)


def _has_type(parameter: ApiParameter, value: object) -> bool:
    if isinstance(value, bool) or parameter.type == "boolean":
        return parameter.type == "boolean" and isinstance(value, bool)
    if parameter.type == "integer":
        return isinstance(value, int) or (isinstance(value, float) and value.is_integer())
    if parameter.type == "number":
        return isinstance(value, (int, float))
    return isinstance(value, _PYTHON_TYPES[parameter.type])


def _matches(parameter: ApiParameter, value: str) -> bool:
    # $ matches only at the end of the text in JavaScript, and so in JSON Schema; in Python also before a last newline.
    patterns = [pattern.replace("$", r"\Z") for pattern in parameter.patterns.values()]
    return not patterns or any(re.search(pattern, value) for pattern in patterns)


def _in_range(parameter: ApiParameter, value: str | int | float) -> bool:
    size = len(value) if isinstance(value, str) else value
    low, high = parameter.minimum, parameter.maximum
    return (low is None or size >= low) and (high is None or size <= high)


_PYTHON_TYPES = {"string": str, "object": dict, "recipe": (dict, str)}
# The hosted service has its own code for these.
OUT_OF_RANGE = {"duration": "unsupportedDuration"}
