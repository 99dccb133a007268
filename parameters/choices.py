"""Choices that people spell in several ways: which spellings are accepted, and what the others probably mean."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Iterable, Sequence

from .kind import AUTO
from .languages import LANGUAGES, NAMES

TIME_SIGNATURES = {"2": "2/4", "3": "3/4", "4": "4/4", "6": "6/8"}
_ACCIDENTALS = str.maketrans("♯♭", "#b")
_KEY = re.compile(r"(?i:([a-g])[ -]?(#|♯|b|♭|sharp|flat)?[ _-]*)(M|(?i:major|maj|dur|minor|min|moll|m))?")
_LANGUAGE_NAMES = {name.lower(): code for code, names in NAMES.items() for name in (code, *names)}


def read_choice(name: str, choices: Sequence[str], value: object) -> str:
    """The choice that a value states: a number states its digits, and in a key ♯ is # and ♭ is b.

    name: of the parameter, see HINTS. Raises ValueError naming the value, what is allowed and what is probably meant.
    """
    if message := problem(name, choices, value):
        raise ValueError(message)
    return _canonical(name, value)


def problem(name: str, choices: Sequence[str], value: object) -> str:
    """What is wrong with a value; "" if read_choice() accepts it."""
    if _canonical(name, value) in choices:
        return ""
    allowed = REQUIREMENTS.get(name, f"one of {', '.join(choices)}")
    return f"{name} {_show(value)} must be {allowed}{hint(name, choices, value)}"


def hint(name: str, choices: Iterable[object], value: object) -> str:
    """What a refused value probably means, as the end of a sentence: "; did you mean ja (Japanese)?", or ""."""
    text = spell(value).strip()
    if len(text) > LONGEST:
        return ""
    meant = HINTS[name](text) if name in HINTS else _closest(text, [str(choice) for choice in choices])
    return f"; did you mean {' or '.join(meant)}?" if meant else ""


def spell(value: object) -> str:
    """A value from JSON as text: 4 and 4.0 are "4"."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return str(value)


def ascii_key(key: str) -> str:
    """A key with # and b in place of ♯ and ♭."""
    return key.translate(_ACCIDENTALS)


def _canonical(name: str, value: object) -> str:
    return ascii_key(spell(value)) if name == "key_scale" else spell(value)


def _key_hint(text: str) -> list[str]:
    match = _KEY.fullmatch(text)
    if match is None:
        return []
    note, accidental, mode = match[1].upper(), (match[2] or "").lower(), match[3]
    sign = {"sharp": "#", "flat": "b"}.get(accidental, ascii_key(accidental))
    if mode is None:
        return [f"{note}{sign} major", f"{note}{sign} minor"]
    is_minor = mode == "m" or mode.lower().startswith(("mi", "mo"))
    return [f"{note}{sign} {'minor' if is_minor else 'major'}"]


def _time_signature_hint(text: str) -> list[str]:
    meant = text.replace(" ", "")
    return [f"{beats} ({metre})" for beats, metre in TIME_SIGNATURES.items() if meant in (beats, metre)]


def _language_hint(text: str) -> list[str]:
    text = text.lower().replace("_", "-")
    code = _LANGUAGE_NAMES.get(text) or _LANGUAGE_NAMES.get(text.partition("-")[0])
    if code is None and len(text) > 3:
        code = next((_LANGUAGE_NAMES[name] for name in _closest(text, _LANGUAGE_NAMES)), None)
    if code is None:
        return []
    return [code if code == NAMES[code][0] else f"{code} ({NAMES[code][0]})"]


def _closest(text: str, known: Iterable[str]) -> list[str]:
    spellings = {name.lower(): name for name in known}
    return [spellings[name] for name in difflib.get_close_matches(text.lower(), spellings, n=1, cutoff=0.7)]


def _show(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:59]}…"


LONGEST = 40  # characters of a value that a suggestion is looked up for
HINTS: dict[str, Callable[[str], list[str]]] = {
    "key_scale": _key_hint,
    "time_signature": _time_signature_hint,
    "language": _language_hint,
}
# What is allowed, where the list of choices says less than a sentence.
REQUIREMENTS = {
    "key_scale": (
        f"{AUTO}, or a note from A to G, optionally # or b (♯ or ♭), then a space and major or minor, such as F# minor"
    ),
    "time_signature": (
        f"{AUTO} or the beats per measure, one of {', '.join(TIME_SIGNATURES)} "
        f"({', '.join(f'{beats} means {metre}' for beats, metre in TIME_SIGNATURES.items())})"
    ),
    "language": f"one of the language codes {', '.join(LANGUAGES)}",
}
