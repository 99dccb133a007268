"""Nodes: cover, and the tasks of base checkpoints that work on tracks."""

from __future__ import annotations

from typing import Any, ClassVar

from .. import parameters
from ..audio.timeline import END, Span, parse_regions
from . import source
from .edit import EDIT, LENGTH, Edit
from .repaint import frame_mask, region_problem

SOURCES = {
    "audio": ("AUDIO", {"tooltip": "The source, at any rate; it is brought to 48 kHz."}),
    "latent": ("LATENT", {"tooltip": "The source as the latent of an earlier run."}),
    "vae": ("VAE", {"tooltip": "Needed for source audio."}),
}


class Cover:
    """Makes a new version of a source."""

    CATEGORY = "audio/ACE-Step XL"
    DESCRIPTION = (
        "Cover: a new song on the source's structure, in the style of the caption. Give the lyrics and metadata the "
        "source has. Set the encode node's task to cover (or cover-nofsq without codes)."
    )
    FUNCTION = "make"
    RETURN_TYPES = ("LATENT", "FLOAT")
    RETURN_NAMES = ("latent", "seconds")
    OUTPUT_TOOLTIPS = ("For the sampler.", "The source's length, for the encode node's duration.")
    SEARCH_ALIASES: ClassVar = ["ace step cover", "audio to audio", "style transfer", "remix"]

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        return {
            "required": {
                "codes": parameters.widget("cover_codes"),
                "strength": parameters.widget("cover_strength"),
                "source_start": parameters.widget("source_start"),
                "batch_size": parameters.widget("batch_size"),
            },
            "optional": dict(SOURCES),
        }

    def make(
        self,
        codes: bool,
        strength: float,
        source_start: float,
        batch_size: int,
        audio: dict[str, Any] | None = None,
        latent: dict[str, Any] | None = None,
        vae: Any = None,
    ) -> tuple[dict[str, Any], float]:
        edit = Edit("cover" if codes else "cover-nofsq", None, strength, source_start=source_start)
        return _whole(edit, vae, audio, latent, batch_size)


class Tracks:
    """Works on the tracks of a source, with base checkpoints."""

    CATEGORY = "audio/ACE-Step XL"
    DESCRIPTION = (
        "For base checkpoints: lego adds a track to the source, extract takes one out, complete adds what is missing. "
        "Name the tracks in the encode node and set its task to the same."
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
            "optional": dict(SOURCES),
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
            return _whole(Edit(task, None, 1.0), vae, audio, latent, batch_size)
        if task != "lego":
            raise ValueError(f"regions are {regions!r} and the task is {task}: only lego works on a part of its source")
        found = source.read(vae, audio, latent, parse_regions(regions))
        edit = Edit(task, frame_mask(found.plan), 1.0, beside=found.beside)
        return _latent(edit, found, batch_size)


def _whole(
    edit: Edit, vae: Any, audio: dict[str, Any] | None, latent: dict[str, Any] | None, batch_size: int
) -> tuple[dict[str, Any], float]:
    return _latent(edit, source.read(vae, audio, latent, (Span(0, END),)), batch_size)


def _latent(edit: Edit, found: source.Source, batch_size: int) -> tuple[dict[str, Any], float]:
    samples = source.repeat(found.latents, batch_size)
    made = {"samples": samples, "type": "audio", EDIT: edit, LENGTH: found.plan.total}
    return made, found.plan.total / parameters.SAMPLE_RATE
