"""Put new music into a source so that every other sample stays the source's own."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from .. import parameters
from .timeline import EditTimeline, merged
from .waveform import as_float32


def place(source: Tensor, plan: EditTimeline) -> Tensor:
    """The source ``[b c m]`` on the new timeline ``[b c total]``, silence where something is prepended or appended.

    A detached float32 copy on the CPU, at 48 kHz as the source. Raises ValueError for a length that is not the plan's.
    """
    source = as_float32(source)
    _require(_length_problems(source, plan))
    return _placed(source, plan, source.shape[0], source.shape[1])


def splice(new: Tensor, source: Tensor, plan: EditTimeline, crossfade: float) -> Tensor:
    """The song ``[b c total]``: ``new`` inside the plan's regions, the source outside, both at 48 kHz.

    new: ``[b c n]`` on the new timeline; what goes beyond the total is cut off. source: ``[b|1 c|1 m]``, one for all
    items or one each; mono goes to all channels. crossfade: seconds outside each border of a region over which one goes
    into the other. Inside the regions the samples are those of ``new``, beyond the crossfades those of the source, bit
    for bit. A crossfade is linear with equal gain, since both sides carry the same music there. It stops at the next
    region or at the end of the song; where two of them meet between regions, the larger share of ``new`` counts, so
    that the slope is the same everywhere.

    Returns a detached float32 tensor on the CPU; the inputs stay untouched. Raises ValueError that lists everything
    that does not fit: ``new`` too short, lengths, channels and batches that differ, a crossfade that is no length.
    """
    new, source = as_float32(new), as_float32(source)
    _require(_fit_problems(new, source, plan, crossfade))
    song = _placed(source, plan, new.shape[0], new.shape[1])
    for start, end in plan.spans:
        song[..., start:end] = new[..., start:end]
    for start, end, share in _slopes(plan, round(crossfade * parameters.SAMPLE_RATE)):
        song[..., start:end].lerp_(new[..., start:end], share)
    return song


def _slopes(plan: EditTimeline, fade: int) -> Iterator[tuple[int, int, Tensor]]:
    """Start and end of each crossfade, and the share of the new music in it, ``[n]`` between 0 and 1.

    Only samples with a share above 0 are inside, so that no other sample goes through arithmetic.
    """
    ends = [0, *(end for _, end in plan.spans)]
    starts = [*(start for start, _ in plan.spans), plan.total]
    for first, last in zip(ends, starts, strict=True):
        # The song's own start and end are no borders of a region.
        reach_after, reach_before = fade if first > 0 else 0, fade if last < plan.total else 0
        after, before = (first, min(first + reach_after, last)), (max(last - reach_before, first), last)
        for start, end in merged(slope for slope in (after, before) if slope[0] < slope[1]):
            at = torch.arange(start, end, dtype=torch.float64)
            # Counted in samples of the slope: fade beside the region, 1 at the far end.
            height = torch.maximum(reach_after - (at - first), reach_before - (last - 1 - at))
            yield start, end, (height / (fade + 1)).float()


def _placed(source: Tensor, plan: EditTimeline, batch: int, channels: int) -> Tensor:
    """``place`` of one source, or one channel, for as many as asked for."""
    song = torch.zeros(batch, channels, plan.total)
    song[..., plan.left : plan.left + plan.source] = source
    return song


def _fit_problems(new: Tensor, source: Tensor, plan: EditTimeline, crossfade: float) -> list[str]:
    problems = _length_problems(source, plan)
    if new.shape[2] < plan.total:
        problems.append(f"the new music has {new.shape[2]} samples, the song needs {plan.total}")
    if source.shape[0] not in (1, new.shape[0]):
        problems.append(f"{source.shape[0]} sources for {new.shape[0]} songs: give one, or one for each")
    if source.shape[1] not in (1, new.shape[1]):
        problems.append(
            f"the source has {source.shape[1]} channels, the new music {new.shape[1]}: give mono or the same number"
        )
    longest = parameters.get("duration").maximum
    assert longest is not None
    if not 0 <= crossfade <= longest:
        problems.append(f"the crossfade is {crossfade} seconds, allowed 0 (a hard cut) to {longest:g}")
    return problems


def _length_problems(source: Tensor, plan: EditTimeline) -> list[str]:
    if source.shape[2] == plan.source:
        return []
    return [f"the source has {source.shape[2]} samples, the plan was made for {plan.source}"]


def _require(problems: list[str]) -> None:
    if problems:
        raise ValueError(f"cannot splice: {'; '.join(problems)}")
