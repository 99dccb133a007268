"""Regions in words and masks, and where they lie on the timeline of the new song."""

from __future__ import annotations

import math
import re
from itertools import pairwise

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from acestep_xl.audio.timeline import END, LONGEST_PREPEND, EditTimeline, Span, mask_spans, merged, parse_regions, plan

RATE, FRAME = 48000, 1920
LONGEST = 600.0  # seconds


# Text


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
def test_text_is_read(text, spans):
    assert parse_regions(text) == tuple(Span(*span) for span in spans)


@pytest.mark.parametrize("dash", "‐‑‒–—―−﹘﹣－")
def test_every_dash_is_a_dash(dash):
    assert parse_regions(f"{dash}8{dash}{dash}3, 1{dash}2") == (Span(-8, -3), Span(1, 2))


def test_everything_wrong_is_named_with_its_place_and_text():
    text = "5-3, nan-inf;12-18\n\n7,,-8; 12-, 1e3-4, 1:5-1:60, 12 13-20, " + "9" * 400 + "-3, 4-4"
    with pytest.raises(ValueError) as error:
        parse_regions(text)
    expected = [
        ("5-3", "end after its start"),
        ("nan-inf", "'nan' is no time"),
        ("nan-inf", "'inf' is no time"),
        ("7", "no dash"),
        ("", "a region is missing"),
        ("-8", "no dash"),
        ("12-", "the end is missing"),
        ("1e3-4", "'1e3' is no time"),
        ("1:5-1:60", "'1:5' is no time"),
        ("1:5-1:60", "'1:60' is no time"),
        ("12 13-20", "'12 13' is no time"),
        ("9" * 400 + "-3", "9' is no time"),
        ("4-4", "end after its start"),
    ]
    found = re.findall(r"at character (\d+), '(.*?)': (.*?)(?=; at character|\. Write)", str(error.value))
    assert len(found) == len(expected)
    for (place, piece, problem), (wanted, words) in zip(found, expected, strict=True):
        assert (piece, text[int(place) - 1 :][: len(piece)]) == (wanted, wanted)
        assert words in problem
    assert [int(place) for place, piece, _ in found if piece in ("", "-8")] == [
        text.index(",,") + 2,
        text.index("-8;") + 1,
    ]


@pytest.mark.parametrize("text", ["", " \n ", ",", "1-2,", ";1-2", "1-2,\n,3-4"])
def test_a_missing_region_is_said(text):
    with pytest.raises(ValueError, match="a region is missing"):
        parse_regions(text)


@pytest.mark.parametrize(
    "text", ["12,5-18", "12-18,5", "1-2-3", "1:2:03-4", "٣-٤", "1 -", "- 1", "infinity-3", "1:123-300", "10s-12s"]
)
def test_what_could_be_misread_is_refused(text):
    with pytest.raises(ValueError, match="cannot read the regions"):
        parse_regions(text)


@given(st.text("0123456789.:-+–,;\n endstar", max_size=30))
def test_any_text_is_read_or_refused(text):
    try:
        spans = parse_regions(text)
    except ValueError as error:
        assert "at character" in str(error)
    else:
        assert spans and all(span.start == END or span.end > span.start for span in spans)


TIMES = st.integers(-300_000, 600_000).map(lambda thousandths: thousandths / 1000)


@given(st.lists(st.tuples(TIMES, TIMES).filter(lambda s: s[0] < s[1]), min_size=1, max_size=4), st.booleans())
def test_text_made_from_regions_gives_them_back(bounds, clock):
    def words(seconds: float) -> str:
        thousandths = abs(round(seconds * 1000))
        minutes, rest = divmod(thousandths, 60_000)
        text = f"{minutes}:{rest // 1000:02}.{rest % 1000:03}" if clock else f"{thousandths / 1000}"
        return "-" * (seconds < 0) + text

    found = parse_regions(", ".join(f"{words(start)}-{words(end)}" for start, end in bounds))
    for span, (start, end) in zip(found, bounds, strict=True):
        assert math.isclose(span.start, start, abs_tol=1e-9) and math.isclose(span.end, end, abs_tol=1e-9)


@pytest.mark.parametrize(
    ("bounds", "words"),
    [
        ((2, 1), "the region 2 s to 1 s must end after its start"),
        ((1, 1), "must end after its start"),
        ((math.nan, 1), "the region's start nan: must be a number"),
        ((END, math.nan), "the region's end nan: must be a number"),
        ((math.nan, -math.inf), "start nan and end -inf: must be a number"),
    ],
)
def test_a_span_that_is_none_is_refused(bounds, words):
    with pytest.raises(ValueError, match=words):
        Span(*bounds)


# Masks


@pytest.mark.parametrize(
    ("mask", "spans"),
    [
        ([0, 0, 1, 1, 0, 0, 0, 1], [(4, 8), (14, END)]),
        ([1, 0, 0, 0], [(0, 4)]),
        ([1], [(0, END)]),
        ([0.5, 0.49, 0.51, 0], [(0, 4), (8, 12)]),
        ([0, 0.2], []),
        ([7.0, -3.0], [(0, 8)]),
    ],
)
def test_mask_columns_are_spread_over_the_source(mask, spans):
    assert mask_spans(mask, 16.0) == tuple(Span(*span) for span in spans)


def test_a_whole_mask_is_the_whole_source_even_if_its_length_is_inexact():
    for seconds in (9.99999, 10.00001):
        assert plan(10 * RATE, mask_spans([1.0] * 7, seconds), whole_frames=False) == EditTimeline(
            0, 10 * RATE, 0, ((0, 10 * RATE),)
        )


def test_a_bad_mask_is_refused_with_everything_wrong():
    with pytest.raises(ValueError, match=r"1 of its 2 columns are NaN.*0 seconds long"):
        mask_spans([math.nan, 1], 0)
    with pytest.raises(ValueError, match=r"no columns.*inf seconds long"):
        mask_spans([], math.inf)


# The plan


def seconds(source: float, *spans: tuple[float, float], whole_frames: bool = False) -> EditTimeline:
    return plan(round(source * RATE), [Span(*span) for span in spans], whole_frames=whole_frames)


@pytest.mark.parametrize(
    ("source", "spans", "left", "right", "expected"),
    [
        (60, [(12.5, 18), (40, 44)], 0, 0, [(12.5, 18), (40, 44)]),
        (60, [(-8, 0)], 8, 0, [(0, 8)]),
        (60, [(-8, 5)], 8, 0, [(0, 13)]),
        (60, [(55, 70)], 0, 10, [(55, 70)]),
        (60, [(END, 70)], 0, 10, [(60, 70)]),
        (60, [(40, END)], 0, 0, [(40, 60)]),
        (60, [(-2, 0), (10, 12), (60, 61)], 2, 1, [(0, 2), (12, 14), (62, 63)]),
        # Overlapping and touching regions, in any order.
        (60, [(30, 40), (10, 20), (20, 25), (35, 50)], 0, 0, [(10, 25), (30, 50)]),
        # Only new music can fill the gap between a region and the source.
        (60, [(-8, -3)], 8, 0, [(0, 8)]),
        (60, [(65, 70)], 0, 10, [(60, 70)]),
        (60, [(-8, -6), (-3, -2), (64, 65), (68, 69)], 8, 9, [(0, 8), (68, 77)]),
        (60, [(-8, 70)], 8, 10, [(0, 78)]),
        (0.5, [(-0.25, 0), (0.5, 0.75)], 0.25, 0.25, [(0, 0.25), (0.75, 1)]),
    ],
)
def test_regions_on_the_new_timeline(source, spans, left, right, expected):
    found = seconds(source, *spans)
    assert (found.left, found.source, found.right) == (left * RATE, source * RATE, right * RATE)
    assert found.spans == tuple((round(start * RATE), round(end * RATE)) for start, end in expected)
    assert found.total == (left + source + right) * RATE


def test_latent_frames_hold_every_sample_of_a_region():
    found = plan(100 * FRAME, [Span(10.5 * FRAME / RATE, 20.25 * FRAME / RATE), Span(2, 2.04)], whole_frames=False)
    # 2 s and 2.04 s are whole frames; 10.5 and 20.25 are not.
    assert found.frame_spans == ((10, 21), (50, 51))
    assert found.frames == 100
    assert plan(100 * FRAME + 1, [Span(1, END)], whole_frames=False).frame_spans == ((25, 101),)
    # Two regions that share a frame.
    assert plan(100 * FRAME, [Span(1, 1.05), Span(1.06, 1.1)], whole_frames=False).frame_spans == ((25, 28),)


def test_before_latents_only_whole_frames_are_prepended():
    free = seconds(4, (-1.01, 1))
    whole = seconds(4, (-1.01, 1), whole_frames=True)
    assert (free.left, free.spans) == (round(1.01 * RATE), ((0, round(2.01 * RATE)),))
    assert (whole.left, whole.spans) == (26 * FRAME, ((0, 26 * FRAME + RATE),))
    assert seconds(4, (-1, 1), whole_frames=True) == seconds(4, (-1, 1))
    # What is appended is at the end of the song and may stop inside a frame.
    assert seconds(4, (3, 5.01), whole_frames=True).right == round(1.01 * RATE)


@pytest.mark.parametrize(
    ("source", "spans", "words"),
    [
        (60, [], ["there is no region"]),
        (0, [(0, 1)], ["the source has no samples"]),
        (30, [(40, END)], ["40 s to end is empty: the source ends at 30 s"]),
        (60, [(END, 55)], ["end to 55 s is empty: the source ends at 60 s"]),
        (60, [(END, END)], ["end to end is empty"]),
        (60, [(1, 1.000001)], ["shorter than one sample"]),
        (60, [(-300.01, 0)], ["starts too early; allowed is -300 s or later"]),
        (60, [(1, 600.1)], ["beyond 600 s"]),
        (60, [(1e300, 1e301)], ["beyond 600 s"]),
        (60, [(-1e300, END)], ["starts too early"]),
        (400, [(-300, 0)], ["would be 700 s long (300 s before the source, 400 s of it, 0 s after it)", "1 to 600 s"]),
        (601, [(1, 2)], ["would be 601 s long"]),
        (0.5, [(0, END)], ["would be 0.5 s long"]),
        (30, [(40, END), (-400, 0), (3, 3.000001), (0, 900)], ["40 s", "-400 s", "shorter", "beyond 600 s"]),
    ],
)
def test_what_cannot_be_a_song_is_refused_with_everything_wrong(source, spans, words):
    with pytest.raises(ValueError, match="cannot make these regions anew") as error:
        seconds(source, *spans)
    assert all(word in str(error.value) for word in words)


def test_a_latent_source_may_end_inside_its_last_frame():
    made = plan(96001, (Span(-1.01, 0), Span(1.5, END)), whole_frames=True)
    assert made.left == 26 * 1920 and made.source == 96001 and made.right == 0
    assert made.spans == ((0, 26 * 1920), (26 * 1920 + 72000, made.total))


def test_the_limits_themselves_are_allowed():
    assert seconds(300, (-LONGEST_PREPEND, 0)).total == LONGEST * RATE
    assert seconds(300, (0, LONGEST), whole_frames=True).frames == 15000
    assert seconds(1, (0, END)).total == RATE
    assert plan(1, [Span(END, 1)], whole_frames=False).total == RATE


BOUNDS = st.floats(-310, 620) | st.sampled_from([0.0, END, -300.0, 600.0, 1.0, -0.04, 1e-6])


@st.composite
def span_lists(draw) -> list[Span]:
    pairs = draw(st.lists(st.tuples(BOUNDS, BOUNDS), min_size=1, max_size=6))
    found = [Span(*pair) for pair in pairs if pair[0] == END or pair[0] < pair[1]]
    assume(found)
    return found


@given(st.integers(1, 20 * RATE) | st.integers(1, 601 * RATE), span_lists(), st.booleans())
@settings(max_examples=300)
def test_any_plan_adds_up_and_covers_what_was_asked(source, spans, whole_frames):
    if whole_frames:
        source = -(-source // FRAME) * FRAME
    try:
        found = plan(source, spans, whole_frames=whole_frames)
    except ValueError as error:
        assert "cannot make these regions anew" in str(error)
        return
    assert (found.total, found.source) == (found.left + source + found.right, source)
    assert 1 * RATE <= found.total <= LONGEST * RATE
    asked = [tuple(source if b == END else round(b * RATE) for b in (span.start, span.end)) for span in spans]
    earliest = max(0, *(-start for start, _ in asked))
    assert 0 <= found.left - earliest < (FRAME if whole_frames else 1)
    assert found.right == max(0, *(end - source for _, end in asked))
    assert not (whole_frames and found.left % FRAME)
    # In order, apart from each other, inside the song.
    edges = [edge for span in found.spans for edge in span]
    assert all(a < b for a, b in pairwise(edges)) and edges[0] >= 0 and edges[-1] <= found.total

    def inside(start: int, end: int) -> bool:
        return start >= end or any(a <= start and end <= b for a, b in found.spans)

    assert inside(0, found.left) and inside(found.left + source, found.total)
    assert all(inside(start + found.left, end + found.left) for start, end in asked)
    # No sample of the source is touched that was not asked for.
    size = sum(min(b, found.left + source) - max(a, found.left) for a, b in found.spans)
    wanted = merged((max(0, start), min(source, end)) for start, end in asked if start < source and end > 0)
    assert size == sum(end - start for start, end in wanted)
    check_frames(found)


def check_frames(found: EditTimeline) -> None:
    """Frame spans are in order and apart, inside the song, and exactly the frames with a sample of a region."""
    edges = [edge for span in found.frame_spans for edge in span]
    assert all(a < b for a, b in pairwise(edges)) and edges[0] >= 0 and edges[-1] <= found.frames
    assert (found.frames - 1) * FRAME < found.total <= found.frames * FRAME
    for start, end in found.spans:
        assert any(a * FRAME <= start and end <= b * FRAME for a, b in found.frame_spans)
    for a, b in found.frame_spans:
        assert any(a * FRAME <= start < (a + 1) * FRAME for start, _ in found.spans)
        assert any((b - 1) * FRAME < end <= b * FRAME for _, end in found.spans)


@given(st.lists(st.tuples(st.integers(0, 30), st.integers(1, 8)).map(lambda s: (s[0], s[0] + s[1])), max_size=6))
def test_merging_keeps_the_same_samples(spans):
    result = merged(spans)
    assert {i for span in result for i in range(*span)} == {i for span in spans for i in range(*span)}
    assert all(first[1] < second[0] for first, second in pairwise(result))
