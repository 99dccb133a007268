"""ComfyUI's nodes: audio cut, made louder and equalised."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ...audio.equaliser import equalise
from ...parameters import native

Audio = dict[str, Any]


class EmptyAudio:
    """Silence."""

    FUNCTION = "make"
    RETURN_TYPES = ("AUDIO",)

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        return native.input_types("EmptyAudio")

    def make(self, duration: float, sample_rate: int, channels: int) -> tuple[Audio]:
        return (_audio(torch.zeros(1, channels, round(duration * sample_rate)), sample_rate),)


class TrimAudioDuration:
    """A part of the audio; a negative start counts from the end."""

    FUNCTION = "trim"
    RETURN_TYPES = ("AUDIO",)

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        return native.input_types("TrimAudioDuration")

    def trim(self, audio: Audio, start_index: float, duration: float) -> tuple[Audio]:
        waveform, rate = audio["waveform"], audio["sample_rate"]
        samples = waveform.shape[-1]
        start = round(start_index * rate) + (samples if start_index < 0 else 0)
        start = max(0, min(start, samples - 1))
        end = min(start + round(duration * rate), samples)
        if start >= end:
            raise ValueError(
                f"nothing is left of {samples / rate:.2f} seconds of audio: start_index {start_index:g} and duration "
                f"{duration:g} seconds must leave at least one sample"
            )
        return (_audio(waveform[..., start:end], rate),)


class AudioAdjustVolume:
    """Amplifies by decibels."""

    FUNCTION = "amplify"
    RETURN_TYPES = ("AUDIO",)

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        return native.input_types("AudioAdjustVolume")

    def amplify(self, audio: Audio, volume: int) -> tuple[Audio]:
        return (_audio(audio["waveform"] * 10 ** (volume / 20), audio["sample_rate"]),)


class AudioEqualizer3Band:
    """A low shelf, a peak and a high shelf."""

    FUNCTION = "filter"
    RETURN_TYPES = ("AUDIO",)

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        return native.input_types("AudioEqualizer3Band")

    def filter(
        self,
        audio: Audio,
        low_gain_dB: float,
        low_freq: int,
        mid_gain_dB: float,
        mid_freq: int,
        mid_q: float,
        high_gain_dB: float,
        high_freq: int,
    ) -> tuple[Audio]:
        waveform = equalise(
            audio["waveform"],
            audio["sample_rate"],
            low=(low_gain_dB, low_freq),
            middle=(mid_gain_dB, mid_freq, mid_q),
            high=(high_gain_dB, high_freq),
        )
        return (_audio(waveform, audio["sample_rate"]),)


def _audio(waveform: Tensor, sample_rate: int) -> Audio:
    return {"waveform": waveform, "sample_rate": sample_rate}
