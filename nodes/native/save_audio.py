"""ComfyUI's nodes: audio written to files."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from ...audio.formats import nearest_bitrate
from ...host.submission import Submission
from ...parameters import native
from ...pipeline import output

Audio = dict[str, Any]
Graph = dict[str, Any]

FLAC = output.Encoding("flac", 16, None, None, None)
VARIABLE = "V0"  # LAME's best variable bitrate
OPUS_RATES = (8000, 12000, 16000, 24000, 48000)
PREVIEW_PREFIX = "ComfyUI_temp"


class SaveAudio:
    """Writes FLAC with 16 bits."""

    FUNCTION = "save"
    OUTPUT_NODE = True
    RETURN_TYPES = ()

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        return {**native.input_types("SaveAudio"), "hidden": dict(output.HIDDEN)}

    @classmethod
    def VALIDATE_INPUTS(cls, filename_prefix: str | None = None) -> bool | str:
        return output.name_problem(filename_prefix, FLAC.format, FLAC.bytes_per_second())

    def save(
        self,
        audio: Audio,
        filename_prefix: str,
        prompt: Graph | None = None,
        extra_pnginfo: Graph | None = None,
        unique_id: str | None = None,
    ) -> dict[str, Any]:
        return _save(audio, FLAC, filename_prefix, output.Origin(prompt, extra_pnginfo, unique_id, title=""))


class _SaveAtQuality:
    """What the nodes of the lossy formats share. format: the encoding, before a bitrate is chosen."""

    FUNCTION = "save"
    OUTPUT_NODE = True
    RETURN_TYPES = ()
    format: output.Encoding

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        return {**native.input_types(cls.__name__), "hidden": dict(output.HIDDEN)}

    @classmethod
    def VALIDATE_INPUTS(cls, filename_prefix: str | None = None) -> bool | str:
        return output.name_problem(filename_prefix, cls.format.format, cls.format.bytes_per_second())

    def save(
        self,
        audio: Audio,
        filename_prefix: str,
        quality: str,
        prompt: Graph | None = None,
        extra_pnginfo: Graph | None = None,
        unique_id: str | None = None,
    ) -> dict[str, Any]:
        origin = output.Origin(prompt, extra_pnginfo, unique_id, title="")
        return _save(audio, self._encoding(audio, quality), filename_prefix, origin)

    def _encoding(self, audio: Audio, quality: str) -> output.Encoding:
        return _at_bitrate(self.format, audio, audio["sample_rate"], quality)


class SaveAudioMP3(_SaveAtQuality):
    """Writes MP3 at a variable or a fixed bitrate."""

    format = output.Encoding("mp3", 16, None, None, None)

    def _encoding(self, audio: Audio, quality: str) -> output.Encoding:
        return replace(self.format, variable_bitrate=True) if quality == VARIABLE else super()._encoding(audio, quality)


class SaveAudioOpus(_SaveAtQuality):
    """Writes Opus, at the next sample rate that it has."""

    format = output.Encoding("opus", 16, None, None, None)

    def _encoding(self, audio: Audio, quality: str) -> output.Encoding:
        rate = next((rate for rate in OPUS_RATES if rate >= audio["sample_rate"]), OPUS_RATES[-1])
        return _at_bitrate(replace(self.format, sample_rate=rate), audio, rate, quality)


class PreviewAudio:
    """Writes FLAC to the temporary folder."""

    FUNCTION = "preview"
    OUTPUT_NODE = True
    RETURN_TYPES = ()

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        return {**native.input_types("PreviewAudio"), "hidden": dict(output.HIDDEN)}

    def preview(
        self,
        audio: Audio,
        prompt: Graph | None = None,
        extra_pnginfo: Graph | None = None,
        unique_id: str | None = None,
    ) -> dict[str, Any]:
        songs = output.songs(audio, FLAC, output.Origin(prompt, extra_pnginfo, unique_id, title=""))
        return {"ui": {"audio": output.preview(songs, PREVIEW_PREFIX)}}


def _save(audio: Audio, encoding: output.Encoding, prefix: str, origin: output.Origin) -> dict[str, Any]:
    songs = output.songs(audio, encoding, origin)
    submission = Submission.of(origin.prompt, origin.extra)
    return {"ui": {"audio": output.save(songs, prefix, sidecar=False, submission=submission)}}


def _at_bitrate(encoding: output.Encoding, audio: Audio, sample_rate: int, quality: str) -> output.Encoding:
    """The encoding at a bitrate such as "320k", or the nearest that the format has for the audio."""
    wanted = int(quality.removesuffix("k"))
    channels = audio["waveform"].shape[1]
    return replace(encoding, bitrate_kbps=nearest_bitrate(encoding.format, channels, sample_rate, wanted))
