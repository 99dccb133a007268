"""Schedules: the noise levels t that a run steps through, from 1 (noise) down to 0 (clean)."""

from __future__ import annotations

import inspect
import math
import re
import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from .limits import problem
from .schedules import shifted
from .schedules.linear_quadratic import linear_quadratic
from .schedules.log_snr import log_snr_uniform
from .schedules.shifted import beta, sgm_uniform
from .schedules.variance_exploding import exponential, karras, kl_optimal

Formula = Callable[..., list[float]]

_PARAMETERS = {
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
    """What shapes a schedule. Ranges are those of ``parameters``; values outside raise ValueError, all at once.

    Which of them a schedule reads: ``options_of``. start: the first level, for which the levels are made. denoise: the
    share of a longer schedule that is run, see ``truncate``; only one of the two may lie below 1. sigmas: the levels
    of a custom schedule, empty for every other.
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
        problems = [p for field, name in _PARAMETERS.items() if (p := problem(field, name, getattr(self, field)))]
        if problems:
            raise ValueError("schedule: " + "; ".join(problems))
        if self.start < 1 and self.denoise < 1:
            raise ValueError(
                f"schedule: start {self.start} and denoise {self.denoise} both shorten the run: leave one at 1"
            )


def build(name: str, steps: int, options: Options) -> list[float]:
    """The levels of the named schedule: ``steps + 1`` floats that fall strictly, from 1 or ``options.start`` to 0.

    A custom schedule is its list, whatever the steps. Options that the schedule does not read are ignored, except
    those that would change where the run begins or which levels it has.

    Raises ValueError for an unknown name, for what the formula refuses, for a list with another schedule than custom
    and for start or denoise below 1 with a list, and for levels that float32, the format of SIGMAS, cannot tell apart.
    """
    formula, read = schedule(name), options_of(name)
    is_list = "sigmas" in read
    problems = []
    if options.sigmas and not is_list:
        problems.append(f"a list of levels is given and the schedule is {name}: choose custom or clear the list")
    if is_list and (options.start < 1 or options.denoise < 1):
        problems.append("custom levels begin where their list begins: leave start and denoise at 1")
    if problems:
        raise ValueError("schedule: " + "; ".join(problems))
    chosen: dict[str, Any] = {option: getattr(options, option) for option in read if option != "denoise"}
    if is_list:
        sigmas = formula(**chosen)
    else:
        sigmas = truncate(lambda total: formula(total, **chosen), steps, denoise=options.denoise)
    _refuse_merged(name, sigmas)
    return sigmas


def options_of(name: str) -> tuple[str, ...]:
    """The fields of ``Options`` that the named schedule reads."""
    read = tuple(word for word in inspect.signature(schedule(name)).parameters if word != "steps")
    return read if "sigmas" in read else (*read, "denoise")


def truncate(make: Callable[[int], list[float]], steps: int, *, denoise: float) -> list[float]:
    """The last ``steps`` steps of the schedule that ``make`` makes for ``int(steps / denoise)`` steps.

    ComfyUI's meaning of denoise: the number of steps stays, the schedule is finer and its noisy part is left out. (The
    other meaning, which shortens a finished schedule to ``steps * denoise`` steps, is that of its SplitSigmasDenoise
    node.) The level it begins at depends on the schedule; it is denoise itself for evenly spaced levels. With few steps
    and a denoise close to 1 the longer schedule has no step more, and the run begins at 1 after all.

    Raises ValueError for denoise outside 0 .. 1, 0 excluded.
    """
    if not 0 < denoise <= 1:
        raise ValueError(f"schedule: denoise is {denoise}, it must lie above 0 and at most at 1 (the whole schedule)")
    return make(int(steps / denoise))[-(steps + 1) :]


def linear(steps: int, shift: float) -> list[float]:
    """The schedule of the official inference, from pure noise: ``schedules.shifted.linear``."""
    return shifted.linear(steps, shift=shift, start=1.0)


def custom(*, sigmas: Sequence[float]) -> list[float]:
    """Levels as given. Raises ValueError, with every problem, unless they fall strictly inside 0 .. 1 and end at 0."""
    return _custom(list(sigmas), [repr(t) for t in sigmas])


def parse_sigmas(text: str) -> list[float]:
    """Read levels that a user typed, separated by commas or white space.

    They fall strictly and end at 0. A first level below 1 is a start from a noised source, see ``denoise.start``.
    Raises ValueError with every problem and its position, counted from 1.
    """
    words = [word for word in re.split(r"[,\s]+", text) if word]
    return _custom([_number(word) for word in words], words)


def check(sigmas: Sequence[float]) -> None:
    """Raise ValueError, with every problem, unless there are two or more levels in 0 .. 1 that fall strictly."""
    problems = _problems(sigmas, [repr(t) for t in sigmas])
    if problems:
        raise ValueError("schedule: " + "; ".join(problems))


def _custom(values: list[float], shown: Sequence[str]) -> list[float]:
    problems = _problems(values, shown)
    if values and not math.isnan(values[-1]) and values[-1] != 0:
        problems.append(f"position {len(values)} ({shown[-1]}): the last level must be 0, or noise is left over")
    if problems:
        raise ValueError(f"custom sigmas: {'; '.join(problems)}. {_EXAMPLE}")
    return values


def _number(word: str) -> float:
    try:
        return float(word)
    except ValueError:
        return math.nan


def _problems(values: Sequence[float], shown: Sequence[str]) -> list[str]:
    problems = []
    for i, t in enumerate(values):
        where = f"position {i + 1} ({shown[i]})"
        if math.isnan(t):
            problems.append(f"{where}: not a number")
        elif not 0 <= t <= 1:
            problems.append(f"{where}: outside 0 to 1")
        if i > 0 and t >= values[i - 1]:
            problems.append(f"{where}: not below the level before it ({shown[i - 1]})")
    if len(values) < 2:
        problems.append(f"{len(values)} given, at least 2 are needed (one step)")
    return problems


def _refuse_merged(name: str, sigmas: Sequence[float]) -> None:
    narrow = struct.unpack(f"{len(sigmas)}f", struct.pack(f"{len(sigmas)}f", *sigmas))
    merged = next((i for i, (a, b) in enumerate(pairwise(narrow), start=2) if b >= a), None)
    if merged is not None:
        raise ValueError(
            f"schedule: {name} has levels closer together than float32 can tell, first at position {merged} "
            f"({sigmas[merged - 1]!r} after {sigmas[merged - 2]!r}): take fewer steps or less extreme options"
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


def schedule(name: str) -> Formula:
    """A schedule's formula by name: ``(steps, *, options) -> levels``, custom alone without steps."""
    if name not in SCHEDULES:
        raise ValueError(f"unknown schedule {name!r}; known: {', '.join(SCHEDULES)}")
    return SCHEDULES[name]
