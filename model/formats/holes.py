"""Finds space inside matrices that a resumed download never filled, and leaves pruned and padded weights alone."""

from __future__ import annotations

from collections.abc import Iterator
from io import RawIOBase
from math import ceil, log, prod
from pathlib import Path
from typing import NamedTuple

import torch

from .tensors import Entry

SHORTEST = 4096  # bytes of zeros: a page, the least that a file system or a downloader leaves out
PROBE = 256  # bytes
CHUNK = 16384  # bytes read at once to see where zeros end
MOST_PROBES = 2**14  # per file; 1 MiB, the part of common downloaders, is found in every file of up to 16 GiB
FEW = 0.5  # share of zeros around a hole; where there are more, the matrix is sparse and says nothing
LEAST_SHARE = 1e-3  # of zeros that is assumed, as few values are looked at
CHANCE = 1e-9  # that the zeros beside pruned rows are accidental, up to which a cut counts as one


class Hole(NamedTuple):
    """A run of zeros in a tensor. start, end: bytes in the file, end exclusive."""

    entry: Entry
    start: int
    end: int


def find_holes(path: Path, entries: list[Entry]) -> list[Hole]:
    """The first hole of each of a file's matrices that has one. Reads up to 4 MiB, spread over the file.

    Pruning and padding zero whole rows and columns. A hole is told from them by where it starts or ends: in the middle
    of a row, while its neighbours have values in these columns.
    """
    total = sum(entry.span[1] - entry.span[0] for entry in entries)
    with path.open("rb", buffering=0) as file:
        reader = _Reader(file)
        holes = (_first_hole(reader, entry, max(SHORTEST, total // MOST_PROBES)) for entry in entries)
        return [hole for hole in holes if hole is not None]


class _Reader:
    """Reads a file's bytes by their place in it."""

    def __init__(self, file: RawIOBase) -> None:
        self._file = file

    def read(self, start: int, end: int) -> bytes:
        self._file.seek(start)
        return self._file.read(end - start) or b""

    def zeros_before(self, position: int, limit: int) -> int:
        """Where the zeros that end at a position start, not before the limit."""
        while position > limit:
            chunk = self.read(max(limit, position - CHUNK), position)
            rest = chunk.rstrip(b"\0")
            position -= len(chunk) - len(rest)
            if rest:
                break
        return position

    def zeros_after(self, position: int, limit: int) -> int:
        """Where the zeros that start at a position end, not after the limit."""
        while position < limit:
            chunk = self.read(position, min(limit, position + CHUNK))
            rest = chunk.lstrip(b"\0")
            position += len(chunk) - len(rest)
            if rest:
                break
        return position

    def share_of_zeros(self, start: int, end: int, item: int) -> float:
        """How many of the values of `item` bytes are zero."""
        content = bytearray(self.read(start, _down(end - start, item) + start))
        if not content:
            return 0.0
        values = torch.frombuffer(content, dtype=torch.uint8).view(-1, item)
        return 1 - values.any(1).float().mean().item()


def _first_hole(reader: _Reader, entry: Entry, stride: int) -> Hole | None:
    for start, end in _zero_runs(reader, entry, stride):
        if end - start >= SHORTEST and _is_hole(reader, entry, start, end):
            return Hole(entry, start, end)
    return None


def _zero_runs(reader: _Reader, entry: Entry, stride: int) -> Iterator[tuple[int, int]]:
    """Runs of zeros, as bytes of the file, that contain one of the places looked at."""
    first, last = entry.span
    position = first
    while position + PROBE <= last:
        end = position
        if not any(reader.read(position, position + PROBE)):
            start, end = reader.zeros_before(position, first), reader.zeros_after(position, last)
            yield start, end
        position += stride * max(1, _up(end - position, stride) // stride)


def _is_hole(reader: _Reader, entry: Entry, start: int, end: int) -> bool:
    first, last = entry.span
    row = (last - first) // entry.shape[0]
    item = max(1, row // prod(entry.shape[1:]))
    # From here on relative to the tensor, in whole values: the last bytes of a value may be zero although it is not.
    start, end = _up(start - first, item), _down(end - first, item)
    if _up(start, row) + row > end:
        return False
    around = (first + max(0, start - SHORTEST), first + start), (first + end, min(last, first + end + SHORTEST))
    zeros = max(reader.share_of_zeros(*span, item) for span in around)
    least = ceil(log(CHANCE) / log(max(zeros, LEAST_SHARE))) * item if zeros <= FEW else 0
    return least > 0 and _cuts_a_row(reader, entry, start, end, least)


def _cuts_a_row(reader: _Reader, entry: Entry, start: int, end: int, least: int) -> bool:
    """Whether a run starts or ends inside a row, `least` bytes from its ends, where the next row has values."""
    first, rows = entry.span[0], entry.shape[0]
    row = (entry.span[1] - first) // rows
    above, below = start // row - 1, end // row + 1
    cuts = ((above, below, start % row, row), (below, above, 0, end % row))
    for near, far, left, right in cuts:
        others = [index for index in (near, far) if 0 <= index < rows]
        if others and right - left >= least and row - (right - left) >= least:
            reference = first + row * others[0]
            if any(reader.read(reference + left, reference + right)):
                return True
    return False


def _up(value: int, unit: int) -> int:
    return -(-value // unit) * unit


def _down(value: int, unit: int) -> int:
    return value // unit * unit
