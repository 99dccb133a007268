"""Which parts of a source are made anew: regions in text or in a mask, and their place on the new song's timeline."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby

from .. import parameters

# As a Span's start or end: where the source ends, of which text and widgets do not know the length.
END = math.inf
WORDS = {"start": 0.0, "end": END}

# The hosted model's range for the start of a region.
LONGEST_PREPEND = 300.0  # seconds

DASHES = str.maketrans(dict.fromkeys("‐‑‒–—―−﹘﹣－", "-"))
SEPARATOR = re.compile(r"\s*[,;]\s*|\s*[\r\n]\s*")
REGION = re.compile(r"([-+]?[^-]+)-(.*)", re.DOTALL)
TIME = re.compile(r"([-+]?)\s*(?:(\d+)\s*:\s*(?=[0-5]\d(?!\d)))?(\d+\.?\d*|\.\d+)", re.ASCII)


@dataclass(frozen=True)
class Span:
    """A region in seconds of the source's own time; a negative start prepends, an end beyond the source appends.

    END as either bound is the source's end. Raises ValueError unless the bounds are numbers and end is after start.
    """

    start: float
    end: float

    def __post_init__(self) -> None:
        bad = [f"{name} {value}" for name, value in (("start", self.start), ("end", self.end)) if not value > -math.inf]
        if bad:
            raise ValueError(f"the region's {' and '.join(bad)}: must be a number of seconds")
        # A region from END on can only be judged once the source is known.
        if self.start != END and not self.end > self.start:
            raise ValueError(f"the region {self} must end after its start")

    def __str__(self) -> str:
        return " to ".join("end" if bound == END else f"{bound:.12g} s" for bound in (self.start, self.end))


@dataclass(frozen=True)
class EditTimeline:
    """A new song around a source, in samples at 48 kHz: ``left`` prepended, the ``source``, ``right`` appended.

    spans: what is made anew as (start, end) on the new timeline, in order and apart from each other. The prepended and
    the appended part lie inside them.
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
        """Latent frames that hold the whole song; the last one may reach beyond its end."""
        return -(-self.total // parameters.FRAME_SAMPLES)

    @property
    def frame_spans(self) -> tuple[tuple[int, int], ...]:
        """The regions in latent frames: every frame that holds a sample of a region.

        The official inference code rounds the end down as well, which leaves up to 1919 samples of a region to frames
        that are held at the source. Here the waveform is spliced at exact samples, so all of them must be new.
        """
        return merged(
            (start // parameters.FRAME_SAMPLES, -(-end // parameters.FRAME_SAMPLES)) for start, end in self.spans
        )


def parse_regions(text: str) -> tuple[Span, ...]:
    """Read regions such as ``12.5-18, 1:05-1:20.5, -8-0, 40-end``, in the order written; ``plan`` merges them.

    A time is seconds, minutes:seconds with two digits of whole seconds, ``start`` (0) or ``end`` (the source's end).
    Commas, semicolons and line breaks separate regions; any dash will do, and spaces may stand around all of them.
    Raises ValueError that names everything that is wrong with its position (counted from 1) and text.
    """
    spans, problems = list[Span](), list[str]()
    for position, piece in _pieces(text):
        found = _span(piece)
        if isinstance(found, Span):
            spans.append(found)
        else:
            problems += [f"at character {position + 1}, {piece!r}: {problem}" for problem in found]
    if problems:
        raise ValueError(
            f"cannot read the regions: {'; '.join(problems)}. Write start-end in seconds or minutes:seconds with a "
            "decimal point, separated by commas, such as 12.5-18, 1:05-1:20.5, -8-0, 40-end"
        )
    return tuple(spans)


def mask_spans(mask: Sequence[float], seconds: float) -> tuple[Span, ...]:
    """The regions where a mask is 0.5 or more; its columns are spread evenly over a source of ``seconds``.

    Empty where no column is. Raises ValueError for a mask without columns or with NaN, and a length that is none.
    """
    problems = []
    if len(mask) == 0:
        problems.append("it has no columns")
    if bad := sum(math.isnan(value) for value in mask):
        problems.append(f"{bad} of its {len(mask)} columns are NaN; allowed 0 (keep) to 1 (make anew)")
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


def plan(source_samples: int, spans: Sequence[Span], *, whole_frames: bool) -> EditTimeline:
    """Lay regions of a source of ``source_samples`` at 48 kHz out on the timeline of the new song.

    Bounds are rounded to the nearest sample; regions that overlap or touch become one. All of the prepended and the
    appended part is made anew: a region that stops before the source begins, or starts after it ends, is extended to
    it, because nothing else could fill the gap. whole_frames: the source is latents, which cannot move by a part of a
    frame, so the prepended part is made longer, to a whole number of frames.
    Raises ValueError that lists everything wrong: no region, one that is empty on this source, and a song that starts
    too early or is too short or too long.
    """
    problems = list[str]()
    if source_samples < 1:
        problems.append("the source has no samples")
    if not spans:
        problems.append("there is no region: give at least one, or a mask that reaches 0.5 somewhere")
    bounds = list[tuple[int, int]]()
    for span in spans:
        found = _bounds(span, source_samples)
        if isinstance(found, str):
            problems.append(found)
        else:
            bounds.append(found)
    left = max([0, *(-start for start, _ in bounds)])
    if whole_frames:
        left = -(-left // parameters.FRAME_SAMPLES) * parameters.FRAME_SAMPLES
    right = max([0, *(end - source_samples for _, end in bounds)])
    if problem := _length_problem(left, source_samples, right):
        problems.append(problem)
    if problems:
        raise ValueError(f"cannot make these regions anew: {'; '.join(problems)}")
    extensions = [(-left, 0), (source_samples, source_samples + right)]
    regions = merged(bounds + [part for part in extensions if part[0] < part[1]])
    return EditTimeline(left, source_samples, right, tuple((start + left, end + left) for start, end in regions))


def merged(spans: Iterable[tuple[int, int]]) -> tuple[tuple[int, int], ...]:
    """The same (start, end) in order, with those that overlap or touch made one."""
    result = list[tuple[int, int]]()
    for start, end in sorted(spans):
        if result and start <= result[-1][1]:
            result[-1] = (result[-1][0], max(end, result[-1][1]))
        else:
            result.append((start, end))
    return tuple(result)


def _pieces(text: str) -> list[tuple[int, str]]:
    """What stands between the separators, each with its index in the text."""
    first, last = len(text) - len(text.lstrip()), len(text.rstrip())
    if first >= last:
        return [(0, "")]
    breaks = list(SEPARATOR.finditer(text, first, last))
    starts = [first, *(gap.end() for gap in breaks)]
    ends = [*(gap.start() for gap in breaks), last]
    return [(start, text[start:end]) for start, end in zip(starts, ends, strict=True)]


def _span(piece: str) -> Span | list[str]:
    """One region, or all that is wrong with it."""
    if not piece:
        return ["a region is missing"]
    match = REGION.fullmatch(piece.translate(DASHES))
    if match is None:
        return ["there is no dash between a start and an end"]
    start, end = (_time(bound.strip()) for bound in match.groups())
    problems = [
        f"{text.strip()!r} is no time" if text.strip() else f"the {name} is missing"
        for name, text, value in zip(("start", "end"), match.groups(), (start, end), strict=True)
        if value is None
    ]
    if start is None or end is None:
        return problems
    try:
        return Span(start, end)
    except ValueError as error:
        return [str(error)]


def _time(text: str) -> float | None:
    """Seconds of one time; None for what is none."""
    if text.lower() in WORDS:
        return WORDS[text.lower()]
    match = TIME.fullmatch(text)
    if match is None:
        return None
    sign, minutes, seconds = match.groups()
    value = float(minutes or 0) * 60 + float(seconds)
    # Enough digits become infinite, which stands for the source's end.
    if math.isinf(value):
        return None
    return -value if sign == "-" else value


def _bounds(span: Span, source_samples: int) -> tuple[int, int] | str:
    """Start and end of a region in samples of the source, or what is wrong with it."""
    longest = parameters.get("duration").maximum
    assert longest is not None
    if span.start < -LONGEST_PREPEND:
        return f"region {span} starts too early; allowed is {-LONGEST_PREPEND:g} s or later"
    if any(longest < bound < END for bound in (span.start, span.end)):
        return f"region {span} lies beyond {longest:g} s, the longest song"
    start, end = (
        source_samples if bound == END else round(bound * parameters.SAMPLE_RATE) for bound in (span.start, span.end)
    )
    if end > start:
        return start, end
    if END in (span.start, span.end):
        return f"region {span} is empty: the source ends at {_seconds(source_samples)}"
    return f"region {span} is shorter than one sample"


def _length_problem(left: int, source: int, right: int) -> str:
    """What keeps the parts, in samples, from being one song, in words; empty if nothing does."""
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
