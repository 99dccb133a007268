"""Masks, and the timeline of the new song."""

from __future__ import annotations

import math
from itertools import pairwise

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from acestep_xl.audio.timeline import END, MAX_PREPEND, EditTimeline, Span, make_timeline, mask_spans, merge_spans

RATE, FRAME = 48000, 1920
LONGEST = 600.0  # seconds


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
def test_an_invalid_span_is_rejected(bounds, words):
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


def test_a_full_mask_covers_the_source_even_if_its_length_is_inexact():
    for seconds in (9.99999, 10.00001):
        assert make_timeline(10 * RATE, mask_spans([1.0] * 7, seconds), whole_frames=False) == EditTimeline(
            0, 10 * RATE, 0, ((0, 10 * RATE),)
        )


def test_an_invalid_mask_is_rejected_with_every_problem():
    with pytest.raises(ValueError, match=r"1 of its 2 columns are NaN.*0 seconds long"):
        mask_spans([math.nan, 1], 0)
    with pytest.raises(ValueError, match=r"no columns.*inf seconds long"):
        mask_spans([], math.inf)


# The timeline


def timeline_of(source: float, *spans: tuple[float, float], whole_frames: bool = False) -> EditTimeline:
    return make_timeline(round(source * RATE), [Span(*span) for span in spans], whole_frames=whole_frames)


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
    timeline = timeline_of(source, *spans)
    assert (timeline.left, timeline.source, timeline.right) == (left * RATE, source * RATE, right * RATE)
    assert timeline.spans == tuple((round(start * RATE), round(end * RATE)) for start, end in expected)
    assert timeline.total == (left + source + right) * RATE


def test_frame_spans_contain_every_sample_of_a_region():
    timeline = make_timeline(
        100 * FRAME, [Span(10.5 * FRAME / RATE, 20.25 * FRAME / RATE), Span(2, 2.04)], whole_frames=False
    )
    # 2 s and 2.04 s are whole frames; 10.5 and 20.25 are not.
    assert timeline.frame_spans == ((10, 21), (50, 51))
    assert timeline.frames == 100
    assert make_timeline(100 * FRAME + 1, [Span(1, END)], whole_frames=False).frame_spans == ((25, 101),)
    # Two regions that share a frame.
    assert make_timeline(100 * FRAME, [Span(1, 1.05), Span(1.06, 1.1)], whole_frames=False).frame_spans == ((25, 28),)


def test_only_whole_frames_are_prepended_to_latents():
    exact = timeline_of(4, (-1.01, 1))
    in_frames = timeline_of(4, (-1.01, 1), whole_frames=True)
    assert (exact.left, exact.spans) == (round(1.01 * RATE), ((0, round(2.01 * RATE)),))
    assert (in_frames.left, in_frames.spans) == (26 * FRAME, ((0, 26 * FRAME + RATE),))
    assert timeline_of(4, (-1, 1), whole_frames=True) == timeline_of(4, (-1, 1))
    # The appended part is at the end of the song and may stop inside a frame.
    assert timeline_of(4, (3, 5.01), whole_frames=True).right == round(1.01 * RATE)


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
def test_invalid_songs_are_rejected_with_every_problem(source, spans, words):
    with pytest.raises(ValueError, match="cannot regenerate these regions") as error:
        timeline_of(source, *spans)
    assert all(word in str(error.value) for word in words)


def test_a_latent_source_may_end_inside_its_last_frame():
    timeline = make_timeline(96001, (Span(-1.01, 0), Span(1.5, END)), whole_frames=True)
    assert timeline.left == 26 * 1920 and timeline.source == 96001 and timeline.right == 0
    assert timeline.spans == ((0, 26 * 1920), (26 * 1920 + 72000, timeline.total))


def test_the_limits_are_allowed():
    assert timeline_of(300, (-MAX_PREPEND, 0)).total == LONGEST * RATE
    assert timeline_of(300, (0, LONGEST), whole_frames=True).frames == 15000
    assert timeline_of(1, (0, END)).total == RATE
    assert make_timeline(1, [Span(END, 1)], whole_frames=False).total == RATE


BOUNDS = st.floats(-310, 620) | st.sampled_from([0.0, END, -300.0, 600.0, 1.0, -0.04, 1e-6])


@st.composite
def span_lists(draw) -> list[Span]:
    pairs = draw(st.lists(st.tuples(BOUNDS, BOUNDS), min_size=1, max_size=6))
    spans = [Span(*pair) for pair in pairs if pair[0] == END or pair[0] < pair[1]]
    assume(spans)
    return spans


@given(st.integers(1, 20 * RATE) | st.integers(1, 601 * RATE), span_lists(), st.booleans())
@settings(max_examples=300)
def test_any_timeline_adds_up_and_covers_the_spans(source, spans, whole_frames):
    if whole_frames:
        source = -(-source // FRAME) * FRAME
    try:
        timeline = make_timeline(source, spans, whole_frames=whole_frames)
    except ValueError as error:
        assert "cannot regenerate these regions" in str(error)
        return
    assert (timeline.total, timeline.source) == (timeline.left + source + timeline.right, source)
    assert 1 * RATE <= timeline.total <= LONGEST * RATE
    requested = [tuple(source if b == END else round(b * RATE) for b in (span.start, span.end)) for span in spans]
    earliest = max(0, *(-start for start, _ in requested))
    assert 0 <= timeline.left - earliest < (FRAME if whole_frames else 1)
    assert timeline.right == max(0, *(end - source for _, end in requested))
    assert not (whole_frames and timeline.left % FRAME)
    # In order, disjoint, inside the song.
    edges = [edge for span in timeline.spans for edge in span]
    assert all(a < b for a, b in pairwise(edges)) and edges[0] >= 0 and edges[-1] <= timeline.total

    def inside(start: int, end: int) -> bool:
        return start >= end or any(a <= start and end <= b for a, b in timeline.spans)

    assert inside(0, timeline.left) and inside(timeline.left + source, timeline.total)
    assert all(inside(start + timeline.left, end + timeline.left) for start, end in requested)
    # No other sample of the source is regenerated.
    size = sum(min(b, timeline.left + source) - max(a, timeline.left) for a, b in timeline.spans)
    requested_in_source = merge_spans(
        (max(0, start), min(source, end)) for start, end in requested if start < source and end > 0
    )
    assert size == sum(end - start for start, end in requested_in_source)
    check_frames(timeline)


def check_frames(timeline: EditTimeline) -> None:
    """Frame spans are in order, disjoint, inside the song, and exactly the frames with a sample of a region."""
    edges = [edge for span in timeline.frame_spans for edge in span]
    assert all(a < b for a, b in pairwise(edges)) and edges[0] >= 0 and edges[-1] <= timeline.frames
    assert (timeline.frames - 1) * FRAME < timeline.total <= timeline.frames * FRAME
    for start, end in timeline.spans:
        assert any(a * FRAME <= start and end <= b * FRAME for a, b in timeline.frame_spans)
    for a, b in timeline.frame_spans:
        assert any(a * FRAME <= start < (a + 1) * FRAME for start, _ in timeline.spans)
        assert any((b - 1) * FRAME < end <= b * FRAME for _, end in timeline.spans)


@given(st.lists(st.tuples(st.integers(0, 30), st.integers(1, 8)).map(lambda s: (s[0], s[0] + s[1])), max_size=6))
def test_merging_preserves_the_samples(spans):
    result = merge_spans(spans)
    assert {i for span in result for i in range(*span)} == {i for span in spans for i in range(*span)}
    assert all(first[1] < second[0] for first, second in pairwise(result))
