"""Node: cover."""

from __future__ import annotations

from typing import Any, ClassVar

from .. import parameters
from ..pipeline.edit import Edit
from ..pipeline.input_checks import UNCONNECTED, source_problem
from ..pipeline.source_latent import SOURCE_INPUTS, whole_source


class Cover:
    """Makes a new version of a source."""

    CATEGORY = "audio/ACE-Step XL"
    DESCRIPTION = (
        "Makes a cover: a new song with the source's structure, in the style of the caption. Enter the source's "
        "lyrics and metadata. Set the encode node's task to cover (cover-nofsq without codes)."
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
            "optional": dict(SOURCE_INPUTS),
        }

    @classmethod
    def VALIDATE_INPUTS(
        cls, audio: object = UNCONNECTED, latent: object = UNCONNECTED, vae: object = UNCONNECTED
    ) -> bool | str:
        return source_problem("source", audio, latent, vae)

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
        return whole_source(edit, vae, audio, latent, batch_size)
