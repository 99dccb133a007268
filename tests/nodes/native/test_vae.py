"""The VAE's nodes on the demo network's VAE."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from native_nodes import call
from torch import Tensor

from acestep_xl.host.headless import HeadlessHost
from acestep_xl.model import random_network
from acestep_xl.pipeline.vae_socket import AudioVAE


class Scaled:
    """A VAE whose waveform is known. scale: of its constant noise."""

    audio_sample_rate = 48000

    def __init__(self, scale: float) -> None:
        self.waveform = scale * torch.randn(1, 9600, 2, generator=torch.Generator().manual_seed(1))
        self.encoded: Tensor | None = None

    def decode(self, samples_in: Tensor) -> Tensor:
        return self.waveform

    def encode(self, pixel_samples: Tensor) -> Tensor:
        self.encoded = pixel_samples
        return torch.zeros(len(pixel_samples), 64, pixel_samples.shape[1] // 1920)


@pytest.mark.parametrize("node", ["VAEDecodeAudio", "VAEDecodeAudioTiled"])
@pytest.mark.parametrize(("scale", "expected"), [(0.1, 0.1), (0.19, 0.19), (1.0, 0.2), (30.0, 0.2)])
def test_five_standard_deviations_are_full_scale_where_they_are_above(node: str, scale: float, expected: float) -> None:
    sizes = {"tile_size": 64, "overlap": 8} if node.endswith("Tiled") else {}
    (audio,) = call(node, samples={"samples": torch.zeros(1, 64, 5)}, vae=Scaled(scale), **sizes)
    assert audio["sample_rate"] == 48000 and audio["waveform"].shape == (1, 2, 9600)
    assert float(audio["waveform"].std()) == pytest.approx(expected, rel=0.02)


def test_a_rate_of_the_latent_is_kept() -> None:
    (audio,) = call("VAEDecodeAudio", samples={"samples": torch.zeros(1, 64, 5), "sample_rate": 44100}, vae=Scaled(0.1))
    assert audio["sample_rate"] == 44100


def test_there_and_back(host: HeadlessHost) -> None:
    vae = AudioVAE(random_network.vae())
    (audio,) = call("VAEDecodeAudio", samples={"samples": torch.randn(2, 64, 4)}, vae=vae)
    (latent,) = call("VAEEncodeAudio", audio=audio, vae=vae)
    assert latent["samples"].shape == (2, 64, 4) and set(latent) == {"samples"}


@pytest.mark.parametrize(
    ("rate", "channels", "samples", "start", "end"),
    [(48000, 2, 3840, 0, 3840), (48000, 1, 3000, 540, 2460), (48000, 6, 1920, 0, 1920)],
)
def test_whole_frames_of_the_middle_are_encoded(rate: int, channels: int, samples: int, start: int, end: int) -> None:
    waveform = torch.randn(1, channels, samples)
    vae = Scaled(0.1)
    call("VAEEncodeAudio", audio={"waveform": waveform, "sample_rate": rate}, vae=vae)
    sides = waveform[:, :2, start:end].expand(-1, 2, -1)
    assert vae.encoded is not None and torch.equal(vae.encoded, sides.movedim(1, -1))


def test_other_rates_are_resampled_to_the_vae() -> None:
    vae = Scaled(0.1)
    call("VAEEncodeAudio", audio={"waveform": torch.randn(1, 2, 22050), "sample_rate": 22050}, vae=vae)
    assert vae.encoded is not None and vae.encoded.shape == (1, 48000, 2)


def test_less_than_a_frame_is_refused() -> None:
    short: dict[str, Any] = {"waveform": torch.zeros(1, 2, 1919), "sample_rate": 48000}
    with pytest.raises(ValueError, match=r"1919 samples long.*less than one latent frame of 1920"):
        call("VAEEncodeAudio", audio=short, vae=Scaled(0.1))
