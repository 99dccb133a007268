"""Node: repaint, extend."""

from __future__ import annotations

from typing import Any, ClassVar

from torch import Tensor

from .. import parameters
from ..audio.region_text import parse_regions
from ..audio.timeline import mask_spans
from ..pipeline import source
from ..pipeline.edit import SPLICE, Edit, Splice
from ..pipeline.input_checks import UNCONNECTED, join_answers, source_problem
from ..pipeline.regions import encode_mask, frame_mask, region_problem
from ..pipeline.source_latent import edit_latent

# Official inference fades a repaint over at most this many frames, in proportion to how firmly the source holds.
MOST_BLEND = 25
STRENGTHS = {"conservative": 1.0, "aggressive": 0.0}


class Repaint:
    """Selects the regions of a source to regenerate, including before its start and after its end."""

    CATEGORY = "audio/ACE-Step XL"
    DESCRIPTION = (
        "Repaints or extends: regenerates the regions and keeps the rest. Connect audio, or the latent of an "
        "earlier run (no VAE loss); with both, the splice node restores the audio. Set the encode node's task to "
        "repaint, and put a splice node after the decoder to keep every sample outside the regions."
    )
    FUNCTION = "make"
    RETURN_TYPES = ("LATENT", "FLOAT")
    RETURN_NAMES = ("latent", "seconds")
    OUTPUT_TOOLTIPS = ("For the sampler.", "The new length, for the encode node's duration.")
    SEARCH_ALIASES: ClassVar = ["ace step repaint", "inpaint audio", "outpaint", "extend song", "edit region"]

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        names = ("regions", "strength", "crossfade", "batch_size")
        return {
            "required": {
                **{name: parameters.widget(name) for name in names},
                "mode": parameters.widget("repaint_mode"),
            },
            "optional": {
                "audio": ("AUDIO", {"tooltip": "The source, at any sample rate; it is resampled to 48 kHz."}),
                "latent": ("LATENT", {"tooltip": "The source, as the latent of an earlier run."}),
                "vae": ("VAE", {"tooltip": "Required with audio."}),
                "mask": ("MASK", {"tooltip": "Regions as a mask over the whole source, instead of text."}),
            },
        }

    @classmethod
    def VALIDATE_INPUTS(
        cls,
        regions: str | None,
        mask: object = UNCONNECTED,
        audio: object = UNCONNECTED,
        latent: object = UNCONNECTED,
        vae: object = UNCONNECTED,
    ) -> bool | str:
        text = True if mask is not UNCONNECTED else region_problem(regions)
        return join_answers(text, source_problem("source", audio, latent, vae))

    def make(
        self,
        regions: str,
        strength: float,
        crossfade: float,
        batch_size: int,
        mode: str,
        audio: dict[str, Any] | None = None,
        latent: dict[str, Any] | None = None,
        vae: Any = None,
        mask: Tensor | None = None,
    ) -> tuple[dict[str, Any], float]:
        if mask is None:
            spans = parse_regions(regions)
        else:
            # A brush need not reach every row; a column counts where any is painted.
            columns = mask.reshape(-1, mask.shape[-1]).amax(dim=0).tolist()
            spans = mask_spans(columns, source.seconds(audio, latent))
        original = source.read(vae, audio, latent, spans)
        timeline, frames = original.timeline, frame_mask(original.timeline)
        strength = STRENGTHS.get(mode, strength)
        blend = round(MOST_BLEND * strength)
        edit = Edit("repaint", encode_mask(frames), strength, blend, outside_frames=original.outside_frames)
        result, seconds = edit_latent(edit, original, batch_size)
        result["noise_mask"] = frames.transpose(1, 2)
        if original.waveform is not None:
            result[SPLICE] = Splice(timeline, source.repeat(original.waveform, batch_size), crossfade)
        return result, seconds
