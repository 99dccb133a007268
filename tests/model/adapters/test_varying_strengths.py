"""Strengths that change over the run, or from place to place in the song."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from adapter_files import FILES, relative
from torch import Tensor

from acestep_xl.model.adapters.adapter import Adapter
from acestep_xl.model.adapters.attach import Applied, attach
from acestep_xl.model.adapters.linear import AdaptedLinear
from acestep_xl.model.adapters.reach import over_tokens
from acestep_xl.model.adapters.read import read
from acestep_xl.model.condition import Condition
from acestep_xl.model.network import AceStep, share
from acestep_xl.model.predictor import Predictor

KINDS = (
    *("peft_lora", "peft_dora", "peft_oft", "lycoris_loha.safetensors", "lycoris_lokr_w2ab.safetensors"),
    *("lycoris_ia3.safetensors", "lycoris_oft_rescaled.safetensors", "lycoris_boft.safetensors"),
    *("lycoris_glora.safetensors", "lycoris_full.safetensors"),
)
WIDE = "peft_extra_targets"  # layers that see the prompt, the noise level and the song
FRAMES = 40


@pytest.fixture(scope="module")
def adapter() -> Adapter:
    return read(FILES / WIDE)


def adapted(network: AceStep, *applied: Applied) -> AceStep:
    copy = share(network)
    attach(copy, applied)
    return copy


@pytest.fixture(scope="module")
def predictor() -> Callable[..., Predictor]:
    generator = torch.Generator().manual_seed(0)

    def make(network: AceStep) -> Predictor:
        width = network.config.encoder.hidden
        states = torch.randn(1, 9, width, generator=generator.manual_seed(1))
        context = torch.randn(1, FRAMES, 2 * network.config.latent_channels, generator=generator.manual_seed(2))
        return Predictor(network, Condition(states, torch.ones(1, 9, dtype=torch.bool)), context)

    return make


@pytest.fixture(scope="module")
def x(network: AceStep) -> Tensor:
    return torch.randn(1, FRAMES, network.config.latent_channels, generator=torch.Generator().manual_seed(3))


def test_a_curve_gives_every_step_its_strength(network, adapter, predictor, x) -> None:
    """Also layers that see only the prompt, whose projections are computed anew, and levels that go back."""
    varying = predictor(adapted(network, Applied(adapter, 0.5, over_progress=lambda progress: 2 * progress)))
    varying.precompute_timesteps([0.9, 0.5, 0.1])
    for t in (0.9, 0.5, 0.1, 0.5):
        fixed = predictor(adapted(network, Applied(adapter, 1 - t)))
        for ours, expected in zip(varying(x, t, unconditional=True), fixed(x, t, unconditional=True), strict=True):
            assert ours is not None and expected is not None
            assert relative(ours, expected) < 1e-6


def test_two_runs_of_one_network_do_not_disturb_each_other(network, adapter, predictor, x) -> None:
    shared = adapted(network, Applied(adapter, 1.0, over_progress=lambda progress: progress))
    first, second = predictor(shared), predictor(shared)
    alone = first(x, 0.3, unconditional=False)[0]
    second(x, 0.8, unconditional=False)
    assert torch.equal(first(x, 0.3, unconditional=False)[0], alone)


def test_comfyui_samplers_follow_the_curve_too(network, adapter) -> None:
    alone = replace(adapter, entries=tuple(e for e in adapter.entries if e.parameter.startswith("decoder.")))
    varying = adapted(network, Applied(alone, 1.0, over_progress=lambda progress: progress))
    fixed = adapted(network, Applied(alone, 0.75))
    generator = torch.Generator().manual_seed(4)
    latents = torch.randn(1, network.config.latent_channels, FRAMES, generator=generator)
    text = torch.randn(1, 5, network.config.text_dim, generator=generator)
    results = [net(latents, torch.tensor([0.25]), text, text, latents, is_covers=False) for net in (varying, fixed)]
    assert relative(results[0], results[1]) < 1e-6


@pytest.mark.parametrize("file", KINDS)
def test_every_kind_acts_where_the_song_has_a_factor(network: AceStep, file: str) -> None:
    whole = adapted(network, Applied(read(FILES / file), 0.7))
    name, layer = next((n, m) for n, m in whole.named_modules() if isinstance(m, AdaptedLinear) and m.reach == "song")
    tokens = torch.randn(2, 6, layer.in_features, generator=torch.Generator().manual_seed(5))
    everywhere, nowhere = layer(tokens), layer.base(tokens)
    assert layer.set_strength(0.7, torch.tensor([1.0, 1, 1, 0, 0, 0])) is False
    partly = layer(tokens)
    torch.testing.assert_close(partly[:, :3], everywhere[:, :3])
    torch.testing.assert_close(partly[:, 3:], nowhere[:, 3:])
    layer.set_strength(0.7, None)
    assert torch.equal(layer(tokens), everywhere), name


def test_a_region_without_borders_is_the_adapter_itself(network, adapter, predictor, x) -> None:
    for factor in (1.0, 0.0, 0.4):
        regional = adapted(network, Applied(adapter, 0.8, over_song=lambda frames, f=factor: torch.full((frames,), f)))
        expected = predictor(adapted(network, Applied(adapter, 0.8 * factor)))(x, 0.6, unconditional=False)[0]
        assert relative(predictor(regional)(x, 0.6, unconditional=False)[0], expected) < 1e-5


def test_songs_of_several_lengths_share_a_network(network, adapter, predictor, x) -> None:
    regional = adapted(network, Applied(adapter, 1.0, over_song=lambda frames: torch.linspace(0, 1, frames)))
    long, short = predictor(regional), Predictor(regional, *_short(network))
    before = long(x, 0.6, unconditional=False)[0]
    short(x[:, :21], 0.6, unconditional=False)
    assert torch.equal(long(x, 0.6, unconditional=False)[0], before)


def _short(network: AceStep) -> tuple[Condition, Tensor]:
    states = torch.randn(1, 4, network.config.encoder.hidden, generator=torch.Generator().manual_seed(6))
    return Condition(states, torch.ones(1, 4, dtype=torch.bool)), torch.zeros(1, 21, 2 * network.config.latent_channels)


def test_a_token_takes_the_mean_of_its_frames() -> None:
    assert over_tokens(lambda frames: torch.arange(frames), 5).tolist() == [0.5, 2.5, 4.0]


def test_merged_adapters_have_one_strength(network: AceStep, adapter: Adapter) -> None:
    with pytest.raises(ValueError, match="leave out the curve and the regions"):
        attach(share(network), [Applied(adapter, over_progress=lambda progress: progress)], merged=True)
