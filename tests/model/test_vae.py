"""The autoencoder against diffusers' class, and chunked runs against unchunked ones."""

from __future__ import annotations

import copy
import math
from functools import cache
from typing import Any

import pytest
import torch
from diffusers.models.autoencoders.autoencoder_oobleck import AutoencoderOobleck
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from acestep_xl.model.vae.chunks import receptive_field
from acestep_xl.model.vae.config import VAEConfig
from acestep_xl.model.vae.keys import vae_state
from acestep_xl.model.vae.oobleck import Downsampling, Oobleck

pytestmark = pytest.mark.filterwarnings("ignore:.*weight_norm.*is deprecated:FutureWarning")  # diffusers' own

STRIDES = {"acestep": (2, 4, 4, 6, 10), "stable_audio": (2, 4, 4, 8, 8), "shallow": (6, 2)}


@cache
def reference(strides: tuple[int, ...]) -> Any:
    """Few channels, every parameter random; small residuals, because a chaotic net would make rounding grow."""
    model = AutoencoderOobleck(
        encoder_hidden_size=8,
        downsampling_ratios=list(strides),
        channel_multiples=[1, 2, 3, 3, 4][: len(strides)],
        decoder_channels=6,
        decoder_input_channels=4,
        audio_channels=2,
        sampling_rate=48000,
    ).eval()
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            random = torch.randn(parameter.shape, generator=generator)
            if name.endswith("weight_g"):
                parameter.copy_((0.2 if "res_unit" in name else 0.7) * (1 + 0.2 * random))
            else:
                parameter.copy_(random if name.endswith("weight_v") else 0.2 * random)
    return model


@cache
def ours(strides: tuple[int, ...]) -> Oobleck:
    tensors = reference(strides).state_dict()
    with torch.device("meta"):
        model = Oobleck(VAEConfig.from_state({key: tuple(value.shape) for key, value in tensors.items()}))
    model.load_state_dict(vae_state(tensors), assign=True, strict=True)
    return model


def noise(*shape: int, seed: int = 1) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("strides", STRIDES.values(), ids=STRIDES)
def test_equals_diffusers(strides: tuple[int, ...]) -> None:
    hop = math.prod(strides)
    waveform, latents = noise(2, 2, 7 * hop), noise(2, 4, 7)
    with torch.no_grad():
        mean = reference(strides).encode(waveform).latent_dist.mean
        decoded = reference(strides).decode(latents).sample
    assert mean.std() > 0.1 and decoded.std() > 0.1
    assert ours(strides).encode(waveform).shape == (2, 4, 7)
    assert ours(strides).decode(latents).shape == (2, 2, 7 * hop)
    torch.testing.assert_close(ours(strides).encode(waveform), mean, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(ours(strides).decode(latents), decoded, atol=1e-5, rtol=1e-5)


def test_bfloat16_weights_stay_bfloat16_and_results_float32() -> None:
    strides = STRIDES["shallow"]
    model = Oobleck(ours(strides).config)
    state = vae_state({key: value.bfloat16() for key, value in reference(strides).state_dict().items()})
    model.load_state_dict(state, assign=True, strict=True)
    assert {parameter.dtype for parameter in model.parameters()} == {torch.bfloat16}
    latents, waveform = noise(1, 4, 30), noise(1, 2, 300)
    for half, exact in (
        (model.decode(latents, chunk_frames=8), ours(strides).decode(latents)),
        (model.encode(waveform), ours(strides).encode(waveform)),
    ):
        assert half.dtype == torch.float32
        assert torch.cosine_similarity(half.flatten(), exact.flatten(), dim=0) > 0.99


@pytest.mark.parametrize("stride", [2, 4, 6, 8, 10])
@pytest.mark.parametrize("channels", [2, 4, 8, 12, 14, 16, 24])
def test_narrow_downsampling_in_bfloat16_is_right(channels: int, stride: int) -> None:
    """Some of these are wrong in torch 2.11 on CPUs with AMX (cosine similarity 0.1)."""
    torch.manual_seed(0)
    layer = Downsampling(channels, 8, 2 * stride, stride=stride, padding=stride // 2).bfloat16()
    x = noise(1, channels, 300).bfloat16()
    with torch.no_grad():
        half, exact = layer(x).float(), copy.deepcopy(layer).float()(x.float())
    assert torch.cosine_similarity(half.flatten(), exact.flatten(), dim=0) > 0.999


@settings(max_examples=20, deadline=None)
@given(frames=st.integers(1, 40), chunk=st.integers(1, 45), batch=st.integers(1, 2))
def test_chunked_decode_equals_unchunked(frames: int, chunk: int, batch: int) -> None:
    model, latents = ours(STRIDES["acestep"]), noise(batch, 4, frames)
    torch.testing.assert_close(model.decode(latents, chunk), model.decode(latents), atol=1e-5, rtol=0)


@settings(max_examples=20, deadline=None)
@given(frames=st.integers(1, 40), cut=st.integers(0, 1919), chunk=st.integers(1, 45), batch=st.integers(1, 2))
def test_chunked_encode_equals_unchunked(frames: int, cut: int, chunk: int, batch: int) -> None:
    model, waveform = ours(STRIDES["acestep"]), noise(batch, 2, frames * 1920 - cut)
    torch.testing.assert_close(model.encode(waveform, chunk), model.encode(waveform), atol=1e-5, rtol=0)


@pytest.mark.parametrize("samples", [1, 1919, 1920, 1921, 3 * 1920])
def test_encode_pads_the_end_with_zeros(samples: int) -> None:
    model, waveform = ours(STRIDES["acestep"]), noise(1, 2, samples)
    latents = model.encode(waveform)
    assert latents.shape == (1, 4, math.ceil(samples / 1920))
    padded = torch.cat([waveform, torch.zeros(1, 2, -samples % 1920)], dim=-1)
    assert torch.equal(latents, model.encode(padded))


def test_encode_is_deterministic_and_leaves_the_generator_alone() -> None:
    model, waveform = ours(STRIDES["acestep"]), noise(1, 2, 4000)
    before = torch.get_rng_state()
    assert torch.equal(model.encode(waveform), model.encode(waveform))
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("strides", STRIDES.values(), ids=STRIDES)
def test_receptive_field_is_exactly_what_gradients_see(strides: tuple[int, ...]) -> None:
    model, hop, frames = ours(strides), math.prod(strides), 61
    middle = frames // 2
    first, last = receptive_field(model.decoder, middle * hop, (middle + 1) * hop - 1)
    latents = noise(1, 4, frames).requires_grad_()
    model.decoder(latents)[..., middle * hop : (middle + 1) * hop].square().sum().backward()
    assert latents.grad is not None
    assert (latents.grad.abs().sum((0, 1)) > 0).nonzero().flatten().tolist() == list(range(first, last + 1))
    assert model.decode_overlap == max(middle - first, last - middle)

    first, last = receptive_field(model.encoder, middle, middle)
    waveform = noise(1, 2, frames * hop).requires_grad_()
    model.encoder(waveform)[..., middle].square().sum().backward()
    assert waveform.grad is not None
    touched = (waveform.grad.abs().sum((0, 1)) > 0).nonzero().flatten()
    assert (int(touched[0]), int(touched[-1])) == (first, last)
    assert model.encode_overlap == max(middle - first // hop, last // hop - middle)


def test_progress_reports_every_chunk_of_every_item() -> None:
    model, calls = ours((6, 2)), []
    model.decode(noise(2, 4, 25), chunk_frames=10, on_chunk=lambda done, total: calls.append((done, total)))
    assert calls == [(i, 6) for i in range(1, 7)]
    calls.clear()
    model.encode(noise(3, 2, 100), on_chunk=lambda done, total: calls.append((done, total)))
    assert calls == [(1, 1)]
    calls.clear()
    model.encode(noise(3, 2, 100), chunk_frames=1000, on_chunk=lambda done, total: calls.append((done, total)))
    assert calls == [(1, 3), (2, 3), (3, 3)]


def test_an_exception_in_progress_stops_the_work() -> None:
    calls = []

    def stop(done: int, total: int) -> None:
        calls.append(done)
        if done == 2:
            raise InterruptedError

    with pytest.raises(InterruptedError):
        ours((6, 2)).decode(noise(1, 4, 25), chunk_frames=5, on_chunk=stop)
    assert calls == [1, 2]


def test_no_run_sees_more_than_a_chunk_and_its_overlaps() -> None:
    model, lengths = ours((6, 2)), []
    hook = model.decoder.register_forward_pre_hook(lambda _, inputs: lengths.append(tuple(inputs[0].shape)))
    try:
        model.decode(noise(2, 4, 200), chunk_frames=20)
    finally:
        hook.remove()
    assert {batch for batch, _, _ in lengths} == {1}
    assert max(frames for _, _, frames in lengths) == 20 + 2 * model.decode_overlap
    assert len(lengths) == 20


@pytest.mark.parametrize("shape", [(4, 9), (1, 5, 9), (1, 9, 4), (1, 4, 0), (0, 4, 9), ()])
def test_latents_of_another_shape_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"latents must be \[b 4 t\].*got \[" + ", ".join(map(str, shape))):
        ours((6, 2)).decode(torch.zeros(shape))


@pytest.mark.parametrize("shape", [(2, 100), (1, 1, 100), (1, 100, 2), (1, 2, 0)])
def test_waveforms_of_another_shape_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"waveform must be \[b 2 n\].*got \[" + ", ".join(map(str, shape))):
        ours((6, 2)).encode(torch.zeros(shape))


def test_integers_and_empty_chunks_are_refused() -> None:
    with pytest.raises(ValueError, match="int16"):
        ours((6, 2)).encode(torch.zeros(1, 2, 100, dtype=torch.int16))
    for chunk in (0, -3):
        with pytest.raises(ValueError, match=f"chunk_frames is {chunk}; it must be at least 1"):
            ours((6, 2)).decode(noise(1, 4, 9), chunk_frames=chunk)


def test_full_size() -> None:
    with torch.device("meta"):
        model = Oobleck(VAEConfig())
        theirs = AutoencoderOobleck(downsampling_ratios=[2, 4, 4, 6, 10], sampling_rate=48000)
    folded = {name: p.numel() for name, p in theirs.named_parameters() if not name.endswith("weight_g")}
    count = sum(p.numel() for p in model.parameters())
    assert count == sum(folded.values())
    assert round(sum(p.numel() for p in theirs.parameters()) / 1e6, 1) == round(count / 1e6, 1) == 168.7
    assert model.config.hop == 1920
    assert VAEConfig.from_diffusers(dict(theirs.config)) == VAEConfig()


def test_one_frame_never_reaches_past_its_neighbours_overlap() -> None:
    """Changing one latent frame changes the samples around it and nothing else."""
    model, latents = ours(STRIDES["acestep"]), noise(1, 4, 40)
    changed = latents.clone()
    changed[..., 20] += 1
    touched = (model.decode(latents) != model.decode(changed)).any(1).flatten().nonzero().flatten()
    assert int(touched[0]) >= (20 - model.decode_overlap) * 1920
    assert int(touched[-1]) < (21 + model.decode_overlap) * 1920


@pytest.mark.parametrize("strides", [(2, 3), (1, 2), (2,), ()])
def test_strides_that_cannot_work_are_refused(strides: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="strides"):
        VAEConfig(channel_multiples=(1, 2), strides=strides)
