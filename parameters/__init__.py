"""Every user-facing value of the pack: name, kind, range, default and help text, in one place.

Nodes, the command line, the service and the docs read this table; nothing else states a range. Names and ranges
follow the hosted model's API page where it has the parameter, and the official inference code where that is wider.
Any folder may import this one; it imports only the standard library.
"""

from __future__ import annotations

from typing import Any

from . import api
from .editing import EDITING
from .kind import (
    AUTO,
    FRAME_RATE,
    FRAME_SAMPLES,
    KEY_SCALES,
    LANGUAGES,
    LATENT_CHANNELS,
    MINIMUM_FRAMES,
    SAMPLE_RATE,
    Parameter,
)
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
    "get",
    "widget",
]

PARAMETERS: dict[str, Parameter] = {
    p.name: p for p in (*PROMPT, *SAMPLING, *SCHEDULER, *SCHEDULES, *EDITING, *OUTPUT, *SERVICE, *SPEED)
}


def widget(name: str) -> tuple[Any, dict[str, Any]]:
    """ComfyUI's INPUT_TYPES entry for the named parameter."""
    return get(name).widget()


def get(name: str) -> Parameter:
    """Look up a parameter by name. Raises KeyError, listing the known names."""
    if name not in PARAMETERS:
        raise KeyError(f"unknown parameter {name!r}; known: {', '.join(PARAMETERS)}")
    return PARAMETERS[name]
