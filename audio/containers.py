"""Opens audio files with FFmpeg's libraries (PyAV) and identifies their containers."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import av
from av.container import InputContainer
from av.error import FFmpegError

# The codecs that WebM allows; FFmpeg reads it and general Matroska with one demuxer.
WEBM_CODECS = frozenset({"av1", "opus", "vorbis", "vp8", "vp9"})


class UnreadableAudio(ValueError):  # noqa: N818 - says what the file is
    """A file that is missing, not audio, damaged, or without usable samples."""


@contextmanager
def open_audio(path: Path) -> Iterator[tuple[InputContainer, av.AudioStream]]:
    """Open a file and select its first audio stream. path: absolute, or FFmpeg takes a prefix like `a:` for a protocol.

    Raises UnreadableAudio for a file that is missing, empty, a truncated WAV, not a readable container, without an
    audio stream or without a decoder, and for any error of FFmpeg inside the block.
    """
    if not path.is_file():
        raise UnreadableAudio(f"there is no file {path}")
    _require_complete_riff(path)
    options = {"format_whitelist": ",".join(MEDIA_TYPES), "protocol_whitelist": "file"}
    try:
        # Not as `options`: up to version 16, PyAV then crashes on streams that a demuxer finds later, as in FLV.
        # Tags are not used, and old programs wrote them in any encoding.
        with av.open(str(path), container_options=options, metadata_errors="replace") as container:
            yield container, _audio_stream(container, path)
    except FFmpegError as error:
        raise UnreadableAudio(
            f"{path} ({path.stat().st_size} bytes) cannot be read as audio: {error.strerror}. Readable containers: "
            f"{', '.join(MEDIA_TYPES)}"
        ) from error


def media_type_of(container: InputContainer) -> str:
    """The media type of an open file, from its content alone."""
    entry = MEDIA_TYPES[container.format.name.split(",")[0]]
    return entry if isinstance(entry, str) else entry(container)


def _audio_stream(container: InputContainer, path: Path) -> av.AudioStream:
    if not container.streams.audio:
        kinds = sorted({stream.type for stream in container.streams})
        raise UnreadableAudio(f"{path} has no audio stream, only: {', '.join(kinds) or 'nothing'}")
    stream = container.streams.audio[0]
    if stream.codec_context is None:
        raise UnreadableAudio(f"{path} cannot be read as audio: FFmpeg has no decoder for it; convert it first")
    if stream.codec_context.name == "flac":
        # Otherwise a frame with a wrong checksum is decoded to noise.
        stream.codec_context.options = {"err_detect": "crccheck+explode"}
    return stream


def _require_complete_riff(path: Path) -> None:
    """Raise UnreadableAudio if a WAV file is shorter than its header says; FFmpeg does not report that."""
    with path.open("rb") as file:
        head = file.read(12)
    if not head:
        raise UnreadableAudio(f"{path} is empty (0 bytes)")
    size, stated = path.stat().st_size, int.from_bytes(head[4:8], "little") + 8
    # Programs that write to a pipe store 0 or about 2 or 4 GiB. Some omit the padding byte.
    is_known = 8 < stated < 2**31 - 4096
    if head[:4] == b"RIFF" and head[8:12] == b"WAVE" and is_known and size + 1 < stated:
        raise UnreadableAudio(f"{path} is truncated: {size} of {stated} bytes; copy or export it again")


def _codecs(container: InputContainer) -> set[str]:
    """The codecs of the streams that FFmpeg can decode."""
    # Typed as present, but None without a decoder.
    contexts = [stream.codec_context for stream in container.streams if stream.type in ("audio", "video")]
    return {context.codec.canonical_name for context in contexts if context is not None}


def _amr(container: InputContainer) -> str:
    return "audio/amr-wb" if "amr_wb" in _codecs(container) else "audio/amr"


def _matroska(container: InputContainer) -> str:
    return "video/webm" if _codecs(container) <= WEBM_CODECS else "video/x-matroska"


def _mov(container: InputContainer) -> str:
    """By the major brand (ISO 14496-12); old QuickTime files have none."""
    brand = container.metadata.get("major_brand", "qt").strip().lower()
    if brand in ("m4a", "m4b", "m4p"):
        return "audio/mp4"
    return {"qt": "video/quicktime", "3g": "video/3gpp"}.get(brand[:2], "video/mp4")


def _ogg(container: InputContainer) -> str:
    # Cover art is a video stream too, so the codec decides.
    return "video/ogg" if "theora" in _codecs(container) else "audio/ogg"


# FFmpeg's demuxers for files that contain their samples -> media type. It also reads playlists, which make it open any
# file that they name.
MEDIA_TYPES: dict[str, str | Callable[[InputContainer], str]] = {
    "aac": "audio/aac",
    "ac3": "audio/ac3",
    "aiff": "audio/aiff",
    "amr": _amr,
    "ape": "audio/x-ape",
    "asf": "video/x-ms-asf",
    "au": "audio/basic",
    "avi": "video/x-msvideo",
    "caf": "audio/x-caf",
    "dsf": "audio/x-dsf",
    "eac3": "audio/eac3",
    "flac": "audio/flac",
    "flv": "video/x-flv",
    "matroska": _matroska,
    "mov": _mov,
    "mp3": "audio/mpeg",
    "mpc": "audio/x-musepack",
    "mpc8": "audio/x-musepack",
    "mpeg": "video/mpeg",
    "mpegts": "video/mp2t",
    "ogg": _ogg,
    "oma": "audio/x-oma",
    "tak": "audio/x-tak",
    "tta": "audio/x-tta",
    "voc": "audio/x-voc",
    "w64": "audio/x-w64",
    "wav": "audio/wav",
    "wv": "audio/x-wavpack",
    "xwma": "audio/x-xwma",
}
