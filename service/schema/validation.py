"""One value of a task against its entry in the table of parameters."""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Iterable
from typing import Any, NamedTuple

from ...parameters.api import ApiParameter

SHOWN = 60  # characters of a value in a message
LONGEST_GUESS = 40  # characters of a word for which a near one is looked for


class Fault(NamedTuple):
    """What is wrong with a value. words: to go on from the parameter's name. allowed: every value that would do."""

    code: str
    words: str
    allowed: tuple[Any, ...] | None = None


def check(parameter: ApiParameter, value: object) -> Fault | None:
    """What is wrong with a value that was given; None if nothing is. Takes any object."""
    code = f"invalid{capital(parameter.key)}"
    text = f"is {shown(value, parameter.secret)}; it must be {parameter.requirement}"
    if not _is_type(parameter, value):
        return Fault(code, text, parameter.choices or None)
    if isinstance(value, str) and not is_text(value):
        return Fault(code, "holds half of a surrogate pair, which is no text")
    if parameter.choices and value not in parameter.choices:
        return Fault(code, text + did_you_mean(value, parameter.choices), parameter.choices)
    if isinstance(value, (str, int, float)) and not _is_within(parameter, value):
        return Fault(OUT_OF_RANGE.get(parameter.name, code), text)
    if isinstance(value, str) and not _matches(parameter, value):
        if not parameter.form:
            return Fault(code, "holds the character U+0000; leave it out")
        return Fault(code, text)
    return None


def missing(parameter: ApiParameter) -> Fault:
    """What to say when a required value is absent."""
    code = f"missing{capital(parameter.key)}"
    return Fault(code, f"is missing; it must be {parameter.requirement}", parameter.choices or None)


def convert(parameter: ApiParameter, value: Any) -> Any:
    """A value without fault as the parameter's type: JSON does not tell 60 from 60.0."""
    if parameter.type == "integer":
        return int(value)
    return float(value) if parameter.type == "number" else value


def shown(value: object, secret: bool = False) -> str:
    """A value as JSON spells it, short, printable, and never a secret."""
    if secret and isinstance(value, str):
        return f"a string of {len(value)} characters"
    if isinstance(value, str):
        text = json.dumps(value[:SHOWN], ensure_ascii=False) + "…" * (len(value) > SHOWN)
        return text.encode("utf-8", "backslashreplace").decode("utf-8")
    if value is None or isinstance(value, bool):
        return json.dumps(value)
    if isinstance(value, int):
        return str(value) if abs(value) < 10**20 else "a number of more than 20 digits"
    if isinstance(value, float):
        return repr(value)
    return {list: "a list", dict: "an object"}.get(type(value), f"a {type(value).__name__}")


def did_you_mean(given: object, known: Iterable[Any]) -> str:
    """The known word closest to the one given, as the end of a sentence, or nothing."""
    words = {str(word).lower(): str(word) for word in known}
    if not isinstance(given, str) or not 0 < len(given) <= LONGEST_GUESS:
        return ""
    near = difflib.get_close_matches(given.lower(), words, n=1, cutoff=0.6)
    return f"; did you mean {words[near[0]]}?" if near else ""


def capital(word: str) -> str:
    """The word with a capital first letter: codes are written invalidBpm."""
    return word[:1].upper() + word[1:]


def is_text(value: str) -> bool:
    """Whether a string can be written as UTF-8; JSON escapes can spell strings that can't."""
    try:
        value.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def _is_type(parameter: ApiParameter, value: object) -> bool:
    if isinstance(value, bool) or parameter.type == "boolean":
        return parameter.type == "boolean" and isinstance(value, bool)
    if parameter.type == "integer":
        return isinstance(value, int) or (isinstance(value, float) and value.is_integer())
    if parameter.type == "number":
        return isinstance(value, (int, float))
    return isinstance(value, _PYTHON[parameter.type])


def _matches(parameter: ApiParameter, value: str) -> bool:
    # In JavaScript, and so in JSON Schema, $ is the end of the text and not also the place before a last line break.
    patterns = [pattern.replace("$", r"\Z") for pattern in parameter.patterns.values()]
    return not patterns or any(re.search(pattern, value) for pattern in patterns)


def _is_within(parameter: ApiParameter, value: str | int | float) -> bool:
    size = len(value) if isinstance(value, str) else value
    low, high = parameter.minimum, parameter.maximum
    return (low is None or size >= low) and (high is None or size <= high)


_PYTHON = {"string": str, "object": dict, "recipe": (dict, str)}
# The hosted service has a code of its own for these.
OUT_OF_RANGE = {"duration": "unsupportedDuration"}
