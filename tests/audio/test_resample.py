"""Resampling on both routes, and mixing to a number of channels."""

from __future__ import annotations

import builtins
import logging
import math

import pytest
import torch
import torchaudio
from encoded_audio import uniform_noise
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from acestep_xl.audio import resample as module
from acestep_xl.audio.resample import resample, route, to_channels, to_stereo

RATES = [(44100, 48000), (48000, 44100), (8000, 48000), (192000, 48000), (48000, 16000), (11025, 48000)]


def break_torchaudio(monkeypatch: pytest.MonkeyPatch, error: BaseException) -> None:
    """Make imports of torchaudio fail with `error`, as a build for another torch does."""
    original = builtins.__import__

    def failing_import(name, *arguments, **options):
        if name.split(".")[0] == "torchaudio":
            raise error
        return original(name, *arguments, **options)

    monkeypatch.setattr(builtins, "__import__", failing_import)


@pytest.fixture(autouse=True)
def uncached_route():
    """Every test imports torchaudio again."""
    module._torchaudio_resample.cache_clear()
    yield
    module._torchaudio_resample.cache_clear()


@pytest.fixture(params=[module.TORCHAUDIO, module.PYAV])
def each_route(request, monkeypatch):
    if request.param == module.PYAV:
        break_torchaudio(monkeypatch, ImportError("no module named torchaudio"))
    assert route() == request.param
    return request.param


def sine(rate: int, seconds: float, hertz: float) -> torch.Tensor:
    time = torch.arange(math.ceil(rate * seconds), dtype=torch.float64) / rate
    return torch.sin(2 * math.pi * hertz * time).float()[None, None]


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    samples=st.integers(0, 3000),
    rates=st.tuples(*[st.sampled_from([8000, 11025, 22050, 44100, 44101, 48000, 96000, 192000])] * 2),
)
def test_the_length_is_exactly_the_ceiling(each_route, samples, rates):
    result = resample(torch.ones(1, 2, samples), *rates)
    assert result.shape == (1, 2, math.ceil(samples * rates[1] / rates[0]))


def test_the_length_is_exact_where_float32_is_not():
    # torchaudio computes the length in float32, where 16,800,009 becomes 16,800,008.
    assert resample(torch.zeros(1, 1, 5_600_003), 16000, 48000).shape[-1] == 16_800_009


@pytest.mark.parametrize(("old", "new"), [*RATES, (44101, 48000), (7, 5)])
def test_a_sine_keeps_frequency_amplitude_and_phase(each_route, old, new):
    hertz = min(old, new) / 10.5
    result = resample(sine(old, 2.0, hertz) if old > 100 else sine(old, 2000.0, hertz), old, new)[0, 0]
    expected = sine(new, len(result) / new, hertz)[0, 0, : len(result)]
    inner = slice(len(result) // 20, -len(result) // 20)  # away from the hard ends of the sine
    assert (result - expected)[inner].abs().max() < 2e-3


def test_content_above_the_new_nyquist_frequency_is_removed(each_route):
    inner = slice(2000, -2000)
    assert resample(sine(48000, 1.0, 15000), 48000, 16000)[..., inner].abs().max() < 0.01
    assert resample(sine(48000, 1.0, 5000), 48000, 16000)[..., inner].abs().max() > 0.99


@pytest.mark.parametrize(("old", "new"), RATES)
def test_gain_at_zero_hertz_is_one(each_route, old, new):
    result = resample(torch.full((1, 1, old // 2), 0.5), old, new)[0, 0]
    inner = result[len(result) // 10 : -len(result) // 10]
    torch.testing.assert_close(inner, torch.full_like(inner, 0.5), rtol=0, atol=1e-3)


def test_an_impulse_stays_at_its_time(each_route):
    impulse = torch.zeros(1, 1, 4410)
    impulse[..., 2205] = 1.0
    result = resample(impulse, 44100, 48000)[0, 0]
    assert result.abs().argmax() == 2400


@pytest.mark.parametrize(("old", "new"), [(44100, 48000), (48000, 8000)])
def test_a_batch_equals_its_single_items(each_route, old, new):
    batch = torch.randn(3, 2, 1000, generator=torch.Generator().manual_seed(1))
    original = batch.clone()
    together = resample(batch, old, new)
    singles = torch.cat([resample(item[None], old, new) for item in batch])
    torch.testing.assert_close(together, singles, rtol=0, atol=1e-6)
    assert torch.equal(batch, original)


def test_only_the_ratio_of_the_rates_matters(each_route):
    noise = torch.randn(1, 1, 70, generator=torch.Generator().manual_seed(4))
    torch.testing.assert_close(resample(noise, 7, 5), resample(noise, 7000, 5000), rtol=0, atol=1e-6)


def test_both_routes_agree(monkeypatch):
    noise = torch.randn(1, 2, 48000, generator=torch.Generator().manual_seed(2))
    # Band-limited, because the two filters differ near the Nyquist frequency.
    music = torch.fft.irfft(torch.fft.rfft(noise) * (torch.arange(24001) < 12000), n=48000)
    first = resample(music, 48000, 44100)
    module._torchaudio_resample.cache_clear()
    break_torchaudio(monkeypatch, ImportError("absent"))
    second = resample(music, 48000, 44100)
    error = (first - second)[..., 200:-200].square().mean().sqrt() / first.square().mean().sqrt()
    assert 0 < error < 3e-3


def test_the_torchaudio_route_returns_torchaudio_s_values():
    music = torch.randn(2, 2, 5000, generator=torch.Generator().manual_seed(3))
    expected = torchaudio.functional.resample(music, 44100, 48000)
    torch.testing.assert_close(resample(music, 44100, 48000), expected, rtol=0, atol=1e-6)


def test_coprime_rates_use_the_route_without_tables(monkeypatch):
    def fail(*_):
        raise AssertionError("torchaudio would tabulate gigabytes")

    monkeypatch.setattr(module, "_torchaudio_resample", lambda: fail)
    assert resample(torch.ones(1, 1, 100), 44101, 48000).shape[-1] == 109
    with pytest.raises(AssertionError):
        resample(torch.ones(1, 1, 100), 44100, 48000)


@pytest.mark.parametrize("rate", [8000, 48000])
def test_equal_rates_change_nothing(each_route, rate):
    music = torch.randn(2, 3, 77)
    assert torch.equal(resample(music, rate, rate), music)


@pytest.mark.parametrize("rates", [(0, 48000), (48000, -1), (44100.0, 48000)])
def test_invalid_rates_are_rejected(rates):
    with pytest.raises(ValueError, match="_rate"):
        resample(torch.ones(1, 1, 10), *rates)


@pytest.mark.parametrize(
    "error",
    [
        ImportError("no module named torchaudio"),
        OSError("libcudart.so.13: cannot open shared object file"),
        RuntimeError("PyTorch and TorchAudio were compiled with different CUDA versions"),
    ],
)
def test_a_torchaudio_that_does_not_import_is_replaced_with_one_warning(monkeypatch, caplog, error):
    break_torchaudio(monkeypatch, error)
    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            assert resample(torch.ones(1, 1, 441), 44100, 48000).shape[-1] == 480
        assert route() == "PyAV (libswresample)"
    assert len(caplog.records) == 1
    assert caplog.records[0].levelno == logging.WARNING
    assert "PyAV (libswresample)" in caplog.text and str(error) in caplog.text


def test_other_import_failures_are_raised(monkeypatch):
    break_torchaudio(monkeypatch, KeyboardInterrupt())
    with pytest.raises(KeyboardInterrupt):
        resample(torch.ones(1, 1, 441), 44100, 48000)
    module._torchaudio_resample.cache_clear()
    monkeypatch.undo()
    break_torchaudio(monkeypatch, SyntaxError("broken file"))
    with pytest.raises(SyntaxError):
        route()


def test_nothing_is_logged_if_torchaudio_imports(caplog):
    with caplog.at_level(logging.DEBUG):
        assert route() == "torchaudio"
    assert not caplog.records


def test_mono_goes_to_both_sides_and_stereo_stays():
    mono, stereo = torch.randn(2, 1, 9), torch.randn(2, 2, 9)
    assert torch.equal(to_stereo(mono), mono.expand(2, 2, 9))
    assert torch.equal(to_stereo(stereo), stereo)


def test_surround_is_mixed_by_itu_r_bs_775():
    left, right, centre, bass, back_left, back_right = channels = torch.randn(6, 50)
    half, total = math.sqrt(0.5), 1 + 2 * math.sqrt(0.5)
    expected = torch.stack([left + half * (centre + back_left), right + half * (centre + back_right)]) / total
    torch.testing.assert_close(to_stereo(channels[None])[0], expected)
    side_left, side_right = torch.randn(2, 50)
    eight = torch.stack([left, right, centre, bass, back_left, back_right, side_left, side_right])
    expected = torch.stack(
        [left + half * (centre + back_left + side_left), right + half * (centre + back_right + side_right)]
    )
    torch.testing.assert_close(to_stereo(eight[None])[0], expected / (1 + 3 * half))


@pytest.mark.parametrize("channels", range(1, 11))
def test_mixing_full_scale_never_clips(channels):
    mixed = to_stereo(torch.ones(1, channels, 4))
    assert mixed.shape == (1, 2, 4)
    torch.testing.assert_close(mixed, torch.ones(1, 2, 4))


def test_unknown_layouts_are_averaged():
    channels = torch.randn(1, 4, 30)
    torch.testing.assert_close(to_stereo(channels), channels.mean(1, keepdim=True).expand(1, 2, 30))


@given(st.integers(1, 8), st.sampled_from([1, 2]), st.integers(1, 50))
def test_mixing_to_a_number_of_channels(channels: int, target: int, samples: int) -> None:
    source = uniform_noise(channels, samples, 1.0)[None]
    mixed = to_channels(source, target)
    assert mixed.shape == (1, target, samples)
    assert mixed.abs().max() <= source.abs().max() * (1 + 1e-6)
    if channels == target:
        assert torch.equal(mixed, source)


def test_mono_is_the_average_of_both_sides_and_goes_to_both() -> None:
    stereo = torch.tensor([[[1.0, 0.5], [0.0, -0.5]]])
    assert to_channels(stereo, 1).tolist() == [[[0.5, 0.0]]]
    assert to_channels(torch.tensor([[[0.25]]]), 2).tolist() == [[[0.25], [0.25]]]
    with pytest.raises(ValueError, match="2 channels can be mixed to 1 or 2, not to 3"):
        to_channels(stereo, 3)
