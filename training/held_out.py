"""Songs and prompts that no training has seen."""

from __future__ import annotations

import numpy as np

from acestep_xl.model.prompt import Prompt

from . import captions, composer
from .composer import Plan

FIRST = 8_700_000_000  # far from the seeds of any training, and of the prompts on which the training was tuned


def cases(count: int, seconds: int, task: str = "text2music", first: int = FIRST) -> list[tuple[Plan, Prompt]]:
    """Plans and full prompts."""
    plans = [composer.draw_plan(first + i, seconds) for i in range(count)]
    return [(plan, captions.prompt(plan, np.random.default_rng((plan.seed, 4)), task)) for plan in plans]


def without_tempo_and_key(count: int, seconds: int, first: int) -> list[tuple[Plan, Prompt]]:
    """Plans for covers, and prompts without tempo, metre and key, which the source provides."""
    plans = [composer.draw_plan(first + i, seconds) for i in range(count)]
    return [(plan, captions.sound_only(plan, "cover")) for plan in plans]
