"""ComfyUI's nodes: latents to audio and back."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from ... import parameters
from ...audio.resample import resample, torchaudio_length
from ...parameters import native
from ...pipeline import vae_socket

LOUDEST = 5.0  # standard deviations that become full scale, where they are above it


class VAEDecodeAudio:
    """Decodes latents and lowers what is loud."""

    FUNCTION = "decode"
    RETURN_TYPES = ("AUDIO",)

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        return native.input_types("VAEDecodeAudio")

    def decode(self, samples: dict[str, Any], vae: Any) -> tuple[dict[str, Any]]:
        return (_decode(samples, vae),)


class VAEDecodeAudioTiled:
    """Decodes latents and lowers what is loud.

    The sizes of tiles are not used: decoding always works in chunks as large as memory allows, and joins them so that
    the result is that of the whole.
    """

    FUNCTION = "decode"
    RETURN_TYPES = ("AUDIO",)

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        return native.input_types("VAEDecodeAudioTiled")

    def decode(self, samples: dict[str, Any], vae: Any, tile_size: int, overlap: int) -> tuple[dict[str, Any]]:
        return (_decode(samples, vae),)


class VAEEncodeAudio:
    """Encodes audio at the VAE's sample rate, to the mean; ComfyUI's VAE adds noise that no seed determines."""

    FUNCTION = "encode"
    RETURN_TYPES = ("LATENT",)

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        return native.input_types("VAEEncodeAudio")

    def encode(self, audio: dict[str, Any], vae: Any) -> tuple[dict[str, Any]]:
        waveform, rate = audio["waveform"], audio["sample_rate"]
        length = torchaudio_length(waveform.shape[-1], rate, parameters.SAMPLE_RATE)
        waveform = resample(waveform, rate, parameters.SAMPLE_RATE, length)
        return ({"samples": vae_socket.encode(vae, _whole_frames(waveform))},)


def _decode(samples: dict[str, Any], vae: Any) -> dict[str, Any]:
    waveform = vae_socket.decode(vae, samples["samples"])
    deviation = waveform.std(dim=(1, 2), keepdim=True)
    rate = samples.get("sample_rate", parameters.SAMPLE_RATE)
    return {"waveform": waveform / (LOUDEST * deviation).clamp(min=1.0), "sample_rate": rate}


def _whole_frames(waveform: Tensor) -> Tensor:
    """What ComfyUI's VAE encodes of ``[b c n]``: two channels, and whole latent frames from the middle."""
    samples, hop = waveform.shape[-1], parameters.FRAME_SAMPLES
    if samples < hop:
        raise ValueError(
            f"the audio is {samples} samples long at {parameters.SAMPLE_RATE} Hz, less than one latent frame of {hop}: "
            "give at least 0.04 seconds"
        )
    start = samples % hop // 2
    whole = waveform[..., start : start + samples // hop * hop]
    return whole[:, :2] if whole.shape[1] > 1 else whole.expand(-1, 2, -1)
