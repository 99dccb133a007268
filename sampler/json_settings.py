"""Reads objects, as JSON gives them, by tables of settings, and collects what is wrong with them.

A part is an object whose selector, ``type``, names one of several things, each with settings of its own.
"""

from __future__ import annotations

import reprlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from .. import parameters
from . import schedule
from .limits import problem

MOST_LEVELS = int(parameters.get("steps").maximum or 0) + 1


@dataclass(frozen=True)
class Setting:
    """A key of the object. parameter: its range and default. own: when absent, the value is the run's own, of the
    request or the nodes. required: it has to be given."""

    parameter: str
    own: bool = False
    required: bool = False


@dataclass(frozen=True)
class Part:
    """An object whose key ``selector`` names one of ``variants``, each with settings of its own. parameter: the
    selector's choices and default; None, the selector has to be given."""

    selector: str
    parameter: str | None
    variants: Mapping[str, Mapping[str, Setting]]


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong. path: dotted, such as ``modularScheduler.solver.eta``. message: value, what is allowed
    and the remedy; it begins with the path."""

    path: str
    message: str


@dataclass(frozen=True)
class Choice:
    """A schedule or solver by name, with its settings. steps, shift: absent where the run's own are meant."""

    type: str
    settings: Mapping[str, Any]


class Reader:
    """Reads one object. A method that cannot read its value adds to ``problems`` and returns nothing usable."""

    def __init__(self) -> None:
        self.problems: list[Problem] = []

    def add(self, path: str, words: str) -> None:
        """Note a problem; words go on from the path."""
        self.problems.append(Problem(path, f"{path} {words}"))

    def mapping(self, path: str, value: object, wanted: str) -> dict[Any, Any] | None:
        """The value if it is an object."""
        if isinstance(value, dict):
            return value
        self.add(path, f"is {reprlib.repr(value)}, it must be {wanted}")
        return None

    def known(self, path: str, given: dict[Any, Any], keys: Sequence[str], of: str, part: Part | None = None) -> None:
        """Note every key that is not among the keys of an object called ``of``. part: whose other variants a key may
        belong to."""
        for key in given:
            if key not in keys:
                name = key if isinstance(key, str) and len(key) <= 40 else reprlib.repr(key)
                users = [] if part is None else [who for who, settings in part.variants.items() if key in settings]
                hint = f", but of {', '.join(users)}" if 0 < len(users) <= 4 else ""
                self.add(f"{path}.{name}", f"is not a setting of {of}{hint}; allowed: {', '.join(keys)}")

    def part(self, path: str, value: object, part: Part) -> Choice | None:
        """What a part selects and all its settings."""
        names = ", ".join(part.variants)
        given = self.mapping(path, value, f"an object with the key {part.selector}, one of {names}")
        if given is None:
            return None
        default = None if part.parameter is None else parameters.get(part.parameter).default
        selected = given.get(part.selector, default)
        if not isinstance(selected, str) or selected not in part.variants:
            shown = reprlib.repr(selected) if part.selector in given else "missing"
            self.add(f"{path}.{part.selector}", f"is {shown}, known: {names}")
            return None
        settings = part.variants[selected]
        self.known(path, given, (part.selector, *settings), selected, part)
        return Choice(selected, self.settings(path, given, settings))

    def settings(self, path: str, given: dict[Any, Any], settings: Mapping[str, Setting]) -> dict[str, Any]:
        """The settings given, and the defaults of the others but for those that are the run's own."""
        found: dict[str, Any] = {}
        for key, setting in settings.items():
            where = f"{path}.{key}"
            if key not in given:
                if setting.required:
                    self.add(where, "is missing")
                elif not setting.own:
                    found[key] = parameters.get(setting.parameter).default
            elif setting.parameter == "custom_sigmas":
                found[key] = self._levels(where, given[key])
            elif (wrong := problem(where, setting.parameter, given[key])) is not None:
                self.problems.append(Problem(where, wrong))
            else:
                found[key] = _as_kind(given[key], parameters.get(setting.parameter).kind)
        return found

    def _levels(self, path: str, value: object) -> tuple[float, ...]:
        if not isinstance(value, list) or not all(_is_number(level) for level in value):
            self.add(path, f"is {reprlib.repr(value)}, it must be a list of levels from 1 (noise) down to 0 (clean)")
            return ()
        if len(value) > MOST_LEVELS:
            self.add(path, f"has {len(value)} levels, allowed are {MOST_LEVELS} for {MOST_LEVELS - 1} steps")
            return ()
        try:
            return tuple(schedule.custom(sigmas=[float(level) for level in value]))
        except (ValueError, OverflowError) as error:  # Python's whole numbers may be too large for a float
            self.add(path, f"cannot be used: {error}")
            return ()


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _as_kind(value: Any, kind: str) -> Any:
    """JSON does not tell 7 from 7.0."""
    return int(value) if kind == "INT" else float(value) if kind == "FLOAT" else value
