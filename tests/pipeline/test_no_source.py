"""Runs that start below noise without a source: from the silence latent, as the network knows "no source"."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from guiders import make_guider

from acestep_xl import host as hosts
from acestep_xl import parameters
from acestep_xl.host.headless import HeadlessHost
from acestep_xl.nodes.sampler import Sampler
from acestep_xl.pipeline.edit import with_silence

FRAMES = 200
BELOW_NOISE = torch.tensor([0.6, 0.3, 0.0])


@pytest.fixture(autouse=True)
def headless_host(tmp_path: Path) -> Iterator[HeadlessHost]:
    host = HeadlessHost([], tmp_path, device="cpu")
    with hosts.use(host):
        yield host


def song(latents: torch.Tensor, sigmas: torch.Tensor = BELOW_NOISE, frames: int = FRAMES) -> torch.Tensor:
    return Sampler().sample(make_guider(), sigmas, {"samples": latents}, 3)[0]["samples"][..., :frames]


def silence(frames: int) -> torch.Tensor:
    """The silence latent as a socket carries it, ``[1 c t]``."""
    return make_guider().network.silent(frames).T[None].contiguous().float()


@pytest.mark.parametrize("frames", [FRAMES, 50])
def test_an_empty_latent_is_silence(frames: int) -> None:
    """Also over the minimum length that a shorter song is cut from."""
    empty = song(torch.zeros(1, 64, frames), frames=frames)
    source = silence(max(frames, parameters.MINIMUM_FRAMES))
    assert torch.allclose(empty, song(source, frames=frames), atol=1e-4)
    zeros = torch.zeros(1, 64, frames)
    zeros[0, 0, 0] = 1e-30  # anything else is a source
    assert not torch.allclose(empty, song(zeros, frames=frames), atol=1e-3)


def test_noise_hides_it() -> None:
    """From level 1 on the source has no part in the start."""
    sigmas = torch.tensor([1.0, 0.5, 0.0])
    assert torch.allclose(song(torch.zeros(1, 64, FRAMES), sigmas), song(silence(FRAMES), sigmas), atol=1e-6)


def test_each_song_of_a_batch_for_itself() -> None:
    network = make_guider().network
    latents = torch.zeros(2, FRAMES, 64)
    latents[1] += 0.5
    filled = with_silence(latents, network, FRAMES + 10)
    assert torch.equal(filled[0], network.silent(FRAMES + 10))
    assert torch.equal(filled[1, :FRAMES], latents[1]) and torch.equal(filled[1, FRAMES:], network.silent(10))
