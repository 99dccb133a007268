"""The demo VAE: the encoder is the filter bank, and the codec is exact on the composer's songs."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
import training_package  # noqa: F401 - makes the folder training importable
from hypothesis import given, settings
from hypothesis import strategies as st

from training import composer, dataset, sounds, train_vae

FAST = settings(max_examples=15, deadline=None)
SEEDS = st.integers(0, 2**40)


def test_the_encoder_is_the_filter_bank_and_the_codec_is_exact(vae: Any, scale: np.ndarray) -> None:
    for seed in (5, 6, 7):
        wave = composer.render_song(composer.draw_plan(seed, 6))
        latents = vae.encode(torch.tensor(wave)[None])
        expected = train_vae.analyse(wave) / scale
        expected[0, train_vae.MARK_CHANNEL] += train_vae.MARK
        np.testing.assert_allclose(latents[0].T.numpy(), expected, atol=5e-2)
        decoded = vae.decode(latents)[0].numpy()
        assert 10 * np.log10((wave**2).sum() / ((wave - decoded) ** 2).sum()) > 15
    silence = vae.encode(torch.zeros(1, 2, 5 * sounds.HOP))[0].T.numpy()
    marked = np.zeros((5, 64))
    marked[0, train_vae.MARK_CHANNEL] = train_vae.MARK
    np.testing.assert_allclose(silence, marked, atol=3e-2)


@pytest.mark.parametrize(("channel", "opened"), train_vae.GATES.items())
def test_gates_pass_hits_and_suppress_their_traces(vae: Any, scale: np.ndarray, channel: int, opened: float) -> None:
    """By the closed form x - sin(2 pi x / opened) opened / 2 pi; a tenth of a hit becomes less than 1/150."""
    values = torch.tensor([-1.0, -0.1, 0.0, 0.1, 0.25, 0.5, 1.0, 1.7, 4.0]) * opened
    latents = torch.zeros(len(values), sounds.LATENTS, 11)
    latents[:, channel, 5] = values
    linear = train_vae.build(scale, gates={}).decode(latents)
    size = vae.decode(latents).flatten(1).norm(dim=1) / (linear.flatten(1).norm(dim=1) / values.abs()).nanmean()
    expected = values - torch.sin(2 * math.pi * values / opened) * opened / (2 * math.pi)
    torch.testing.assert_close(size, expected.abs(), atol=1e-3 * opened, rtol=1e-3)
    assert expected[3] < opened / 150


def test_the_codec_keeps_any_low_sound(vae: Any) -> None:
    """Bass below the chords may have any pitch and phase."""
    time = np.arange(4 * sounds.RATE) / sounds.RATE
    for f in (61.3, 123.4, 333.3):
        wave = torch.tensor(np.tile(0.3 * np.sin(2 * np.pi * f * time + f), (2, 1)), dtype=torch.float32)[None]
        decoded = vae.decode(vae.encode(wave))
        middle = slice(sounds.RATE, 3 * sounds.RATE)
        error = (wave - decoded)[..., middle].square().sum() / wave[..., middle].square().sum()
        assert error < 1e-3


@FAST
@given(SEEDS)
def test_latents_without_a_waveform_equal_the_encoders(
    responses: dataset.ImpulseResponses, scale: np.ndarray, seed: int
) -> None:
    score = composer.write_score(composer.draw_plan(seed, 7))
    expected = train_vae.analyse(composer.render(score)) / scale
    np.testing.assert_allclose(responses.latents(score)[2:-3], expected[2:-3], atol=1e-3)
