"""Node: decode a latent to audio."""

from __future__ import annotations

from typing import Any, ClassVar

from .. import parameters
from ..audio.loudness import finish
from ..pipeline import vae_socket
from ..pipeline.edit import sample_count


class Decode:
    """Decodes a latent to audio and sets its level."""

    CATEGORY = "audio/ACE-Step XL"
    DESCRIPTION = (
        "Decodes to audio, keeps peaks below full scale, sets the peak level and applies fades. Refuses NaN and "
        "silence."
    )
    FUNCTION = "decode"
    RETURN_TYPES = ("AUDIO",)
    RETURN_NAMES = ("audio",)
    OUTPUT_TOOLTIPS = ("Every song of the batch, in 48 kHz stereo.",)
    SEARCH_ALIASES: ClassVar = ["ace step decode", "vae decode audio", "latent to audio"]

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        names = ("normalize", "peak_db", "fade_in", "fade_out")
        return {
            "required": {
                "latent": ("LATENT", {"tooltip": "From the sampler."}),
                "vae": ("VAE", {"tooltip": "From the loader."}),
                **{name: parameters.widget(name) for name in names},
            }
        }

    def decode(
        self, latent: dict[str, Any], vae: Any, normalize: bool, peak_db: float, fade_in: float, fade_out: float
    ) -> tuple[dict[str, Any]]:
        # A source's length need not be whole latent frames; the song is cut to it.
        waveform = vae_socket.decode(vae, latent["samples"])[..., : sample_count(latent)]
        waveform = finish(
            waveform,
            parameters.SAMPLE_RATE,
            normalize=normalize,
            peak_db=peak_db,
            fade_in=fade_in,
            fade_out=fade_out,
        )
        return ({"waveform": waveform, "sample_rate": parameters.SAMPLE_RATE},)
