"""Warnings about regions that are probably not where they were meant to be."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ...audio.timeline import END, Span

# Seconds between a region and the source that need no word: the region is extended over them.
SMALL_GAP = 1.0


@dataclass(frozen=True)
class SourceRegions:
    """Regions on the source's own time, and the source's length in seconds."""

    spans: Sequence[Span]
    seconds: float


def gap(regions: SourceRegions) -> str | None:
    """A region that does not touch its source; what lies between is made too."""
    messages = [_gap_of(span, regions.seconds) for span in regions.spans]
    return "; ".join(filter(None, messages)) or None


def _gap_of(span: Span, seconds: float) -> str:
    if END > span.start > seconds + SMALL_GAP:
        return (
            f"the region {span} starts {span.start - seconds:.4g} s after the source, which ends at {seconds:.4g} s: "
            f"everything from {seconds:.4g} s on is made anew. Choose a region within the source, or start it at end "
            "to extend the song"
        )
    if span.end < -SMALL_GAP:
        return (
            f"the region {span} ends {-span.end:.4g} s before the source starts: everything up to 0 s is made anew. "
            "End it at 0 to add music before the source"
        )
    return ""
