"""Splicing: the source's own samples outside, the new ones inside, no step at the seams."""

from __future__ import annotations

import math

import numpy as np
import pytest
import soundfile
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from acestep_xl.audio.files import read, write
from acestep_xl.audio.splice import place, splice
from acestep_xl.audio.timeline import EditTimeline, merged, parse_regions, plan

RATE = 48000


def music(*shape: int, seed: int = 0) -> Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed)) * 2 - 1


def bits(samples: Tensor) -> Tensor:
    """The bit patterns, in which -0 is not 0 and a NaN equals itself."""
    return samples.contiguous().view(torch.int32)


def share_of_new(layout: EditTimeline, fade: int) -> Tensor:
    """The share of the new music at every sample, ``[total]``, from its distance to the nearest sample of a region."""
    inside = torch.tensor([i for span in layout.spans for i in range(*span)])
    distance = (torch.arange(layout.total)[:, None] - inside).abs().amin(dim=1)
    return (1 - distance.double() / (fade + 1)).clamp(min=0)


@st.composite
def plans(draw) -> EditTimeline:
    """Songs of some ten samples, so that every way of meeting comes up; what ``plan`` promises holds for them."""
    left, source, right = draw(st.tuples(st.integers(0, 4), st.integers(1, 40), st.integers(0, 4)))
    starts = st.tuples(st.integers(0, source - 1), st.integers(1, 8)).map(lambda s: (s[0], min(s[0] + s[1], source)))
    regions = [(start + left, end + left) for start, end in draw(st.lists(starts, min_size=1, max_size=4))]
    regions += [part for part in ((0, left), (left + source, left + source + right)) if part[0] < part[1]]
    return EditTimeline(left, source, right, merged(regions))


@given(
    plans(), st.integers(0, 12) | st.just(600 * RATE), st.integers(1, 2), st.sampled_from([1, 2]), st.integers(0, 2000)
)
@settings(deadline=None, max_examples=300)
def test_old_outside_new_inside_and_a_linear_slope_between(layout, fade, batch, channels, beyond):
    new = music(batch, channels, layout.total + beyond)
    source = music(batch, channels, layout.source, seed=1)
    before = new.clone(), source.clone()
    song = splice(new, source, layout, fade / RATE)
    assert torch.equal(new, before[0]) and torch.equal(source, before[1])
    assert song.shape == (batch, channels, layout.total)
    share, old = share_of_new(layout, fade), place(source, layout)
    assert torch.equal(song[..., share == 0], old[..., share == 0])
    assert torch.equal(song[..., share == 1], new[..., : layout.total][..., share == 1])
    expected = old.double() * (1 - share) + new[..., : layout.total].double() * share
    assert torch.allclose(song.double(), expected, atol=1e-6, rtol=0)


@given(plans(), st.integers(0, 12))
@settings(deadline=None, max_examples=200)
def test_no_step_at_a_seam_is_larger_than_the_slope_allows(layout, fade):
    new, source = music(1, 1, layout.total), music(1, 1, layout.source, seed=1)
    song = splice(new, source, layout, fade / RATE)
    # In the added parts there is no source to come from; both sides of a seam are then new.
    old = torch.where(place(torch.ones_like(source), layout) == 1, place(source, layout), new)
    steps = [signal.diff(dim=-1).abs().max() if layout.total > 1 else 0 for signal in (new, old)]
    gap = (new - old).abs().max()
    bound = max(steps) + gap / (fade + 1) + 1e-6
    assert layout.total == 1 or song.diff(dim=-1).abs().max() <= bound


@given(plans(), st.integers(0, 12))
@settings(deadline=None, max_examples=100)
def test_the_slope_between_two_constants_falls_by_equal_steps(layout, fade):
    song = splice(torch.ones(1, 1, layout.total), torch.zeros(1, 1, layout.source), layout, fade / RATE)[0, 0]
    steps = song.diff().abs()
    assert bool(((song >= 0) & (song <= 1)).all())
    assert bool((steps <= 1 / (fade + 1) + 1e-6).all())


@given(plans(), st.integers(0, 12))
@settings(deadline=None, max_examples=100)
def test_the_source_spliced_into_itself_is_the_source(layout, fade):
    source = music(2, 2, layout.source)
    placed = place(source, layout)
    assert torch.equal(splice(placed, source, layout, fade / RATE), placed)


REGIONS = st.lists(
    st.tuples(st.floats(-1, 3.5), st.floats(0.001, 2)).map(lambda s: (s[0], s[0] + s[1])), min_size=1, max_size=4
)


@given(st.integers(2 * RATE, 3 * RATE), REGIONS, st.floats(0, 0.5), st.booleans())
@settings(deadline=None, max_examples=40)
def test_real_plans_keep_length_untouched_part_and_regions(samples, bounds, crossfade, whole_frames):
    if whole_frames:
        samples -= samples % 1920
    text = ", ".join(f"{start:.4f}-{end:.4f}" for start, end in bounds)
    layout = plan(samples, parse_regions(text), whole_frames=whole_frames)
    new, source = music(1, 2, layout.frames * 1920), music(1, 2, samples, seed=1)
    song = splice(new, source, layout, crossfade)
    assert song.shape == (1, 2, layout.left + samples + layout.right)
    inside = torch.zeros(layout.total, dtype=torch.bool)
    near = inside.clone()
    reach = round(crossfade * RATE)
    for start, end in layout.spans:
        inside[start:end] = True
        near[max(start - reach, 0) : end + reach] = True
    assert torch.equal(song[..., inside], new[..., : layout.total][..., inside])
    assert torch.equal(song[..., ~near], place(source, layout)[..., ~near])
    added = torch.ones(layout.total, dtype=torch.bool)
    added[layout.left : layout.left + samples] = False
    assert torch.equal(song[..., added], new[..., : layout.total][..., added])


def test_untouched_samples_go_through_no_arithmetic():
    layout = plan(2 * RATE, parse_regions("1-1.5"), whole_frames=False)
    source = music(1, 2, 2 * RATE)
    odd = torch.tensor([-0.0, 1e-42, math.nan, math.inf, -math.inf, 3e38])
    source[..., :6] = odd
    new = music(1, 2, 2 * RATE, seed=1)
    # Whatever the model made of the rest of the song must not matter.
    new[..., : RATE - 480] = math.nan
    new[..., RATE + RATE // 2 + 480 :] = math.inf
    new[..., RATE : RATE + 2] = torch.tensor([-0.0, 1e-42])
    song = splice(new, source, layout, 0.01)
    for kept in (slice(0, RATE - 480), slice(RATE + RATE // 2 + 480, None)):
        assert torch.equal(bits(song[..., kept]), bits(source[..., kept]))
    inside = slice(RATE, RATE + RATE // 2)
    assert torch.equal(bits(song[..., inside]), bits(new[..., inside]))


def test_a_short_gap_between_regions_keeps_the_same_slope():
    layout = EditTimeline(0, 12, 0, ((0, 3), (7, 12)))
    song = splice(torch.ones(1, 1, 12), torch.zeros(1, 1, 12), layout, 9 / RATE)[0, 0]
    assert torch.allclose(song[2:8], torch.tensor([1, 0.9, 0.8, 0.8, 0.9, 1.0]))
    # A crossfade as long as one side of a longer gap leaves the source in the middle.
    song = splice(torch.ones(1, 1, 12), torch.zeros(1, 1, 12), layout, 1 / RATE)[0, 0]
    assert torch.equal(song[2:8], torch.tensor([1, 0.5, 0, 0, 0.5, 1.0]))


def test_the_ends_of_the_song_are_no_seams():
    layout = EditTimeline(0, 9, 0, ((4, 5),))
    song = splice(torch.ones(1, 1, 9), torch.zeros(1, 1, 9), layout, 7 / RATE)[0, 0]
    assert torch.allclose(song, torch.tensor([4, 5, 6, 7, 8, 7, 6, 5, 4]) / 8)
    assert bool((splice(torch.ones(1, 1, 9), torch.zeros(1, 1, 9), EditTimeline(0, 9, 0, ((0, 9),)), 1.0) == 1).all())


def test_mono_goes_to_all_channels_and_one_source_to_all_songs():
    layout = plan(RATE, parse_regions("-0.5-0.25"), whole_frames=False)
    new, mono = music(3, 2, layout.total), music(1, 1, RATE, seed=1)
    song = splice(new, mono, layout, 0.0)
    kept = slice(layout.left + RATE // 4, None)
    assert torch.equal(song[..., kept], mono[..., RATE // 4 :].expand(3, 2, -1))
    each = music(3, 1, RATE, seed=2)
    assert torch.equal(splice(new, each, layout, 0.0)[..., kept], each[..., RATE // 4 :].expand(3, 2, -1))
    batch = splice(new, each, layout, 0.02)
    for i in range(3):
        assert torch.equal(batch[i : i + 1], splice(new[i : i + 1], each[i : i + 1], layout, 0.02))


def test_place_pads_with_silence():
    layout = plan(RATE, parse_regions("-0.25-0, end-1.5"), whole_frames=False)
    source = music(2, 6, RATE)
    placed = place(source, layout)
    assert placed.shape == (2, 6, layout.total)
    assert torch.equal(placed[..., layout.left : layout.left + RATE], source)
    assert placed[..., : layout.left].abs().max() == 0 and placed[..., -layout.right :].abs().max() == 0
    same = plan(RATE, parse_regions("0-end"), whole_frames=False)
    copy = place(source, same)
    copy.zero_()
    assert source.abs().max() > 0


@pytest.mark.parametrize(
    ("new", "source", "crossfade", "words"),
    [
        ((1, 2, 95), (1, 2, 100), 0.0, ["the new music has 95 samples, the song needs 100"]),
        ((1, 2, 100), (1, 2, 99), 0.0, ["the source has 99 samples, the plan was made for 100"]),
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
def test_what_does_not_fit_is_refused_with_everything_wrong(new, source, crossfade, words):
    with pytest.raises(ValueError) as error:
        splice(music(*new), music(*source), EditTimeline(0, 100, 0, ((10, 20),)), crossfade)
    assert all(word in str(error.value) for word in words)
    if "made for 100" in words[-1]:
        with pytest.raises(ValueError, match="made for 100"):
            place(music(*source), EditTimeline(0, 100, 0, ((10, 20),)))


def test_the_shortest_and_the_longest_crossfade():
    for crossfade in (1e-9, 600.0):
        song = splice(music(1, 1, 100), music(1, 1, 100, seed=1), EditTimeline(0, 100, 0, ((10, 20),)), crossfade)
        assert bool(song.isfinite().all())


# Files: what is read, spliced and written keeps every integer


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
    layout = plan(samples, parse_regions(regions), whole_frames=False)
    new, crossfade = music(1, 2, layout.frames * 1920), 0.01
    song = splice(new, source, layout, crossfade)[0]
    written = write(tmp_path / f"song.{format}", song, RATE, format=format, bit_depth=depth)
    found = soundfile.read(written, dtype="int32", always_2d=True)[0] >> shift
    assert len(found) == layout.left + samples + layout.right
    expected = np.zeros((layout.total, 2), dtype=np.int64)
    expected[layout.left : layout.left + samples] = original
    kept = np.ones(layout.total, dtype=bool)
    for start, end in layout.spans:
        kept[max(start - round(crossfade * RATE), 0) : end + round(crossfade * RATE)] = False
        full = 2 ** (depth - 1)
        made = np.clip(np.rint(new[0, :, start:end].double().numpy().T * full), -full, full - 1)
        assert np.array_equal(found[start:end], made)
    assert kept.sum() > RATE / 4
    assert np.array_equal(found[kept], expected[kept])
