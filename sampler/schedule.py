"""Schedules by name: the noise levels t of a run, from 1 (noise) down to 0 (clean)."""

from __future__ import annotations

import inspect
import math
import re
import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from .schedules import shifted
from .schedules.linear_quadratic import linear_quadratic
from .schedules.log_snr import log_snr_uniform
from .schedules.shifted import beta, sgm_uniform
from .schedules.variance_exploding import exponential, karras, kl_optimal
from .validation import find_problems

Formula = Callable[..., list[float]]

# Field of Options -> its parameter.
PARAMETER_NAMES = {
    "shift": "shift",
    "rho": "schedule_rho",
    "alpha": "schedule_alpha",
    "beta": "schedule_beta",
    "threshold": "schedule_threshold",
    "terminal": "schedule_terminal",
    "start": "schedule_start",
    "denoise": "schedule_denoise",
}
_EXAMPLE = "Write levels from 1 (noise) down to 0 (clean): 1, 0.75, 0.5, 0"


@dataclass(frozen=True)
class Options:
    """The options of a schedule. Ranges are those of ``parameters``; ValueError lists every value out of range.

    ``options_of`` says which of them a schedule reads. start: the first level. denoise: the fraction of a longer
    schedule to run, see ``truncate``; at most one of start and denoise may be below 1. sigmas: the levels of a custom
    schedule, empty for all others.
    """

    shift: float
    rho: float
    alpha: float
    beta: float
    threshold: float
    terminal: float
    start: float
    denoise: float
    sigmas: tuple[float, ...]

    def __post_init__(self) -> None:
        problems = find_problems(self, PARAMETER_NAMES)
        if problems:
            raise ValueError("schedule: " + "; ".join(problems))
        if self.start < 1 and self.denoise < 1:
            raise ValueError(
                f"schedule: start {self.start} and denoise {self.denoise} both shorten the run: leave one at 1"
            )


def build(name: str, steps: int, options: Options) -> list[float]:
    """The levels of the named schedule: ``steps + 1`` strictly decreasing floats from 1 or ``options.start`` to 0.

    A custom schedule returns its list, whatever the steps. Options that the schedule does not read are ignored, except
    those that would change its first level or replace its levels.

    Raises ValueError for an unknown name; for arguments that the formula refuses; for sigmas with a schedule other than
    custom; for custom with start or denoise below 1; and for levels that are equal in float32, the dtype of SIGMAS.
    """
    formula, names = get_schedule(name), options_of(name)
    is_custom = "sigmas" in names
    problems = []
    if options.sigmas and not is_custom:
        problems.append(f"a list of levels is given and the schedule is {name}: choose custom or clear the list")
    if is_custom and (options.start < 1 or options.denoise < 1):
        problems.append("custom levels begin where their list begins: leave start and denoise at 1")
    if problems:
        raise ValueError("schedule: " + "; ".join(problems))
    arguments: dict[str, Any] = {option: getattr(options, option) for option in names if option != "denoise"}
    if is_custom:
        sigmas = formula(**arguments)
    else:
        sigmas = truncate(lambda total: formula(total, **arguments), steps, denoise=options.denoise)
    _require_distinct_float32(name, sigmas)
    return sigmas


def options_of(name: str) -> tuple[str, ...]:
    """The fields of ``Options`` that the named schedule reads."""
    names = tuple(option for option in inspect.signature(get_schedule(name)).parameters if option != "steps")
    return names if "sigmas" in names else (*names, "denoise")


def truncate(make: Callable[[int], list[float]], steps: int, *, denoise: float) -> list[float]:
    """The last ``steps`` steps of ``make(int(steps / denoise))``.

    denoise as in ComfyUI's schedulers: the number of steps stays the same, the schedule is finer and its noisy part is
    dropped. (ComfyUI's SplitSigmasDenoise node instead shortens a finished schedule to ``steps * denoise`` steps.) The
    first level depends on the schedule; for evenly spaced levels it is denoise itself. With few steps and denoise close
    to 1 the longer schedule has no extra step, so the run still begins at 1.

    Raises ValueError unless denoise is above 0 and at most 1.
    """
    if not 0 < denoise <= 1:
        raise ValueError(f"schedule: denoise is {denoise}, it must be above 0 and at most 1 (the full schedule)")
    return make(int(steps / denoise))[-(steps + 1) :]


def linear(steps: int, shift: float) -> list[float]:
    """The schedule of the official inference from pure noise, see ``schedules.shifted.linear``."""
    return shifted.linear(steps, shift=shift, start=1.0)


def custom(*, sigmas: Sequence[float]) -> list[float]:
    """The levels given. Raises ValueError with every problem unless they fall strictly within 0 .. 1 and end at 0."""
    return _validated(list(sigmas), [repr(t) for t in sigmas])


def parse_sigmas(text: str) -> list[float]:
    """Parse levels typed by a user, separated by commas or white space.

    They must decrease strictly and end at 0. A first level below 1 starts from a noised source, see ``denoise.start``.
    Raises ValueError with every problem and its position, counted from 1.
    """
    words = [word for word in re.split(r"[,\s]+", text) if word]
    return _validated([_parse_float(word) for word in words], words)


def choose(name: str, text: str) -> tuple[str, tuple[float, ...]]:
    """The schedule and its list for a name and a text field, which may be blank.

    A list replaces linear, the default that nobody chose. Any other schedule is returned with the list, which ``build``
    refuses. Raises ValueError as ``parse_sigmas``.
    """
    sigmas = tuple(parse_sigmas(text)) if text.strip() else ()
    return "custom" if sigmas and name == "linear" else name, sigmas


def check(sigmas: Sequence[float]) -> None:
    """Raise ValueError with every problem unless there are at least two levels in 0 .. 1 that decrease strictly."""
    problems = _level_problems(sigmas, [repr(t) for t in sigmas])
    if problems:
        raise ValueError("schedule: " + "; ".join(problems))


def _validated(values: list[float], texts: Sequence[str]) -> list[float]:
    """The values of a custom schedule. texts: how messages quote them."""
    problems = _level_problems(values, texts)
    if values and not math.isnan(values[-1]) and values[-1] != 0:
        problems.append(f"position {len(values)} ({texts[-1]}): the last level must be 0, or noise remains")
    if problems:
        raise ValueError(f"custom sigmas: {'; '.join(problems)}. {_EXAMPLE}")
    return values


def _parse_float(word: str) -> float:
    try:
        return float(word)
    except ValueError:
        return math.nan


def _level_problems(values: Sequence[float], texts: Sequence[str]) -> list[str]:
    problems = []
    for i, t in enumerate(values):
        where = f"position {i + 1} ({texts[i]})"
        if math.isnan(t):
            problems.append(f"{where}: not a number")
        elif not 0 <= t <= 1:
            problems.append(f"{where}: outside 0 to 1")
        if i > 0 and t >= values[i - 1]:
            problems.append(f"{where}: not below the level before it ({texts[i - 1]})")
    if len(values) < 2:
        problems.append(f"{len(values)} given, at least 2 are needed (one step)")
    return problems


def _require_distinct_float32(name: str, sigmas: Sequence[float]) -> None:
    rounded = struct.unpack(f"{len(sigmas)}f", struct.pack(f"{len(sigmas)}f", *sigmas))
    position = next((i for i, (a, b) in enumerate(pairwise(rounded), start=2) if b >= a), None)
    if position is not None:
        raise ValueError(
            f"schedule: {name} has levels closer together than float32 can represent, first at position {position} "
            f"({sigmas[position - 1]!r} after {sigmas[position - 2]!r}): use fewer steps or less extreme options"
        )


SCHEDULES: dict[str, Formula] = {
    "linear": shifted.linear,
    "sgm_uniform": sgm_uniform,
    "karras": karras,
    "exponential": exponential,
    "beta": beta,
    "linear_quadratic": linear_quadratic,
    "kl_optimal": kl_optimal,
    "log_snr_uniform": log_snr_uniform,
    "custom": custom,
}


def get_schedule(name: str) -> Formula:
    """A schedule's formula by name: ``(steps, *, options) -> levels``; custom takes no steps."""
    if name not in SCHEDULES:
        raise ValueError(f"unknown schedule {name!r}; known: {', '.join(SCHEDULES)}")
    return SCHEDULES[name]
