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
    """The LATENT of an edit of the whole source, and its length in seconds."""
    return edit_latent(edit, source.read(vae, audio, latent, (Span(0, END),)), batch_size)


def edit_latent(edit: Edit, source_audio: source.Source, batch_size: int) -> tuple[dict[str, Any], float]:
    """The LATENT that carries an edit of a source, and its length in seconds."""
    samples, total = source.repeat(source_audio.latents, batch_size), source_audio.timeline.total
    return {"samples": samples, "type": "audio", EDIT: edit, LENGTH: total}, total / parameters.SAMPLE_RATE
