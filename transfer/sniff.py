"""Which media type the first bytes of a file really are, whatever its name or sender says."""

from __future__ import annotations

import re
from collections.abc import Callable

ENOUGH = 1 << 16  # bytes that are looked at, behind ID3 tags where there are any
IMAGES = frozenset("avif avis crx heic heim heis heix hevc mif1 msf1".split())  # ftyp brands that are no media here
AC3_KBPS = (32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384, 448, 512, 576, 640)
# Bitrates in kbps by (MPEG 1?, layer), ISO 11172-3 and 13818-3.
MPEG_KBPS = {
    (True, 1): (32, 64, 96, 128, 160, 192, 224, 256, 288, 320, 352, 384, 416, 448),
    (True, 2): (32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384),
    (True, 3): (32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    (False, 1): (32, 48, 56, 64, 80, 96, 112, 128, 144, 160, 176, 192, 224, 256),
    (False, 2): (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
    (False, 3): (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
}


def sniff(data: bytes) -> str | None:
    """The media type of `data`, a whole file or its beginning; None where it is no known audio or video file.

    Knows every container that audio.files.read opens, by the magic numbers that their specifications give; bare MPEG,
    AAC and AC-3 frames only where the next frame begins as the first one ends, or the data ends before that. A type
    says what the beginning is, not that the rest can be decoded.
    """
    start = 0
    while length := _id3_length(data[start : start + 10]):
        start += length
    head = bytes(data[start : start + ENOUGH])
    if start and not head:
        return "audio/mpeg"  # nothing but a tag so far: MP3 is where these tags belong
    # Some programs leave room behind the tag.
    return _by_magic(head) or _by_frames(head.lstrip(b"\0") if start else head)


def _by_magic(head: bytes) -> str | None:
    for magic, found in MAGIC:
        if re.match(magic, head, re.DOTALL):
            return found if isinstance(found, str) else found(head)
    return None


def _by_frames(head: bytes) -> str | None:
    """Formats that are nothing but frames, each of which states its length."""
    for frame_length, found in FRAMES:
        first = frame_length(head)
        if first and (len(head) < first + 8 or frame_length(head[first : first + 8])):
            return found
    return None


def _id3_length(head: bytes) -> int:
    """Bytes of the ID3v2 tag that begins here, 0 where none does; the tag states its length in 4 times 7 bits."""
    if len(head) < 10 or head[:3] != b"ID3" or 0xFF in head[3:5] or max(head[6:10]) > 0x7F:
        return 0
    size = sum(byte << shift for byte, shift in zip(head[6:10], (21, 14, 7, 0), strict=True))
    return 10 + size + (10 if head[5] & 0x10 else 0)


def _iso(head: bytes) -> str | None:
    """MP4 and its relatives by the brand of their first box (ISO 14496-12)."""
    brand = head[8:12].decode("latin-1").strip().lower()
    if brand in IMAGES:
        return None
    if brand in ("m4a", "m4b", "m4p"):
        return "audio/mp4"
    return {"qt": "video/quicktime", "3g": "video/3gpp"}.get(brand[:2], "video/mp4")


def _matroska(head: bytes) -> str:
    """WebM is Matroska whose header names another document type (element 0x4282)."""
    return "video/webm" if re.match(rb".{4,64}\x42\x82.webm", head, re.DOTALL) else "video/x-matroska"


def _ogg(head: bytes) -> str:
    return "video/ogg" if b"\x80theora" in head[:4096] else "audio/ogg"


def _mpeg_frame(head: bytes) -> int:
    """Bytes of the MPEG audio frame that begins here (layers 1 to 3), 0 where none does."""
    if len(head) < 4 or head[0] != 0xFF or head[1] < 0xE0:
        return 0
    version, layer = (head[1] >> 3) & 3, 4 - ((head[1] >> 1) & 3)
    bitrate, rate = head[2] >> 4, (head[2] >> 2) & 3
    if version == 1 or layer == 4 or not 0 < bitrate < 15 or rate == 3:
        return 0
    hertz = (44100, 48000, 32000)[rate] >> {3: 0, 2: 1, 0: 2}[version]
    bits = MPEG_KBPS[version == 3, layer][bitrate - 1] * 1000
    padding = (head[2] >> 1) & 1
    if layer == 1:
        return (12 * bits // hertz + padding) * 4
    return (72 if layer == 3 and version != 3 else 144) * bits // hertz + padding


def _adts_frame(head: bytes) -> int:
    """Bytes of the AAC frame that begins here with an ADTS header (ISO 13818-7), 0 where none does."""
    if len(head) < 7 or head[0] != 0xFF or head[1] & 0xF6 != 0xF0 or (head[2] >> 2) & 15 > 12:
        return 0
    length = (head[3] & 3) << 11 | head[4] << 3 | head[5] >> 5
    return length if length >= 7 else 0


def _ac3_frame(head: bytes) -> int:
    """Bytes of the AC-3 frame that begins here (ATSC A/52, table 5.18), 0 where none does."""
    if len(head) < 6 or head[:2] != b"\x0b\x77" or head[5] >> 3 > 10:
        return 0
    rate, size = head[4] >> 6, head[4] & 63
    if rate == 3 or size >= 2 * len(AC3_KBPS):
        return 0
    words = AC3_KBPS[size // 2] * 96000 // (48000, 44100, 32000)[rate]
    return 2 * (words + (size & 1 if rate == 1 else 0))


def _eac3_frame(head: bytes) -> int:
    """Bytes of the Enhanced AC-3 frame that begins here (ATSC A/52, annex E), 0 where none does."""
    if len(head) < 6 or head[:2] != b"\x0b\x77" or not 10 < head[5] >> 3 <= 16:
        return 0
    return 2 * (((head[2] & 7) << 8 | head[3]) + 1)


FRAMES: tuple[tuple[Callable[[bytes], int], str], ...] = (
    (_mpeg_frame, "audio/mpeg"),
    (_adts_frame, "audio/aac"),
    (_ac3_frame, "audio/ac3"),
    (_eac3_frame, "audio/eac3"),
)

# The beginning of a file as a pattern -> its media type, or what tells it.
MAGIC: tuple[tuple[bytes, str | Callable[[bytes], str | None]], ...] = (
    (rb"(RIFF|RIFX|RF64|BW64).{4}WAVE", "audio/wav"),
    (rb"RIFF.{4}XWMA", "audio/x-xwma"),
    (rb"RIFF.{4}AVI ", "video/x-msvideo"),
    (rb"riff\x2e\x91\xcf\x11\xa5\xd6\x28\xdb\x04\xc1\x00\x00", "audio/x-w64"),
    (rb"fLaC", "audio/flac"),
    (rb"OggS\x00", _ogg),
    (rb".{4}ftyp.{4}", _iso),
    (rb".{4}(moov|mdat|wide|free|skip|pnot)", "video/quicktime"),
    (rb"\x1aE\xdf\xa3", _matroska),
    (rb"FORM.{4}AIF[FC]", "audio/aiff"),
    (rb"\.snd", "audio/basic"),
    (rb"caff\x00\x01", "audio/x-caf"),
    (rb"#!AMR-WB", "audio/amr-wb"),
    (rb"#!AMR", "audio/amr"),
    (rb"MAC ", "audio/x-ape"),
    (rb"\x30\x26\xb2\x75\x8e\x66\xcf\x11\xa6\xd9\x00\xaa\x00\x62\xce\x6c", "video/x-ms-asf"),
    (rb"DSD \x1c", "audio/x-dsf"),
    (rb"FLV\x01", "video/x-flv"),
    (rb"MP\+|MPCK", "audio/x-musepack"),
    (rb"\x00\x00\x01\xba", "video/mpeg"),
    (rb"(G.{187}){3}|.{4}(G.{191}){3}|(G.{203}){3}", "video/mp2t"),
    (rb"ea3\x03|EA3\x01", "audio/x-oma"),
    (rb"tBaK", "audio/x-tak"),
    (rb"TTA[12]", "audio/x-tta"),
    (rb"Creative Voice File\x1a", "audio/x-voc"),
    (rb"wvpk", "audio/x-wavpack"),
)
