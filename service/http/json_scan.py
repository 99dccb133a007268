"""Scans JSON text as it arrives, so that what is too large is refused before it takes memory or time.

The scan only bounds: depth, number of values, bytes. What passes is small, except for one kind of string, an uploaded
recording in base64, which is cut out and kept apart. So `json.loads`, which cannot be interrupted, never sees much.
"""

from __future__ import annotations

import json
import re
import secrets

MAX_DEPTH = 32  # the deepest valid request has 6 levels
MAX_VALUES = 100_000  # in the largest valid request: about 30,000, a hundred tasks with a long schedule each
MAX_TEXT = 4 * 2**20  # bytes of everything but the recordings
LONG_KEY = b"media"  # the one key whose value may be longer than LONG_STRING
LONG_STRING = 2**16  # bytes

BLANKS = b" \t\r\n"
NO_BRACKETS = bytes(set(range(256)) - set(b"[]{}"))
# A string up to its closing quote, the end of the text, or a backslash at the end of the text.
_IN_STRING = re.compile(rb'(?:[^"\\]+|\\[\x00-\xff])*')
_BLANKS = re.compile(rb"[ \t\r\n]+")
_BEFORE_LONG = re.compile(rb'"%s" ?: ?\Z' % LONG_KEY)


class BodyError(ValueError):
    """A body that is refused. status: the HTTP status of the answer."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class JsonScanner:
    """Fed with the pieces of a text in UTF-8; afterwards `text` is the JSON without its long strings.

    long_strings: by the name that stands for each in `text`; the names are random, so that no client can know them.
    """

    def __init__(self) -> None:
        self.long_strings: dict[str, str] = {}
        self._kept = bytearray()
        self._depth = self._values = 0
        self._in_string = False
        self._string_start = 0  # in `_kept`
        self._escape = b""  # the backslash at the end of a piece, whose other half is still to come
        self._may_be_long = False
        self._long_parts: list[str] | None = None  # of the string that is being read, once it is long
        self._long_bytes = 0

    @property
    def size(self) -> int:
        """Bytes that are kept."""
        return len(self._kept) + self._long_bytes

    @property
    def text(self) -> str:
        """The text without its long strings, once everything is fed. Raises BodyError."""
        if self._in_string:
            raise BodyError(400, "the body is not JSON: it ends within a string")
        try:
            return self._kept.decode("utf-8")
        except UnicodeDecodeError as error:
            raise BodyError(400, f"the body is not JSON: {error}") from error

    def feed(self, piece: bytes) -> None:
        """Scan the next piece. Raises BodyError for a text beyond the limits."""
        piece, self._escape = self._escape + piece, b""
        position = 0
        while position < len(piece):
            scan = self._scan_string if self._in_string else self._scan_outside
            position = scan(piece, position)
        if len(self._kept) > MAX_TEXT:
            raise BodyError(413, f"the body has more than {MAX_TEXT} bytes beside its recordings; send fewer tasks")

    def _scan_outside(self, piece: bytes, start: int) -> int:
        end = piece.find(b'"', start)
        between = piece[start : end if end >= 0 else len(piece)]
        self._count(between)
        text = _BLANKS.sub(b" ", between) if between.strip(BLANKS) else b" " * bool(between)
        self._kept += text.lstrip(b" ") if self._kept.endswith(b" ") else text
        if end < 0:
            return len(piece)
        self._may_be_long = _BEFORE_LONG.search(self._kept, max(0, len(self._kept) - 16)) is not None
        self._in_string, self._string_start = True, len(self._kept)
        self._kept += b'"'
        return end + 1

    def _count(self, between: bytes) -> None:
        """Count what stands between two strings."""
        self._values += between.count(b"[") + between.count(b"{") + between.count(b",")
        if self._values > MAX_VALUES:
            raise BodyError(413, f"the body has more than {MAX_VALUES} values; send fewer tasks at once")
        for bracket in between.translate(None, NO_BRACKETS):
            self._depth += 1 if bracket in b"[{" else -1
            if self._depth > MAX_DEPTH:
                raise BodyError(400, f"the JSON is nested deeper than {MAX_DEPTH} levels")
            if self._depth < 0:
                raise BodyError(400, "the body is not JSON: it closes a bracket that it does not open")

    def _scan_string(self, piece: bytes, start: int) -> int:
        end = _end_of_string(piece, start)
        self._keep(piece[start:end])
        if end == len(piece):
            return end
        if piece[end : end + 1] == b"\\":
            self._escape = piece[end:]
            return len(piece)
        self._in_string = False
        if self._long_parts is not None:
            self._end_long()
        self._kept += b'"'
        return end + 1

    def _keep(self, text: bytes) -> None:
        """Add to the string that is being read, which becomes a long one when it may and has to."""
        if self._long_parts is not None:
            self._long_parts.append(_read_base64(text))
            self._long_bytes += len(text)
            return
        self._kept += text
        length = len(self._kept) - self._string_start - 1
        if length <= LONG_STRING or not self._may_be_long:
            return
        self._long_parts = [_read_base64(bytes(self._kept[self._string_start + 1 :]))]
        self._long_bytes += length
        del self._kept[self._string_start + 1 :]

    def _end_long(self) -> None:
        assert self._long_parts is not None
        name = secrets.token_hex(16)
        self.long_strings[name] = "".join(self._long_parts)
        self._kept += name.encode()
        self._long_parts = None


def _end_of_string(piece: bytes, start: int) -> int:
    """Where a string stops: at its quote, at the end of the piece, or at a backslash there."""
    if piece.find(b"\\", start) < 0:  # as in base64; much faster than the pattern
        end = piece.find(b'"', start)
        return len(piece) if end < 0 else end
    match = _IN_STRING.match(piece, start)
    assert match is not None  # it matches nothing, too
    return match.end()


def _read_base64(piece: bytes) -> str:
    """A piece of a long string, in which only escapes of whole ASCII characters stand. Raises BodyError."""
    if b"\\u" not in piece and piece.isascii():
        try:
            return json.loads(b'"' + piece + b'"')
        except ValueError as error:
            raise BodyError(400, f"the body is not JSON: {error}") from error
    raise BodyError(400, f"a recording of more than {LONG_STRING} bytes holds characters that base64 does not have")
