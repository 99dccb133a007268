"""ComfyUI's nodes: several audios as one, and one as several."""

from __future__ import annotations

from typing import Any

from ...audio import combine
from ...parameters import native

Audio = dict[str, Any]


class SplitAudioChannels:
    """The two sides of stereo audio, each in mono."""

    FUNCTION = "split"
    RETURN_TYPES = ("AUDIO", "AUDIO")
    RETURN_NAMES = ("left", "right")

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        return native.input_types("SplitAudioChannels")

    def split(self, audio: Audio) -> tuple[Audio, Audio]:
        waveform, rate = audio["waveform"], audio["sample_rate"]
        if waveform.shape[1] != 2:
            raise ValueError(f"the audio has {waveform.shape[1]} channels; only stereo, with 2, can be split")
        return _audio((waveform[:, :1], rate)), _audio((waveform[:, 1:], rate))


class JoinAudioChannels:
    """Two mono audios as the sides of a stereo one."""

    FUNCTION = "join"
    RETURN_TYPES = ("AUDIO",)
    RETURN_NAMES = ("audio",)

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        return native.input_types("JoinAudioChannels")

    def join(self, audio_left: Audio, audio_right: Audio) -> tuple[Audio]:
        return (_audio(combine.join_channels(_sound(audio_left), _sound(audio_right))),)


class AudioConcat:
    """One audio after the other. direction: where audio2 goes."""

    FUNCTION = "join"
    RETURN_TYPES = ("AUDIO",)

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        return native.input_types("AudioConcat")

    def join(self, audio1: Audio, audio2: Audio, direction: str) -> tuple[Audio]:
        pair = (audio1, audio2) if direction == "after" else (audio2, audio1)
        return (_audio(combine.concatenate(*map(_sound, pair))),)


class AudioMerge:
    """Two audios at once."""

    FUNCTION = "mix"
    RETURN_TYPES = ("AUDIO",)

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        return native.input_types("AudioMerge")

    def mix(self, audio1: Audio, audio2: Audio, merge_method: str) -> tuple[Audio]:
        return (_audio(combine.mix(_sound(audio1), _sound(audio2), merge_method)),)


def _sound(audio: Audio) -> combine.Sound:
    return audio["waveform"], audio["sample_rate"]


def _audio(sound: combine.Sound) -> Audio:
    return {"waveform": sound[0], "sample_rate": sound[1]}
