"""Splices new music into a source so that all other samples stay the source's own."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from .. import parameters
from .timeline import EditTimeline, merge_spans
from .waveform import as_float32


def place_on_timeline(source: Tensor, timeline: EditTimeline) -> Tensor:
    """The source ``[b c m]`` on the new timeline ``[b c total]``, with silence in the prepended and appended parts.

    A detached float32 copy on the CPU, at 48 kHz like the source. Raises ValueError unless the source has the length
    that the timeline was made for.
    """
    source = as_float32(source)
    _require(_length_problems(source, timeline))
    return _pad(source, timeline, source.shape[0], source.shape[1])


def splice(new: Tensor, source: Tensor, timeline: EditTimeline, crossfade: float) -> Tensor:
    """The song ``[b c total]``: ``new`` inside the timeline's regions, the source outside, both at 48 kHz.

    new: ``[b c n]`` on the new timeline; samples beyond the total are dropped. source: ``[b|1 c|1 m]``, one for all
    items or one each; mono goes to all channels. crossfade: seconds outside each border of a region. Inside the regions
    the samples are those of ``new``, beyond the crossfades those of the source, bit for bit. A crossfade is linear with
    equal gain, since both sides carry the same music there. It ends at the next region or at the end of the song; where
    two overlap, the larger share of ``new`` counts, so the slope is the same everywhere.

    Returns a detached float32 tensor on the CPU; the inputs are not modified. Raises ValueError that lists every
    mismatch: ``new`` too short, other lengths, channels or batches, an invalid crossfade.
    """
    new, source = as_float32(new), as_float32(source)
    _require(_fit_problems(new, source, timeline, crossfade))
    song = _pad(source, timeline, new.shape[0], new.shape[1])
    for start, end in timeline.spans:
        song[..., start:end] = new[..., start:end]
    for start, end, weights in _crossfades(timeline, round(crossfade * parameters.SAMPLE_RATE)):
        song[..., start:end].lerp_(new[..., start:end], weights)
    return song


def _crossfades(timeline: EditTimeline, fade: int) -> Iterator[tuple[int, int, Tensor]]:
    """Start and end of each crossfade, and the weights of the new music in it, ``[n]`` between 0 and 1.

    Samples of weight 0 are left out, so that they are not recomputed. fade: in samples.
    """
    ends = [0, *(end for _, end in timeline.spans)]
    starts = [*(start for start, _ in timeline.spans), timeline.total]
    for first, last in zip(ends, starts, strict=True):
        # The start and end of the song are not borders of a region.
        fade_out = fade if first > 0 else 0
        fade_in = fade if last < timeline.total else 0
        after_region, before_region = (first, min(first + fade_out, last)), (max(last - fade_in, first), last)
        for start, end in merge_spans(span for span in (after_region, before_region) if span[0] < span[1]):
            index = torch.arange(start, end, dtype=torch.float64)
            # In steps of the slope: fade beside the region, 1 at the far end.
            height = torch.maximum(fade_out - (index - first), fade_in - (last - 1 - index))
            yield start, end, (height / (fade + 1)).float()


def _pad(source: Tensor, timeline: EditTimeline, batch: int, channels: int) -> Tensor:
    """The source on the timeline, repeated for the batch and the channels."""
    song = torch.zeros(batch, channels, timeline.total)
    song[..., timeline.left : timeline.left + timeline.source] = source
    return song


def _fit_problems(new: Tensor, source: Tensor, timeline: EditTimeline, crossfade: float) -> list[str]:
    problems = _length_problems(source, timeline)
    if new.shape[2] < timeline.total:
        problems.append(f"the new music has {new.shape[2]} samples, the song needs {timeline.total}")
    if source.shape[0] not in (1, new.shape[0]):
        problems.append(f"{source.shape[0]} sources for {new.shape[0]} songs: give one, or one for each")
    if source.shape[1] not in (1, new.shape[1]):
        problems.append(
            f"the source has {source.shape[1]} channels, the new music {new.shape[1]}: give mono or the same number"
        )
    max_seconds = parameters.get("duration").maximum
    assert max_seconds is not None
    if not 0 <= crossfade <= max_seconds:
        problems.append(f"the crossfade is {crossfade} seconds, allowed 0 (a hard cut) to {max_seconds:g}")
    return problems


def _length_problems(source: Tensor, timeline: EditTimeline) -> list[str]:
    if source.shape[2] == timeline.source:
        return []
    return [f"the source has {source.shape[2]} samples, the timeline was made for {timeline.source}"]


def _require(problems: list[str]) -> None:
    if problems:
        raise ValueError(f"cannot splice: {'; '.join(problems)}")
