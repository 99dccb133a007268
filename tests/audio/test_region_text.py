"""Parsing regions that users type."""

from __future__ import annotations

import math
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from acestep_xl.audio.region_text import parse_regions
from acestep_xl.audio.timeline import END, Span


@pytest.mark.parametrize(
    ("text", "spans"),
    [
        ("12.5-18, 40-44", [(12.5, 18), (40, 44)]),
        ("-8-0", [(-8, 0)]),
        ("-8--3", [(-8, -3)]),
        ("55-70", [(55, 70)]),
        ("+1-+2", [(1, 2)]),
        ("1:05-1:20.5", [(65, 80.5)]),
        ("-0:08.5-0:00", [(-8.5, 0)]),
        ("10:00-12:34", [(600, 754)]),
        (".5-1.", [(0.5, 1)]),
        ("40-end", [(40, END)]),
        ("END-70", [(END, 70)]),
        ("start-End", [(0, END)]),
        ("5-6;7-8\n9-10\r\n11-12,\n13-14", [(5, 6), (7, 8), (9, 10), (11, 12), (13, 14)]),
        (" \n - 8 -  - 3 ;\t1 : 05 - 1:06 \n", [(-8, -3), (65, 66)]),
        ("40-44, 12-18, 13-41", [(40, 44), (12, 18), (13, 41)]),
    ],
)
def test_valid_text(text, spans):
    assert parse_regions(text) == tuple(Span(*span) for span in spans)


@pytest.mark.parametrize("dash", "‐‑‒–—―−﹘﹣－")
def test_every_kind_of_dash(dash):
    assert parse_regions(f"{dash}8{dash}{dash}3, 1{dash}2") == (Span(-8, -3), Span(1, 2))


def test_every_problem_is_reported_with_its_position_and_text():
    text = "5-3, nan-inf;12-18\n\n7,,-8; 12-, 1e3-4, 1:5-1:60, 12 13-20, " + "9" * 400 + "-3, 4-4"
    with pytest.raises(ValueError) as error:
        parse_regions(text)
    expected = [
        ("5-3", "end after its start"),
        ("nan-inf", "'nan' is not a time"),
        ("nan-inf", "'inf' is not a time"),
        ("7", "no dash"),
        ("", "a region is missing"),
        ("-8", "no dash"),
        ("12-", "the end is missing"),
        ("1e3-4", "'1e3' is not a time"),
        ("1:5-1:60", "'1:5' is not a time"),
        ("1:5-1:60", "'1:60' is not a time"),
        ("12 13-20", "'12 13' is not a time"),
        ("9" * 400 + "-3", "9' is not a time"),
        ("4-4", "end after its start"),
    ]
    reported = re.findall(r"at character (\d+), '(.*?)': (.*?)(?=; at character|\. Write)", str(error.value))
    assert len(reported) == len(expected)
    for (position, piece, problem), (expected_piece, words) in zip(reported, expected, strict=True):
        assert (piece, text[int(position) - 1 :][: len(piece)]) == (expected_piece, expected_piece)
        assert words in problem
    assert [int(position) for position, piece, _ in reported if piece in ("", "-8")] == [
        text.index(",,") + 2,
        text.index("-8;") + 1,
    ]


@pytest.mark.parametrize("text", ["", " \n ", ",", "1-2,", ";1-2", "1-2,\n,3-4"])
def test_a_missing_region_is_reported(text):
    with pytest.raises(ValueError, match="a region is missing"):
        parse_regions(text)


@pytest.mark.parametrize(
    "text", ["12,5-18", "12-18,5", "1-2-3", "1:2:03-4", "٣-٤", "1 -", "- 1", "infinity-3", "1:123-300", "10s-12s"]
)
def test_ambiguous_text_is_rejected(text):
    with pytest.raises(ValueError, match="cannot read the regions"):
        parse_regions(text)


@given(st.text("0123456789.:-+–,;\n endstar", max_size=30))
def test_any_text_is_read_or_rejected(text):
    try:
        spans = parse_regions(text)
    except ValueError as error:
        assert "at character" in str(error)
    else:
        assert spans and all(span.start == END or span.end > span.start for span in spans)


TIMES = st.integers(-300_000, 600_000).map(lambda thousandths: thousandths / 1000)


@given(st.lists(st.tuples(TIMES, TIMES).filter(lambda s: s[0] < s[1]), min_size=1, max_size=4), st.booleans())
def test_regions_round_trip_through_text(bounds, clock):
    def written(seconds: float) -> str:
        thousandths = abs(round(seconds * 1000))
        minutes, remainder = divmod(thousandths, 60_000)
        text = f"{minutes}:{remainder // 1000:02}.{remainder % 1000:03}" if clock else f"{thousandths / 1000}"
        return "-" * (seconds < 0) + text

    spans = parse_regions(", ".join(f"{written(start)}-{written(end)}" for start, end in bounds))
    for span, (start, end) in zip(spans, bounds, strict=True):
        assert math.isclose(span.start, start, abs_tol=1e-9) and math.isclose(span.end, end, abs_tol=1e-9)
