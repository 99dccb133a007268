"""Audio cut, joined, mixed, amplified and equalised."""

from __future__ import annotations

import math

import pytest
import torch
from audio_files import sine
from native_nodes import audio, call


def test_silence() -> None:
    (silence,) = call("EmptyAudio", duration=0.5, sample_rate=8000, channels=1)
    assert silence["waveform"].shape == (1, 1, 4000) and silence["sample_rate"] == 8000


@pytest.mark.parametrize(
    ("start", "duration", "expected"),
    [(1.0, 2.0, (10, 30)), (-1.5, 60.0, (25, 40)), (-9.0, 0.5, (0, 5)), (9.0, 1.0, (39, 40))],
)
def test_a_part(start: float, duration: float, expected: tuple[int, int]) -> None:
    whole = {"waveform": torch.arange(40.0)[None, None], "sample_rate": 10}
    (part,) = call("TrimAudioDuration", audio=whole, start_index=start, duration=duration)
    assert part["waveform"].flatten().tolist() == list(range(*expected))


def test_an_empty_part_is_refused() -> None:
    with pytest.raises(ValueError, match=r"nothing is left of 0\.10 seconds.*duration 0 seconds"):
        call("TrimAudioDuration", audio=audio(100, 0.5), start_index=0.0, duration=0.0)


def test_channels_come_apart_and_together() -> None:
    left, right = call("SplitAudioChannels", audio=audio(8000, 0.25, -0.5))
    assert left["waveform"].unique().tolist() == [0.25] and right["waveform"].unique().tolist() == [-0.5]
    right["waveform"] = right["waveform"][..., :700]
    (joined,) = call("JoinAudioChannels", audio_left=left, audio_right=right)
    assert joined["waveform"].shape == (1, 2, 700) and joined["waveform"][0, :, 0].tolist() == [0.25, -0.5]
    with pytest.raises(ValueError, match="the audio has 1 channels; only stereo"):
        call("SplitAudioChannels", audio=left)
    with pytest.raises(ValueError, match="the left side has 2 channels and the right 1"):
        call("JoinAudioChannels", audio_left=joined, audio_right=right)


def test_one_after_the_other_at_the_higher_rate() -> None:
    first, second = audio(8000, 0.5), audio(16000, 0.1, 0.2)
    (after,) = call("AudioConcat", audio1=first, audio2=second, direction="after")
    (before,) = call("AudioConcat", audio1=first, audio2=second, direction="before")
    assert after["sample_rate"] == before["sample_rate"] == 16000
    assert after["waveform"].shape == (1, 2, 3200)
    assert torch.equal(after["waveform"][..., 1600:], second["waveform"])
    assert torch.equal(before["waveform"][..., :1600], second["waveform"])
    torch.testing.assert_close(after["waveform"][0, :, 800], torch.tensor([0.5, 0.5]), atol=1e-3, rtol=0)


def test_what_cannot_be_joined_is_named() -> None:
    with pytest.raises(ValueError, match="the two waveforms have 1 and 2 songs, 2 and 3 channels"):
        call("AudioConcat", audio1=audio(10, 1.0), audio2=audio(10, 1.0, 1.0, 1.0, songs=2), direction="after")
    with pytest.raises(ValueError, match="2 and 3 songs"):
        call("AudioMerge", audio1=audio(10, 1.0, songs=2), audio2=audio(10, 1.0, songs=3), merge_method="add")


@pytest.mark.parametrize(("method", "level"), [("add", 0.75), ("mean", 0.375), ("subtract", 0.25), ("multiply", 0.125)])
def test_two_at_once_last_as_long_as_the_first(method: str, level: float) -> None:
    first, second = audio(1000, 0.5, 0.5), audio(1000, 0.25, seconds=0.05)
    (mixed,) = call("AudioMerge", audio1=first, audio2=second, merge_method=method)
    assert mixed["waveform"].shape == (1, 2, 100)
    assert mixed["waveform"][..., :50].unique().tolist() == [level]
    silence = {"add": 0.5, "mean": 0.25, "subtract": 0.5, "multiply": 0.0}[method]
    assert mixed["waveform"][..., 50:].unique().tolist() == [silence]


def test_a_mix_above_full_scale_is_lowered_as_a_whole() -> None:
    (mixed,) = call("AudioMerge", audio1=audio(10, 1.0, 0.1), audio2=audio(10, 1.0, 0.1), merge_method="add")
    assert mixed["waveform"][0, :, 0].tolist() == pytest.approx([1.0, 0.1])


@pytest.mark.parametrize(("decibels", "gain"), [(0, 1.0), (20, 10.0), (-40, 0.01)])
def test_volume_is_in_decibels(decibels: int, gain: float) -> None:
    (louder,) = call("AudioAdjustVolume", audio=audio(100, 0.5), volume=decibels)
    assert louder["waveform"].unique().tolist() == pytest.approx([0.5 * gain])


@pytest.mark.parametrize(("hertz", "band"), [(30, "low"), (1000, "mid"), (15000, "high")])
def test_each_band_changes_its_own_tones(hertz: int, band: str) -> None:
    tone = {"waveform": 0.2 * sine(48000, 0.5, 1, hertz)[None], "sample_rate": 48000}
    settings = {f"{name}_gain_dB": -12.0 * (name == band) for name in ("low", "mid", "high")}
    settings |= {"low_freq": 100, "mid_freq": 1000, "mid_q": 0.707, "high_freq": 5000}
    (filtered,) = call("AudioEqualizer3Band", audio=tone, **settings)
    settled = slice(12000, None)
    levels = [wave["waveform"][..., settled].square().mean().sqrt() for wave in (tone, filtered)]
    assert 20 * math.log10(levels[1] / levels[0]) == pytest.approx(-12, abs=1)
    (unchanged,) = call("AudioEqualizer3Band", audio=tone, **settings | {f"{band}_gain_dB": 0.0})
    assert torch.equal(unchanged["waveform"], tone["waveform"])


def test_texts() -> None:
    assert call("StringConcatenate", string_a="a", string_b="b", delimiter="\n") == ("a\nb",)
