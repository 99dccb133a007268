"""Warnings about settings that are probably unintended: one table of checks, each a function of plain facts.

Advice never changes what is done. A check in doubt stays silent: normal use gets no advice.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from . import guidance_advice, prompt_advice, region_advice, run_advice


def advice_on(stage: str, facts: Any) -> list[str]:
    """The messages of a stage's checks, a key of CHECKS, about its facts: a Prompt, GuidanceSettings, a Run or
    SourceRegions."""
    if stage not in CHECKS:
        raise KeyError(f"no checks for {stage!r}; known: {', '.join(CHECKS)}")
    return [message for check in CHECKS[stage].values() if (message := check(facts))]


CHECKS: dict[str, dict[str, Callable[[Any], str | None]]] = {
    "prompt": {
        "script": prompt_advice.script,
        "instrumental": prompt_advice.instrumental,
        "instrumental lyrics": prompt_advice.instrumental_lyrics,
        "tempo": prompt_advice.tempo,
        "key": prompt_advice.key,
        "metre": prompt_advice.metre,
        "too many words": prompt_advice.too_many_words,
    },
    "guidance": {
        "turbo guidance": guidance_advice.turbo_guidance,
        "unused negative": guidance_advice.unused_negative,
    },
    "run": {
        "steps": run_advice.steps,
        "shift": run_advice.shift,
        "length": run_advice.length,
        "task": run_advice.task,
        "codes": run_advice.codes,
    },
    "regions": {"gap": region_advice.gap},
}
