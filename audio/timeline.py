"""The regions of a source that are regenerated, and the timeline of the new song."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby

from .. import parameters

# A Span's bound at the end of the source, whose length text and widgets do not know.
END = math.inf

# The hosted model's range for the start of a region.
MAX_PREPEND = 300.0  # seconds


@dataclass(frozen=True)
class Span:
    """A region in seconds of the source's own time; a negative start prepends, an end beyond the source appends.

    END as either bound is the source's end. Raises ValueError unless both bounds are numbers and end is after start.
    """

    start: float
    end: float

    def __post_init__(self) -> None:
        bounds = (("start", self.start), ("end", self.end))
        problems = [f"{name} {value}" for name, value in bounds if not value > -math.inf]
        if problems:
            raise ValueError(f"the region's {' and '.join(problems)}: must be a number of seconds")
        # Whether a region from END on is empty depends on the source.
        if self.start != END and not self.end > self.start:
            raise ValueError(f"the region {self} must end after its start")

    def __str__(self) -> str:
        return " to ".join("end" if bound == END else f"{bound:.12g} s" for bound in (self.start, self.end))


@dataclass(frozen=True)
class EditTimeline:
    """A new song around a source, in samples at 48 kHz: ``left`` prepended, the ``source``, ``right`` appended.

    spans: the regenerated regions as (start, end) on the new timeline, in order and disjoint. They include the
    prepended and the appended part.
    """

    left: int
    source: int
    right: int
    spans: tuple[tuple[int, int], ...]

    @property
    def total(self) -> int:
        """Length of the new song in samples."""
        return self.left + self.source + self.right

    @property
    def frames(self) -> int:
        """Latent frames that hold the song; the last one may extend beyond its end."""
        return -(-self.total // parameters.FRAME_SAMPLES)

    @property
    def frame_spans(self) -> tuple[tuple[int, int], ...]:
        """The regions in latent frames: every frame that contains a sample of a region.

        The official inference code also rounds the end down, which leaves up to 1919 samples of a region in frames that
        keep the source. Here the waveform is spliced at exact samples, so all of their frames must be new.
        """
        return merge_spans(
            (start // parameters.FRAME_SAMPLES, -(-end // parameters.FRAME_SAMPLES)) for start, end in self.spans
        )


def mask_spans(mask: Sequence[float], seconds: float) -> tuple[Span, ...]:
    """The regions where a mask is 0.5 or more; its columns are spread evenly over a source of ``seconds``.

    Empty if there are none. Raises ValueError for a mask without columns or with NaN, and for an invalid length.
    """
    problems = []
    if len(mask) == 0:
        problems.append("it has no columns")
    if nan_count := sum(math.isnan(value) for value in mask):
        problems.append(f"{nan_count} of its {len(mask)} columns are NaN; allowed 0 (keep) to 1 (regenerate)")
    if not 0 < seconds < math.inf:
        problems.append(f"the source is {seconds} seconds long; it must be longer than 0")
    if problems:
        raise ValueError(f"cannot read regions from the mask: {'; '.join(problems)}")
    spans = []
    for inside, run in groupby(range(len(mask)), key=lambda column: mask[column] >= 0.5):
        if inside:
            columns = list(run)
            start, end = columns[0] / len(mask), (columns[-1] + 1) / len(mask)
            # A length in seconds may be off by a sample, which would be kept at the end or appended to it.
            spans.append(Span(seconds * start, seconds * end if end < 1 else END))
    return tuple(spans)


def make_timeline(source_samples: int, spans: Sequence[Span], *, whole_frames: bool) -> EditTimeline:
    """The timeline of a new song that regenerates ``spans`` of a source of ``source_samples`` at 48 kHz.

    Bounds are rounded to the nearest sample; regions that overlap or touch are merged. The prepended and the appended
    part are always regenerated: a region that ends before the source begins, or starts after it ends, is extended to
    it, since nothing else could fill the gap. whole_frames: the source is latents, which only move by entire frames, so
    the prepended part is extended to a whole number of them.
    Raises ValueError that lists every problem: no region, one that is empty on this source, a song that starts too
    early or is too short or too long.
    """
    problems = list[str]()
    if source_samples < 1:
        problems.append("the source has no samples")
    if not spans:
        problems.append("there is no region: give at least one, or a mask that reaches 0.5 somewhere")
    bounds = list[tuple[int, int]]()
    for span in spans:
        result = _sample_bounds(span, source_samples)
        if isinstance(result, str):
            problems.append(result)
        else:
            bounds.append(result)
    left = max([0, *(-start for start, _ in bounds)])
    if whole_frames:
        left = -(-left // parameters.FRAME_SAMPLES) * parameters.FRAME_SAMPLES
    right = max([0, *(end - source_samples for _, end in bounds)])
    if problem := _length_problem(left, source_samples, right):
        problems.append(problem)
    if problems:
        raise ValueError(f"cannot regenerate these regions: {'; '.join(problems)}")
    extensions = [(-left, 0), (source_samples, source_samples + right)]
    regions = merge_spans(bounds + [span for span in extensions if span[0] < span[1]])
    return EditTimeline(left, source_samples, right, tuple((start + left, end + left) for start, end in regions))


def merge_spans(spans: Iterable[tuple[int, int]]) -> tuple[tuple[int, int], ...]:
    """The (start, end) pairs in order, with those that overlap or touch merged."""
    result = list[tuple[int, int]]()
    for start, end in sorted(spans):
        if result and start <= result[-1][1]:
            result[-1] = (result[-1][0], max(end, result[-1][1]))
        else:
            result.append((start, end))
    return tuple(result)


def _sample_bounds(span: Span, source_samples: int) -> tuple[int, int] | str:
    """Start and end of a region in samples of the source, or its problem."""
    max_seconds = parameters.get("duration").maximum
    assert max_seconds is not None
    if span.start < -MAX_PREPEND:
        return f"region {span} starts too early; allowed is {-MAX_PREPEND:g} s or later"
    if any(max_seconds < bound < END for bound in (span.start, span.end)):
        return f"region {span} lies beyond {max_seconds:g} s, the longest song"
    start, end = (
        source_samples if bound == END else round(bound * parameters.SAMPLE_RATE) for bound in (span.start, span.end)
    )
    if end > start:
        return start, end
    if END in (span.start, span.end):
        return f"region {span} is empty: the source ends at {_seconds(source_samples)}"
    return f"region {span} is shorter than one sample"


def _length_problem(left: int, source: int, right: int) -> str:
    """Why the parts, in samples, have no valid total length; empty if they do."""
    limits = parameters.get("duration")
    assert limits.minimum is not None and limits.maximum is not None
    total = left + source + right
    if limits.minimum * parameters.SAMPLE_RATE <= total <= limits.maximum * parameters.SAMPLE_RATE:
        return ""
    return (
        f"the song would be {_seconds(total)} long ({_seconds(left)} before the source, {_seconds(source)} of it, "
        f"{_seconds(right)} after it); allowed are {limits.minimum:g} to {limits.maximum:g} s"
    )


def _seconds(samples: int) -> str:
    return f"{samples / parameters.SAMPLE_RATE:.6g} s"
