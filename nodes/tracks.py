"""Node: the track tasks of base checkpoints."""

from __future__ import annotations

from typing import Any, ClassVar

from .. import parameters
from ..audio.region_text import parse_regions
from ..pipeline import source
from ..pipeline.edit import Edit
from ..pipeline.input_checks import UNCONNECTED, join_answers, source_problem
from ..pipeline.regions import encode_mask, frame_mask, region_problem
from ..pipeline.source_latent import SOURCE_INPUTS, edit_latent, whole_source
from ..sampler.validation import find_problem


class Tracks:
    """Works on the tracks of a source, with base checkpoints."""

    CATEGORY = "audio/ACE-Step XL"
    DESCRIPTION = (
        "For base checkpoints: lego adds a track to the source, extract isolates one, complete adds what is "
        "missing. Name the tracks in the encode node and set its task to match."
    )
    FUNCTION = "make"
    RETURN_TYPES = ("LATENT", "FLOAT")
    RETURN_NAMES = ("latent", "seconds")
    OUTPUT_TOOLTIPS = ("For the sampler.", "The source's length, for the encode node's duration.")
    SEARCH_ALIASES: ClassVar = ["ace step lego", "extract stem", "complete track", "stem separation"]

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        return {
            "required": {
                "task": parameters.widget("track_task"),
                "regions": parameters.widget("track_regions"),
                "batch_size": parameters.widget("batch_size"),
            },
            "optional": dict(SOURCE_INPUTS),
        }

    @classmethod
    def VALIDATE_INPUTS(
        cls,
        regions: str | None,
        task: str | None = None,
        audio: object = UNCONNECTED,
        latent: object = UNCONNECTED,
        vae: object = UNCONNECTED,
    ) -> bool | str:
        """A linked value arrives as None, an unconnected socket not at all."""
        choice = (
            True if task is None else find_problem("task", "track_task", task) or _task_problem(regions, task) or True
        )
        text = region_problem(regions) if regions and regions.strip() else True
        return join_answers(text, choice, source_problem("source", audio, latent, vae))

    def make(
        self,
        task: str,
        regions: str,
        batch_size: int,
        audio: dict[str, Any] | None = None,
        latent: dict[str, Any] | None = None,
        vae: Any = None,
    ) -> tuple[dict[str, Any], float]:
        if not regions.strip():
            return whole_source(Edit(task, None, 1.0), vae, audio, latent, batch_size)
        if problem := _task_problem(regions, task):
            raise ValueError(problem)
        original = source.read(vae, audio, latent, parse_regions(regions))
        mask = encode_mask(frame_mask(original.timeline))
        edit = Edit(task, mask, 1.0, outside_frames=original.outside_frames)
        return edit_latent(edit, original, batch_size)


def _task_problem(regions: str | None, task: str) -> str:
    """Why a task cannot be limited to regions; "" if it can, or need not be."""
    if not regions or not regions.strip() or task == "lego":
        return ""
    return f"regions are {regions!r} and the task is {task}: only lego works on a part of its source"
