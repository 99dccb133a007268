"""Node: the track tasks of base checkpoints."""

from __future__ import annotations

from typing import Any, ClassVar

from .. import parameters
from ..audio.region_text import parse_regions
from ..pipeline import source
from ..pipeline.edit import Edit
from ..pipeline.regions import encode_mask, frame_mask, region_problem
from ..pipeline.source_latent import SOURCE_INPUTS, edit_latent, whole_source


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
    def VALIDATE_INPUTS(cls, regions: str | None) -> bool | str:
        return region_problem(regions) if regions and regions.strip() else True

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
        if task != "lego":
            raise ValueError(f"regions are {regions!r} and the task is {task}: only lego works on a part of its source")
        original = source.read(vae, audio, latent, parse_regions(regions))
        mask = encode_mask(frame_mask(original.timeline))
        edit = Edit(task, mask, 1.0, outside_frames=original.outside_frames)
        return edit_latent(edit, original, batch_size)
