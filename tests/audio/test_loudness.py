"""Finishing a song: limits, normalisation, fades and the guard."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from acestep_xl.audio import loudness
from acestep_xl.audio.loudness import UnusableAudio

pytestmark = pytest.mark.filterwarnings("error")
PEAK_1DB = torch.tensor(10 ** (-1 / 20), dtype=torch.float32)


@st.composite
def waveforms(draw: st.DrawFn) -> torch.Tensor:
    """`[b c n]` noise, each item at its own level between -60 and +20 dBFS."""
    shape = [draw(st.integers(1, high)) for high in (3, 3, 50)]
    noise = torch.randn(shape, generator=torch.Generator().manual_seed(draw(st.integers(0, 999)))) + 0.01
    levels = torch.tensor([10 ** (draw(st.floats(-60, 20)) / 20) for _ in range(shape[0])])
    return noise / noise.abs().amax((1, 2), keepdim=True) * levels[:, None, None]


def peaks(waveform: torch.Tensor) -> torch.Tensor:
    return waveform.abs().amax((1, 2))


@settings(deadline=None)
@given(waveforms())
def test_the_normalized_peak_is_exact(waveform):
    assert torch.equal(peaks(loudness.normalize_peak(waveform, -1.0)), PEAK_1DB.expand(len(waveform)))


@settings(deadline=None)
@given(waveforms(), st.floats(-30, 0))
def test_normalizing_scales_all_samples_of_an_item_alike(waveform, peak_db):
    result = loudness.normalize_peak(waveform, peak_db).double()
    scale = 10 ** (peak_db / 20) / peaks(waveform).double()
    torch.testing.assert_close(result, waveform.double() * scale[:, None, None], rtol=3e-7, atol=1e-12)


@settings(deadline=None)
@given(waveforms(), st.floats(-30, 0))
def test_normalizing_is_idempotent(waveform, peak_db):
    once = loudness.normalize_peak(waveform, peak_db)
    torch.testing.assert_close(loudness.normalize_peak(once, peak_db), once, rtol=3e-7, atol=0)


@settings(deadline=None)
@given(waveforms())
def test_the_limit_scales_only_items_above_full_scale(waveform):
    result = loudness.limit_peak(waveform)
    for before, after in zip(waveform, result, strict=True):
        if before.abs().max() > 1:
            assert after.abs().max() == 1.0
            torch.testing.assert_close(after, before / before.abs().max())
        else:
            assert torch.equal(after, before)


@pytest.mark.parametrize("function", ["limit_peak", "normalize_peak", "fade", "guard", "finish"])
@pytest.mark.parametrize("level", [0.3, 3.0])
def test_inputs_are_not_modified_and_gradients_are_dropped(function, level):
    waveform = (torch.linspace(-level, level, 300).reshape(2, 3, 50)).requires_grad_()
    original = waveform.detach().clone()
    arguments = {
        "normalize_peak": {"peak_db": -3.0},
        "fade": {"sample_rate": 10, "fade_in": 1.0, "fade_out": 1.0},
        "finish": {"sample_rate": 10, "normalize": True, "peak_db": -1.0, "fade_in": 1.0, "fade_out": 1.0},
    }
    result = getattr(loudness, function)(waveform, **arguments.get(function, {}))
    assert torch.equal(waveform.detach(), original)
    assert not result.requires_grad and result.dtype == torch.float32 and result.shape == waveform.shape


def test_half_precision_input_is_processed_in_float32():
    waveform = torch.tensor([[[0.1, -0.7, 0.3]]], dtype=torch.bfloat16)
    result = loudness.normalize_peak(waveform, -1.0)
    assert result.dtype == torch.float32 and peaks(result) == PEAK_1DB


def test_batch_items_are_independent():
    batch = torch.randn(3, 2, 40) * torch.tensor([0.01, 1.0, 9.0])[:, None, None]
    options = {"normalize": True, "peak_db": -2.0, "fade_in": 0.5, "fade_out": 1.0}
    together = loudness.finish(batch, 10, **options)
    singles = torch.cat([loudness.finish(item[None], 10, **options) for item in batch])
    assert torch.equal(together, singles)


@pytest.mark.parametrize(
    ("fade_in", "fade_out", "expected"),
    [
        (0.0, 0.0, [1, 1, 1, 1, 1, 1]),
        (0.3, 0.0, [0, 0.5, 1, 1, 1, 1]),
        (0.0, 0.3, [1, 1, 1, 1, 0.5, 0]),
        (0.3, 0.3, [0, 0.5, 1, 1, 0.5, 0]),
        (0.6, 0.0, [0, 0.2, 0.4, 0.6, 0.8, 1]),
        (0.6, 0.6, [0, 0.16, 0.24, 0.24, 0.16, 0]),  # overlapping: gains multiply
        (0.5, 0.5, [0, 0.25, 0.375, 0.375, 0.25, 0]),
        (60.0, 0.0, [0, 0.2, 0.4, 0.6, 0.8, 1]),  # longer than the song: spans the entire song
        (0.0, 60.0, [1, 0.8, 0.6, 0.4, 0.2, 0]),
    ],
)
def test_fades_follow_the_closed_form(fade_in, fade_out, expected):
    song = torch.tensor([[[1.0] * 6, [-2.0] * 6]])
    result = loudness.fade(song, 10, fade_in, fade_out)
    gain = torch.tensor(expected, dtype=torch.float32)
    torch.testing.assert_close(result, torch.stack([gain, -2 * gain])[None])


def test_fade_length_is_rounded_to_the_nearest_sample():
    # 0.7 * 44100 is 30869.999... in binary.
    result = loudness.fade(torch.ones(1, 1, 44100), 44100, 0.7, 0.0)[0, 0]
    assert result[30868] < 1 and result[30869] == 1


@pytest.mark.parametrize("bad", [-0.1, math.nan, math.inf])
@pytest.mark.parametrize("which", ["fade_in", "fade_out"])
def test_invalid_fades_are_rejected_by_name(which, bad):
    with pytest.raises(ValueError, match=which):
        loudness.fade(torch.ones(1, 1, 9), 10, **{"fade_in": 0.0, "fade_out": 0.0, which: bad})


@pytest.mark.parametrize("bad", [0.1, math.nan])
def test_levels_above_full_scale_are_rejected(bad):
    with pytest.raises(ValueError, match="peak_db"):
        loudness.normalize_peak(torch.ones(1, 1, 9), bad)


def test_the_guard_returns_good_audio_unchanged():
    song = torch.randn(2, 2, 100)
    assert torch.equal(loudness.guard(song), song)


def test_the_guard_reports_every_unusable_item_and_a_remedy():
    song = torch.randn(5, 2, 100) * 0.1
    song[1, 0, 5:36] = math.nan
    song[2, 1, 7] = math.inf
    song[2, 0, 8] = -math.inf
    song[2, 0, 9] = math.nan
    song[4] *= 1e-8
    with pytest.raises(UnusableAudio) as caught:
        loudness.guard(song)
    message = str(caught.value)
    assert "item 1 contains 31 NaN samples" in message
    assert "item 2 contains 1 NaN and 2 infinite samples" in message
    assert "item 4 is silent: peak " in message and "e-09" in message
    assert "item 0" not in message and "item 3" not in message
    assert "precision" in message and "checkpoint" in message
    assert isinstance(caught.value, ValueError)


def test_silence_starts_at_minus_80_dbfs():
    quiet = torch.zeros(1, 2, 10)
    quiet[0, 1, 3] = 1.01e-4
    loudness.guard(quiet)
    with pytest.raises(UnusableAudio, match="silent"):
        loudness.guard(quiet * 0.98)


def test_an_item_without_samples_is_rejected():
    with pytest.raises(UnusableAudio, match="item 0 has no samples"):
        loudness.finish(torch.ones(1, 2, 0), 48000, normalize=True, peak_db=-1.0, fade_in=0.0, fade_out=0.0)


def test_zeros_cannot_be_normalized():
    with pytest.raises(UnusableAudio, match="item 1 is all zeros"):
        loudness.normalize_peak(torch.tensor([[[0.1]], [[0.0]]]), -1.0)


@pytest.mark.parametrize("shape", [(100,), (2, 100), (1, 0, 100), (1, 1, 2, 100)])
def test_other_shapes_are_rejected(shape):
    with pytest.raises(ValueError, match="batch, channels, samples"):
        loudness.limit_peak(torch.ones(shape))


def test_finish_guards_limits_normalizes_and_then_fades():
    song = torch.full((2, 1, 8), 4.0)
    song[1] = 0.5
    options = {"fade_in": 0.2, "fade_out": 0.4}
    limited = loudness.finish(song, 10, normalize=False, peak_db=-6.0, **options)
    torch.testing.assert_close(limited[0, 0], torch.tensor([0, 1, 1, 1, 1, 2 / 3, 1 / 3, 0]))
    torch.testing.assert_close(limited[1], limited[0] * 0.5)
    normalized = loudness.finish(song, 10, normalize=True, peak_db=-6.0, **options)
    torch.testing.assert_close(normalized, limited[:1].expand(2, 1, 8) * 10 ** (-6 / 20))
    song[0, 0, 0] = math.inf  # would become NaN if the limit came first
    with pytest.raises(UnusableAudio, match="1 infinite sample"):
        loudness.finish(song, 10, normalize=True, peak_db=-6.0, **options)
