"""Node: splice a repaint into its source."""

from __future__ import annotations

from typing import Any, ClassVar

from .. import parameters
from ..audio.loudness import guard, limit_peak
from ..audio.splice import splice
from .edit import SPLICE, Splice


class SpliceNode:
    """Puts the source's own samples back outside the repainted regions."""

    CATEGORY = "audio/ACE-Step XL"
    DESCRIPTION = (
        "After a repaint: outside the regions and their crossfades every sample is the source's own. Turn normalize "
        "off in the decoder, so that old and new stay equally loud."
    )
    FUNCTION = "join"
    RETURN_TYPES = ("AUDIO",)
    RETURN_NAMES = ("audio",)
    OUTPUT_TOOLTIPS = ("The source with its new regions, 48 kHz.",)
    SEARCH_ALIASES: ClassVar = ["ace step splice", "crossfade", "blend audio"]

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        return {
            "required": {
                "audio": ("AUDIO", {"tooltip": "The decoded repaint."}),
                "latent": ("LATENT", {"tooltip": "The sampler's latent, which remembers source and regions."}),
            }
        }

    def join(self, audio: dict[str, Any], latent: dict[str, Any]) -> tuple[dict[str, Any]]:
        found = latent.get(SPLICE)
        if not isinstance(found, Splice):
            raise ValueError(
                "this latent remembers no source audio to splice into: connect the sampler's latent of a repaint whose "
                "repaint node has its audio input connected"
            )
        if audio["sample_rate"] != parameters.SAMPLE_RATE:
            raise ValueError(f"the decoded audio is at {audio['sample_rate']} Hz, expected {parameters.SAMPLE_RATE}")
        new = limit_peak(guard(audio["waveform"]))
        return ({"waveform": splice(new, found.source, found.plan, found.crossfade), "sample_rate": 48000},)
