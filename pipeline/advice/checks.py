"""Warnings about settings that are probably unintended: one table of checks, each a function of plain facts.

Advice never changes what is done. A check in doubt stays silent: normal use gets no advice.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from . import guidance, prompt, run


def advice_on(stage: str, facts: Any) -> list[str]:
    """The messages of a stage's checks, a key of CHECKS, about its facts: a Prompt, GuidanceSettings or a Run."""
    if stage not in CHECKS:
        raise KeyError(f"no checks for {stage!r}; known: {', '.join(CHECKS)}")
    return [message for check in CHECKS[stage].values() if (message := check(facts))]


CHECKS: dict[str, dict[str, Callable[[Any], str | None]]] = {
    "prompt": {
        "script": prompt.script,
        "instrumental": prompt.instrumental,
        "instrumental lyrics": prompt.instrumental_lyrics,
        "tempo": prompt.tempo,
        "key": prompt.key,
        "metre": prompt.metre,
        "too many words": prompt.too_many_words,
    },
    "guidance": {
        "turbo guidance": guidance.turbo_guidance,
        "unused negative": guidance.unused_negative,
    },
    "run": {
        "steps": run.steps,
        "shift": run.shift,
        "length": run.length,
        "task": run.task,
    },
}
