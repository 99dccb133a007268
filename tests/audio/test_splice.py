"""Splicing: the source's samples outside, the new ones inside, and smooth crossfades between."""

from __future__ import annotations

import math

import numpy as np
import pytest
import soundfile
import torch
from audio_files import write
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from acestep_xl.audio.decoding import read
from acestep_xl.audio.region_text import parse_regions
from acestep_xl.audio.splice import place_on_timeline, splice
from acestep_xl.audio.timeline import EditTimeline, make_timeline, merge_spans

RATE = 48000


def music(*shape: int, seed: int = 0) -> Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed)) * 2 - 1


def bits(samples: Tensor) -> Tensor:
    """The bit patterns, where -0 differs from 0 and a NaN equals itself."""
    return samples.contiguous().view(torch.int32)


def weights_of_new(timeline: EditTimeline, fade: int) -> Tensor:
    """The weight of the new music at every sample, ``[total]``, by its distance to the nearest sample of a region."""
    inside = torch.tensor([i for span in timeline.spans for i in range(*span)])
    distance = (torch.arange(timeline.total)[:, None] - inside).abs().amin(dim=1)
    return (1 - distance.double() / (fade + 1)).clamp(min=0)


@st.composite
def timelines(draw) -> EditTimeline:
    """Songs of tens of samples, so that regions meet in every way; valid as results of ``make_timeline``."""
    left, source, right = draw(st.tuples(st.integers(0, 4), st.integers(1, 40), st.integers(0, 4)))
    starts = st.tuples(st.integers(0, source - 1), st.integers(1, 8)).map(lambda s: (s[0], min(s[0] + s[1], source)))
    regions = [(start + left, end + left) for start, end in draw(st.lists(starts, min_size=1, max_size=4))]
    regions += [part for part in ((0, left), (left + source, left + source + right)) if part[0] < part[1]]
    return EditTimeline(left, source, right, merge_spans(regions))


@given(
    timelines(),
    st.integers(0, 12) | st.just(600 * RATE),
    st.integers(1, 2),
    st.sampled_from([1, 2]),
    st.integers(0, 2000),
)
@settings(deadline=None, max_examples=300)
def test_source_outside_new_inside_and_a_linear_slope_between(timeline, fade, batch, channels, beyond):
    new = music(batch, channels, timeline.total + beyond)
    source = music(batch, channels, timeline.source, seed=1)
    originals = new.clone(), source.clone()
    song = splice(new, source, timeline, fade / RATE)
    assert torch.equal(new, originals[0]) and torch.equal(source, originals[1])
    assert song.shape == (batch, channels, timeline.total)
    weights, old = weights_of_new(timeline, fade), place_on_timeline(source, timeline)
    assert torch.equal(song[..., weights == 0], old[..., weights == 0])
    assert torch.equal(song[..., weights == 1], new[..., : timeline.total][..., weights == 1])
    expected = old.double() * (1 - weights) + new[..., : timeline.total].double() * weights
    assert torch.allclose(song.double(), expected, atol=1e-6, rtol=0)


@given(timelines(), st.integers(0, 12))
@settings(deadline=None, max_examples=200)
def test_no_jump_exceeds_the_slope(timeline, fade):
    new, source = music(1, 1, timeline.total), music(1, 1, timeline.source, seed=1)
    song = splice(new, source, timeline, fade / RATE)
    # The added parts have no source; there both sides of a border are new.
    old = torch.where(
        place_on_timeline(torch.ones_like(source), timeline) == 1, place_on_timeline(source, timeline), new
    )
    steps = [signal.diff(dim=-1).abs().max() if timeline.total > 1 else 0 for signal in (new, old)]
    gap = (new - old).abs().max()
    bound = max(steps) + gap / (fade + 1) + 1e-6
    assert timeline.total == 1 or song.diff(dim=-1).abs().max() <= bound


@given(timelines(), st.integers(0, 12))
@settings(deadline=None, max_examples=100)
def test_the_slope_between_two_constants_falls_by_equal_steps(timeline, fade):
    song = splice(torch.ones(1, 1, timeline.total), torch.zeros(1, 1, timeline.source), timeline, fade / RATE)[0, 0]
    steps = song.diff().abs()
    assert bool(((song >= 0) & (song <= 1)).all())
    assert bool((steps <= 1 / (fade + 1) + 1e-6).all())


@given(timelines(), st.integers(0, 12))
@settings(deadline=None, max_examples=100)
def test_the_source_spliced_into_itself_is_the_source(timeline, fade):
    source = music(2, 2, timeline.source)
    on_timeline = place_on_timeline(source, timeline)
    assert torch.equal(splice(on_timeline, source, timeline, fade / RATE), on_timeline)


REGIONS = st.lists(
    st.tuples(st.floats(-1, 3.5), st.floats(0.001, 2)).map(lambda s: (s[0], s[0] + s[1])), min_size=1, max_size=4
)


@given(st.integers(2 * RATE, 3 * RATE), REGIONS, st.floats(0, 0.5), st.booleans())
@settings(deadline=None, max_examples=40)
def test_real_timelines_keep_the_length_the_source_and_the_regions(samples, bounds, crossfade, whole_frames):
    if whole_frames:
        samples -= samples % 1920
    text = ", ".join(f"{start:.4f}-{end:.4f}" for start, end in bounds)
    timeline = make_timeline(samples, parse_regions(text), whole_frames=whole_frames)
    new, source = music(1, 2, timeline.frames * 1920), music(1, 2, samples, seed=1)
    song = splice(new, source, timeline, crossfade)
    assert song.shape == (1, 2, timeline.left + samples + timeline.right)
    inside = torch.zeros(timeline.total, dtype=torch.bool)
    near = inside.clone()
    reach = round(crossfade * RATE)
    for start, end in timeline.spans:
        inside[start:end] = True
        near[max(start - reach, 0) : end + reach] = True
    assert torch.equal(song[..., inside], new[..., : timeline.total][..., inside])
    assert torch.equal(song[..., ~near], place_on_timeline(source, timeline)[..., ~near])
    added = torch.ones(timeline.total, dtype=torch.bool)
    added[timeline.left : timeline.left + samples] = False
    assert torch.equal(song[..., added], new[..., : timeline.total][..., added])


def test_samples_outside_the_crossfades_are_copied_bit_for_bit():
    timeline = make_timeline(2 * RATE, parse_regions("1-1.5"), whole_frames=False)
    source = music(1, 2, 2 * RATE)
    special = torch.tensor([-0.0, 1e-42, math.nan, math.inf, -math.inf, 3e38])
    source[..., :6] = special
    new = music(1, 2, 2 * RATE, seed=1)
    # The model's output for the rest of the song must not matter.
    new[..., : RATE - 480] = math.nan
    new[..., RATE + RATE // 2 + 480 :] = math.inf
    new[..., RATE : RATE + 2] = torch.tensor([-0.0, 1e-42])
    song = splice(new, source, timeline, 0.01)
    for outside in (slice(0, RATE - 480), slice(RATE + RATE // 2 + 480, None)):
        assert torch.equal(bits(song[..., outside]), bits(source[..., outside]))
    inside = slice(RATE, RATE + RATE // 2)
    assert torch.equal(bits(song[..., inside]), bits(new[..., inside]))


def test_a_short_gap_between_regions_keeps_the_same_slope():
    timeline = EditTimeline(0, 12, 0, ((0, 3), (7, 12)))
    song = splice(torch.ones(1, 1, 12), torch.zeros(1, 1, 12), timeline, 9 / RATE)[0, 0]
    assert torch.allclose(song[2:8], torch.tensor([1, 0.9, 0.8, 0.8, 0.9, 1.0]))
    # A crossfade as long as one side of a longer gap leaves the source in the middle.
    song = splice(torch.ones(1, 1, 12), torch.zeros(1, 1, 12), timeline, 1 / RATE)[0, 0]
    assert torch.equal(song[2:8], torch.tensor([1, 0.5, 0, 0, 0.5, 1.0]))


def test_the_ends_of_the_song_are_not_borders():
    timeline = EditTimeline(0, 9, 0, ((4, 5),))
    song = splice(torch.ones(1, 1, 9), torch.zeros(1, 1, 9), timeline, 7 / RATE)[0, 0]
    assert torch.allclose(song, torch.tensor([4, 5, 6, 7, 8, 7, 6, 5, 4]) / 8)
    assert bool((splice(torch.ones(1, 1, 9), torch.zeros(1, 1, 9), EditTimeline(0, 9, 0, ((0, 9),)), 1.0) == 1).all())


def test_mono_goes_to_all_channels_and_one_source_to_all_songs():
    timeline = make_timeline(RATE, parse_regions("-0.5-0.25"), whole_frames=False)
    new, mono = music(3, 2, timeline.total), music(1, 1, RATE, seed=1)
    song = splice(new, mono, timeline, 0.0)
    outside = slice(timeline.left + RATE // 4, None)
    assert torch.equal(song[..., outside], mono[..., RATE // 4 :].expand(3, 2, -1))
    each = music(3, 1, RATE, seed=2)
    assert torch.equal(splice(new, each, timeline, 0.0)[..., outside], each[..., RATE // 4 :].expand(3, 2, -1))
    batch = splice(new, each, timeline, 0.02)
    for i in range(3):
        assert torch.equal(batch[i : i + 1], splice(new[i : i + 1], each[i : i + 1], timeline, 0.02))


def test_the_timeline_is_padded_with_silence():
    timeline = make_timeline(RATE, parse_regions("-0.25-0, end-1.5"), whole_frames=False)
    source = music(2, 6, RATE)
    on_timeline = place_on_timeline(source, timeline)
    assert on_timeline.shape == (2, 6, timeline.total)
    assert torch.equal(on_timeline[..., timeline.left : timeline.left + RATE], source)
    assert on_timeline[..., : timeline.left].abs().max() == 0 and on_timeline[..., -timeline.right :].abs().max() == 0
    same = make_timeline(RATE, parse_regions("0-end"), whole_frames=False)
    copy = place_on_timeline(source, same)
    copy.zero_()
    assert source.abs().max() > 0


@pytest.mark.parametrize(
    ("new", "source", "crossfade", "words"),
    [
        ((1, 2, 95), (1, 2, 100), 0.0, ["the new music has 95 samples, the song needs 100"]),
        ((1, 2, 100), (1, 2, 99), 0.0, ["the source has 99 samples, the timeline was made for 100"]),
        ((2, 2, 100), (3, 2, 100), 0.0, ["3 sources for 2 songs"]),
        ((1, 2, 100), (2, 2, 100), 0.0, ["2 sources for 1 songs"]),
        ((1, 1, 100), (1, 2, 100), 0.0, ["the source has 2 channels, the new music 1"]),
        ((1, 2, 100), (1, 2, 100), -0.1, ["crossfade is -0.1"]),
        ((1, 2, 100), (1, 2, 100), math.nan, ["crossfade is nan"]),
        ((1, 2, 100), (1, 2, 100), 600.1, ["crossfade is 600.1 seconds, allowed 0 (a hard cut) to 600"]),
        ((2, 2, 9), (3, 6, 8), -1.0, ["needs 100", "made for 100", "3 sources", "6 channels", "-1.0 seconds"]),
        ((2, 100), (1, 2, 100), 0.0, ["[2, 100]"]),
    ],
)
def test_mismatches_are_rejected_with_every_problem(new, source, crossfade, words):
    with pytest.raises(ValueError) as error:
        splice(music(*new), music(*source), EditTimeline(0, 100, 0, ((10, 20),)), crossfade)
    assert all(word in str(error.value) for word in words)
    if "made for 100" in words[-1]:
        with pytest.raises(ValueError, match="made for 100"):
            place_on_timeline(music(*source), EditTimeline(0, 100, 0, ((10, 20),)))


def test_the_shortest_and_the_longest_crossfade():
    for crossfade in (1e-9, 600.0):
        song = splice(music(1, 1, 100), music(1, 1, 100, seed=1), EditTimeline(0, 100, 0, ((10, 20),)), crossfade)
        assert bool(song.isfinite().all())


# Files: reading, splicing and writing preserve every integer


def integers(channels: int, depth: int, samples: int, seed: int) -> np.ndarray:
    full = 2 ** (depth - 1)
    values = np.random.default_rng(seed).integers(-full, full, (samples, channels))
    values[:2], values[-2:] = [[-full], [full - 1]], [[full - 1], [-full]]
    return values


@pytest.mark.parametrize("regions", ["0.5-0.9", "0.1-0.2, 0.6-0.7, 1.0-1.05", "-0.5-0", "end-1.7, -0.3-0.05, 0.4-0.8"])
@pytest.mark.parametrize("depth", [16, 24])
@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("format", ["wav", "flac"])
def test_outside_the_regions_a_file_keeps_its_integers(tmp_path, format, channels, depth, regions):
    samples = round(1.2 * RATE) + 7
    original = integers(channels, depth, samples, seed=depth)
    path = tmp_path / f"source.{format}"
    shift = 32 - depth
    soundfile.write(path, (original << shift).astype(np.int32), RATE, subtype=f"PCM_{depth}")
    source, rate = read(path)
    assert (rate, source.shape) == (RATE, (1, channels, samples))
    timeline = make_timeline(samples, parse_regions(regions), whole_frames=False)
    new, crossfade = music(1, 2, timeline.frames * 1920), 0.01
    song = splice(new, source, timeline, crossfade)[0]
    path = write(tmp_path / f"song.{format}", song, RATE, format=format, bit_depth=depth)
    result = soundfile.read(path, dtype="int32", always_2d=True)[0] >> shift
    assert len(result) == timeline.left + samples + timeline.right
    expected = np.zeros((timeline.total, 2), dtype=np.int64)
    expected[timeline.left : timeline.left + samples] = original
    outside = np.ones(timeline.total, dtype=bool)
    for start, end in timeline.spans:
        outside[max(start - round(crossfade * RATE), 0) : end + round(crossfade * RATE)] = False
        full = 2 ** (depth - 1)
        regenerated = np.clip(np.rint(new[0, :, start:end].double().numpy().T * full), -full, full - 1)
        assert np.array_equal(result[start:end], regenerated)
    assert outside.sum() > RATE / 4
    assert np.array_equal(result[outside], expected[outside])
