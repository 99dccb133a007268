"""Every user-facing value of the pack: name, kind, range, default and help text, in one place.

Nodes, the command line, the service and the docs read this table; nothing else states a range. Names and ranges
follow the hosted model's API page where it has the parameter, and the official inference code where that is wider.
Any folder may import this one; it imports only the standard library.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from . import api, choices
from .adapters import ADAPTERS
from .editing import EDITING
from .kind import (
    AUTO,
    FRAME_RATE,
    FRAME_SAMPLES,
    KEY_SCALES,
    LATENT_CHANNELS,
    MINIMUM_FRAMES,
    SAMPLE_RATE,
    Parameter,
)
from .languages import LANGUAGES
from .output import OUTPUT
from .prompt import PROMPT
from .sampling import SAMPLING
from .scheduler import SCHEDULER
from .schedules import SCHEDULES
from .service import SERVICE
from .speed import SPEED

__all__ = [
    "AUTO",
    "FRAME_RATE",
    "FRAME_SAMPLES",
    "KEY_SCALES",
    "LANGUAGES",
    "LATENT_CHANNELS",
    "MINIMUM_FRAMES",
    "PARAMETERS",
    "SAMPLE_RATE",
    "Parameter",
    "api",
    "choice_problems",
    "choices",
    "get",
    "read_choice",
    "widget",
]

PARAMETERS: dict[str, Parameter] = {
    p.name: p for p in (*PROMPT, *SAMPLING, *SCHEDULER, *SCHEDULES, *EDITING, *OUTPUT, *SERVICE, *SPEED, *ADAPTERS)
}


def widget(name: str) -> tuple[Any, dict[str, Any]]:
    """ComfyUI's INPUT_TYPES entry for the named parameter."""
    return get(name).widget()


def get(name: str) -> Parameter:
    """Look up a parameter by name. Raises KeyError, listing the known names."""
    if name not in PARAMETERS:
        raise KeyError(f"unknown parameter {name!r}; known: {', '.join(PARAMETERS)}")
    return PARAMETERS[name]


def read_choice(name: str, value: object) -> str:
    """The choice of the named parameter that a value states, which may be a number or, for a key, hold ♯ or ♭.

    Raises ValueError naming the value, what is allowed and what is probably meant.
    """
    return choices.read_choice(name, get(name).choices, value)


def choice_problems(values: Mapping[str, object]) -> list[str]:
    """What is wrong with the choices of the named parameters; None stands for a value that is not known yet."""
    known = {name: value for name, value in values.items() if value is not None}
    problems = [choices.problem(name, get(name).choices, value) for name, value in known.items()]
    return [problem for problem in problems if problem]
