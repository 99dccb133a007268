"""Node: splice a repaint into its source."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor

from .. import parameters
from ..audio.loudness import guard
from ..audio.splice import splice
from ..audio.timeline import EditTimeline
from ..pipeline.edit import SPLICE, Splice


class SpliceNode:
    """Restores the source's samples outside the repainted regions."""

    CATEGORY = "audio/ACE-Step XL"
    DESCRIPTION = (
        "Restores the source's samples after a repaint, everywhere outside the regions and their crossfades. Turn "
        "normalize off in the decoder, so that old and new parts keep the same level."
    )
    FUNCTION = "join"
    RETURN_TYPES = ("AUDIO",)
    RETURN_NAMES = ("audio",)
    OUTPUT_TOOLTIPS = ("The source with the new regions, 48 kHz.",)
    SEARCH_ALIASES: ClassVar = ["ace step splice", "crossfade", "blend audio"]

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        return {
            "required": {
                "audio": ("AUDIO", {"tooltip": "The decoded repaint."}),
                "latent": ("LATENT", {"tooltip": "The sampler's latent, which carries the source and the regions."}),
            }
        }

    def join(self, audio: dict[str, Any], latent: dict[str, Any]) -> tuple[dict[str, Any]]:
        source = latent.get(SPLICE)
        if not isinstance(source, Splice):
            raise ValueError(
                "this latent carries no source audio to splice into: connect the sampler's latent of a repaint whose "
                "repaint node has its audio input connected"
            )
        if audio["sample_rate"] != parameters.SAMPLE_RATE:
            raise ValueError(f"the decoded audio is at {audio['sample_rate']} Hz, expected {parameters.SAMPLE_RATE}")
        new = _limited(guard(audio["waveform"]), source.timeline)
        song = splice(new, source.source, source.timeline, source.crossfade)
        return ({"waveform": song, "sample_rate": parameters.SAMPLE_RATE},)


def _limited(new: Tensor, timeline: EditTimeline) -> Tensor:
    """Scale new music that exceeds full scale inside its regions; the source is never touched."""
    inside = torch.cat([new[..., start:end] for start, end in timeline.spans], dim=-1)
    return new / inside.abs().amax(dim=(1, 2), keepdim=True).clamp(min=1)
