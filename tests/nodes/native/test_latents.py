"""Batches of latents, their masks and their places in the noise."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from native_nodes import call


def latent(songs: int = 3, frames: int = 8, **extra: Any) -> dict[str, Any]:
    samples = torch.arange(songs * 64 * frames, dtype=torch.float32).reshape(songs, 64, frames)
    return {"samples": samples, "type": "audio", **extra}


@pytest.mark.parametrize(("seconds", "frames"), [(1.0, 25), (120.0, 3000), (1.02, 26), (2.5, 62)])
def test_an_empty_latent_has_25_frames_a_second(seconds: float, frames: int) -> None:
    (result,) = call("EmptyAceStep1.5LatentAudio", seconds=seconds, batch_size=2)
    assert result["samples"].shape == (2, 64, frames) and not result["samples"].any()
    assert result["type"] == "audio"


@given(songs=st.integers(1, 5), index=st.integers(0, 63), length=st.integers(1, 64))
def test_songs_of_a_batch_keep_their_places(songs: int, index: int, length: int) -> None:
    whole = latent(songs, noise_mask=torch.arange(songs)[:, None, None, None].float())
    (part,) = call("LatentFromBatch", samples=whole, batch_index=index, length=length)
    first = min(index, songs - 1)
    expected = list(range(songs))[first : first + length]
    assert part["batch_index"] == expected
    assert torch.equal(part["samples"], whole["samples"][expected])
    if songs > 1:
        assert torch.equal(part["noise_mask"], whole["noise_mask"][expected])
    (again,) = call("LatentFromBatch", samples=part, batch_index=0, length=1)
    assert again["batch_index"] == expected[:1]


def test_fewer_masks_than_songs_go_round() -> None:
    masks = torch.tensor([1.0, 2.0])[:, None, None, None]
    (part,) = call("LatentFromBatch", samples=latent(5, noise_mask=masks), batch_index=2, length=3)
    assert part["noise_mask"].flatten().tolist() == [1, 2, 1]
    (one,) = call("LatentFromBatch", samples=latent(5, noise_mask=masks[:1]), batch_index=2, length=3)
    assert one["noise_mask"].flatten().tolist() == [1]


def test_each_repetition_takes_noise_of_its_own() -> None:
    (result,) = call("RepeatLatentBatch", samples=latent(2, batch_index=[3, 5]), amount=3)
    assert result["batch_index"] == [3, 5, 6, 8, 9, 11]
    assert torch.equal(result["samples"][2:4], result["samples"][:2]) and len(result["samples"]) == 6
    (plain,) = call("RepeatLatentBatch", samples=latent(1), amount=2)
    assert "batch_index" not in plain and "noise_mask" not in plain


def test_two_batches_become_one() -> None:
    (both,) = call("LatentBatch", samples1=latent(2), samples2=latent(1, batch_index=[7]))
    assert both["samples"].shape == (3, 64, 8) and both["batch_index"] == [0, 1, 7]
    with pytest.raises(ValueError, match=r"samples1 is \[2, 64, 8\], samples2 \[2, 64, 9\]"):
        call("LatentBatch", samples1=latent(2), samples2=latent(2, 9))


def test_noise_of_one_place_or_of_each() -> None:
    (fixed,) = call("LatentBatchSeedBehavior", samples=latent(3, batch_index=[4, 5, 6]), seed_behavior="fixed")
    (random,) = call("LatentBatchSeedBehavior", samples=fixed, seed_behavior="random")
    assert fixed["batch_index"] == [4, 4, 4] and "batch_index" not in random


def test_a_mask_over_time() -> None:
    (mask,) = call("SolidMask", value=0.5, width=8, height=1)
    whole = latent(2)
    (masked,) = call("SetLatentNoiseMask", samples=whole, mask=mask)
    assert masked["noise_mask"].shape == (1, 1, 1, 8) and masked["noise_mask"].unique().tolist() == [0.5]
    assert torch.equal(call("InvertMask", mask=mask)[0], 1 - mask)
    assert masked["samples"] is whole["samples"] and "noise_mask" not in whole


def test_latents_are_joined_and_cut_in_time() -> None:
    first, second = latent(2, 5), latent(1, 3)
    (joined,) = call("LatentConcat", samples1=first, samples2=second, dim="x")
    assert joined["samples"].shape == (2, 64, 8)
    (tail,) = call("LatentCut", samples=joined, dim="x", index=-3, amount=16384)
    assert torch.equal(tail["samples"], second["samples"].repeat(2, 1, 1))
    (head,) = call("LatentCut", samples=joined, dim="x", index=0, amount=5)
    assert torch.equal(head["samples"], first["samples"])
    (swapped,) = call("LatentConcat", samples1=first, samples2=second, dim="-x")
    assert torch.equal(swapped["samples"][..., 3:], first["samples"])
    with pytest.raises(ValueError, match="joined along t, all other sizes must be equal"):
        call("LatentConcat", samples1=first, samples2=second, dim="t")


@pytest.mark.parametrize(("index", "amount", "expected"), [(9, 5, [7]), (-9, 2, [0, 1]), (6, 5, [6, 7])])
def test_a_cut_beyond_the_ends_takes_what_is_there(index: int, amount: int, expected: list[int]) -> None:
    frames = {"samples": torch.arange(8.0).expand(1, 64, 8)}
    (part,) = call("LatentCut", samples=frames, dim="x", index=index, amount=amount)
    assert part["samples"][0, 0].tolist() == expected


def test_arithmetic() -> None:
    a, b = latent(2), {"samples": torch.ones(1, 64, 8)}
    assert torch.equal(call("LatentAdd", samples1=a, samples2=b)[0]["samples"], a["samples"] + 1)
    assert torch.equal(call("LatentSubtract", samples1=a, samples2=b)[0]["samples"], a["samples"] - 1)
    assert torch.equal(call("LatentMultiply", samples=a, multiplier=-2.0)[0]["samples"], a["samples"] * -2)
    assert torch.equal(call("LatentBlend", samples1=a, samples2=b, blend_factor=1.0)[0]["samples"], a["samples"])
    with pytest.raises(ValueError, match="same length and channels"):
        call("LatentAdd", samples1=a, samples2=latent(2, 9))
