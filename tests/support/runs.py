"""Descriptions of runs."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from acestep_xl import parameters
from acestep_xl.model.prompt import Metadata, Prompt, instruction
from acestep_xl.pipeline.run import PromptSize, Run
from acestep_xl.pipeline.solver_sampler import SolverSampler
from acestep_xl.sampler.guidance import Guidance

PROMPT = Prompt("a waltz", "[Instrumental]", "en", Metadata(duration=60.0), instruction("text2music"))
GUIDANCE = Guidance("apg", 7.0, 0.0, 1.0, -0.75, 2.5, 0.0, 0.5, "standard")


def make_run(
    songs: int = 1,
    frames: int = 1500,
    prompts: int = 1,
    lyrics: int = 300,
    caption: int = 100,
    *,
    references: int = 1,
    scale: float = 7.0,
    has_negative: bool = False,
    codes: bool = False,
    **changes: Any,
) -> Run:
    """A run of text to music. lyrics, caption: tokens of a prompt. changes: other fields of the Run."""
    run = Run(
        model="XL sft",
        training="sft",
        seeds=tuple(range(songs)),
        frames=frames,
        seconds=frames / parameters.FRAME_RATE,
        prompts=(PROMPT,) * prompts,
        prompt_size=PromptSize(caption, lyrics, references, codes),
        prompt_task="text2music",
        negative=(PROMPT,) * prompts if has_negative else (),
        negative_weight=1.0,
        edit=None,
        guidance=replace(GUIDANCE, scale=scale),
        modifiers=(),
        sigmas=(1.0, 0.5, 0.0),
        solver=SolverSampler("euler", 0.0),
    )
    return replace(run, **changes)
