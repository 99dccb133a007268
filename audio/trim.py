"""A part of a recording, from a start to an end in seconds; an end of 0 is that of the recording."""

from __future__ import annotations

from torch import Tensor

# A player and a decoder may disagree this much about the length of a compressed file, in seconds.
TOLERANCE = 0.1


def problems(start: float, end: float, seconds: float | None = None) -> list[str]:
    """What is wrong with a part, in words. seconds: length of the recording, None while it is unknown."""
    if end != 0 and not end > start:
        return [f"end is {end:g} s and start is {start:g} s: set end after start, or to 0 for the end of the recording"]
    if seconds is None:
        return []
    length = f"the recording is {seconds:.2f} s long"
    found = []
    if start >= seconds:
        found.append(f"start is {start:g} s, but {length}: set it below that")
    if end > seconds + TOLERANCE:
        found.append(f"end is {end:g} s, but {length}: set it to at most that, or to 0 for its end")
    return found


def trim(waveform: Tensor, sample_rate: int, start: float, end: float) -> Tensor:
    """The samples ``[... n]`` of a part. Raises ValueError for one that the recording does not have."""
    if found := problems(start, end, waveform.shape[-1] / sample_rate):
        raise ValueError("; ".join(found))
    first = min(round(start * sample_rate), waveform.shape[-1] - 1)
    last = round(end * sample_rate) if end else waveform.shape[-1]
    return waveform[..., first : max(last, first + 1)]
