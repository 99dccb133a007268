"""Node: timbre reference."""

from __future__ import annotations

from typing import Any, ClassVar

from torch import Tensor

from .. import parameters
from ..audio.loudness import SILENCE_PEAK
from ..audio.resample import to_stereo
from ..host import current_host
from ..pipeline import source, vae_socket
from ..pipeline.conditioning import REFERENCES, Conditioning, excerpts
from ..pipeline.input_checks import UNCONNECTED, source_problem

# The timbre encoder was trained on 30 s: thirds of 10 s from a longer reference, repeats of a shorter one.
REFERENCE_SECONDS = 30
ONE_REFERENCE = "connect one of audio and latent to the timbre reference"
SILENT = "the timbre reference is silent, which means no reference; the prompt is unchanged"


class Timbre:
    """Adds the sound of a recording to a prompt."""

    CATEGORY = "audio/ACE-Step XL"
    DESCRIPTION = (
        "Gives the song the sound of a recording: voice, instruments, mix. It does not copy the melody; use cover "
        "for that. Chain nodes for several references; works with every task."
    )
    FUNCTION = "add"
    RETURN_TYPES = ("CONDITIONING",)
    RETURN_NAMES = ("conditioning",)
    OUTPUT_TOOLTIPS = ("The prompt with the reference added.",)
    SEARCH_ALIASES: ClassVar = ["ace step reference", "voice reference", "timbre", "reference audio"]

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        return {
            "required": {"conditioning": ("CONDITIONING", {"tooltip": "From the encode node."})},
            "optional": {
                "audio": ("AUDIO", {"tooltip": "The recording, at any sample rate and length."}),
                "latent": ("LATENT", {"tooltip": "The recording, as the latent of an earlier run."}),
                "vae": ("VAE", {"tooltip": "Required with audio."}),
            },
        }

    @classmethod
    def VALIDATE_INPUTS(
        cls, audio: object = UNCONNECTED, latent: object = UNCONNECTED, vae: object = UNCONNECTED
    ) -> bool | str:
        if (audio is UNCONNECTED) == (latent is UNCONNECTED):
            return ONE_REFERENCE
        return source_problem("timbre reference", audio, latent, vae)

    def add(
        self,
        conditioning: Conditioning,
        audio: dict[str, Any] | None = None,
        latent: dict[str, Any] | None = None,
        vae: Any = None,
    ) -> tuple[Conditioning]:
        reference = _latents(audio, latent, vae)
        current_host().advise([SILENT] if reference is None else [])
        if reference is None:
            return (conditioning,)
        return (
            [
                [text, {**extra, REFERENCES: [*(extra.get(REFERENCES) or ()), reference]}]
                for text, extra in conditioning
            ],
        )


def _latents(audio: dict[str, Any] | None, latent: dict[str, Any] | None, vae: Any) -> Tensor | None:
    if (audio is None) == (latent is None):
        raise ValueError(ONE_REFERENCE)
    if latent is not None:
        return source.checked_latents(latent)[:1]
    if vae is None:
        raise ValueError("a timbre reference from audio needs the VAE: connect the loader's vae")
    waveform = to_stereo(source.at_48_khz(audio or {})[:1]).clamp(-1, 1)
    if float(waveform.abs().max()) < SILENCE_PEAK:
        return None
    return vae_socket.encode(vae, excerpts(waveform, REFERENCE_SECONDS * parameters.SAMPLE_RATE))
