"""Parses regions that a user typed."""

from __future__ import annotations

import math
import re

from .timeline import END, Span

KEYWORDS = {"start": 0.0, "end": END}
DASHES = str.maketrans(dict.fromkeys("‐‑‒–—―−﹘﹣－", "-"))
SEPARATOR = re.compile(r"\s*[,;]\s*|\s*[\r\n]\s*")
REGION = re.compile(r"([-+]?[^-]+)-(.*)", re.DOTALL)
TIME = re.compile(r"([-+]?)\s*(?:(\d+)\s*:\s*(?=[0-5]\d(?!\d)))?(\d+\.?\d*|\.\d+)", re.ASCII)


def parse_regions(text: str) -> tuple[Span, ...]:
    """Parse regions such as ``12.5-18, 1:05-1:20.5, -8-0, 40-end``, in the order written; they may overlap.

    A time is seconds, minutes:seconds with two digits of whole seconds, ``start`` (0) or ``end`` (the source's end).
    Commas, semicolons and line breaks separate regions; any kind of dash is accepted, with spaces around it.
    Raises ValueError that lists every problem with its position (counted from 1) and text.
    """
    spans, problems = list[Span](), list[str]()
    for position, piece in _split(text):
        result = _parse_span(piece)
        if isinstance(result, Span):
            spans.append(result)
        else:
            problems += [f"at character {position + 1}, {piece!r}: {problem}" for problem in result]
    if problems:
        raise ValueError(
            f"cannot read the regions: {'; '.join(problems)}. Write start-end in seconds or minutes:seconds with a "
            "decimal point, separated by commas, such as 12.5-18, 1:05-1:20.5, -8-0, 40-end"
        )
    return tuple(spans)


def _split(text: str) -> list[tuple[int, str]]:
    """The pieces between the separators, each with its index in the text."""
    first, last = len(text) - len(text.lstrip()), len(text.rstrip())
    if first >= last:
        return [(0, "")]
    separators = list(SEPARATOR.finditer(text, first, last))
    starts = [first, *(match.end() for match in separators)]
    ends = [*(match.start() for match in separators), last]
    return [(start, text[start:end]) for start, end in zip(starts, ends, strict=True)]


def _parse_span(piece: str) -> Span | list[str]:
    """One region, or all its problems."""
    if not piece:
        return ["a region is missing"]
    match = REGION.fullmatch(piece.translate(DASHES))
    if match is None:
        return ["there is no dash between a start and an end"]
    start, end = (_parse_time(bound.strip()) for bound in match.groups())
    problems = [
        f"{text.strip()!r} is not a time" if text.strip() else f"the {name} is missing"
        for name, text, value in zip(("start", "end"), match.groups(), (start, end), strict=True)
        if value is None
    ]
    if start is None or end is None:
        return problems
    try:
        return Span(start, end)
    except ValueError as error:
        return [str(error)]


def _parse_time(text: str) -> float | None:
    """A time in seconds, None if it is not one."""
    if text.lower() in KEYWORDS:
        return KEYWORDS[text.lower()]
    match = TIME.fullmatch(text)
    if match is None:
        return None
    sign, minutes, seconds = match.groups()
    value = float(minutes or 0) * 60 + float(seconds)
    # Too many digits become infinity, which would mean the source's end.
    if math.isinf(value):
        return None
    return -value if sign == "-" else value
