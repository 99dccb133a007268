"""The LATENT of an edit that uses a whole source."""

from __future__ import annotations

from typing import Any

from .. import parameters
from ..audio.timeline import END, Span
from . import source
from .edit import EDIT, LENGTH, Edit

SOURCE_INPUTS = {
    "audio": ("AUDIO", {"tooltip": "The source, at any sample rate; it is resampled to 48 kHz."}),
    "latent": ("LATENT", {"tooltip": "The source, as the latent of an earlier run."}),
    "vae": ("VAE", {"tooltip": "Required with audio."}),
}


def whole_source(
    edit: Edit, vae: Any, audio: dict[str, Any] | None, latent: dict[str, Any] | None, batch_size: int
) -> tuple[dict[str, Any], float]:
    return edit_latent(edit, source.read(vae, audio, latent, (Span(0, END),)), batch_size)


def edit_latent(edit: Edit, found: source.Source, batch_size: int) -> tuple[dict[str, Any], float]:
    samples = source.repeat(found.latents, batch_size)
    made = {"samples": samples, "type": "audio", EDIT: edit, LENGTH: found.plan.total}
    return made, found.plan.total / parameters.SAMPLE_RATE
