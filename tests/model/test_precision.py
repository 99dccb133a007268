"""Precision: which dtype is chosen, and that fp16 survives what would overflow it."""

from __future__ import annotations

import pytest
import torch

from acestep_xl.model import random_network
from acestep_xl.model.condition import Condition
from acestep_xl.model.context import text_to_music
from acestep_xl.model.network import AceStep
from acestep_xl.model.precision import choose_dtype, network_dtypes, text_vae_dtype
from acestep_xl.model.predictor import Predictor

CPU = torch.device("cpu")
LOUD = {"gate_proj": 16.0, "up_proj": 5000.0, "down_proj": 1 / 80000}


def converted(dtype: torch.dtype, *, loud: bool = False) -> AceStep:
    """The random network in a dtype; loud makes the products inside its MLPs large and scales the results back."""
    network = random_network.network()
    network.silence = torch.zeros(1, 64)
    dtype_of = network_dtypes(dtype)
    for name, parameter in network.named_parameters():
        for part, gain in LOUD.items() if loud else ():
            if name.endswith(f"{part}.weight"):
                parameter.mul_(gain)
        parameter.data = parameter.data.to(dtype_of(name))
    return network


def velocity(network: AceStep) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    text, lyric = (torch.randn(1, n, random_network.CONFIG.text_dim, generator=generator) for n in (9, 300))
    x = torch.randn(1, 80, 64, generator=generator)
    with torch.no_grad():
        condition: Condition = network.encoder(
            text,
            torch.ones(1, 9, dtype=torch.bool),
            lyric,
            torch.ones(1, 300, dtype=torch.bool),
            network.silent_reference(),
            [0],
        )
    return Predictor(network, condition, text_to_music(network, 80))(x, 0.8, unconditional=False)[0]


def test_choice() -> None:
    assert choose_dtype("auto", CPU) == torch.float32
    assert choose_dtype("auto", torch.device("mps")) == torch.bfloat16
    assert choose_dtype("fp16", CPU) == torch.float16
    assert text_vae_dtype(torch.float16) == torch.float32
    assert text_vae_dtype(torch.bfloat16) == torch.bfloat16
    with pytest.raises(ValueError, match="precision 'int4' is unknown; allowed: auto, bf16, fp16, fp32"):
        choose_dtype("int4", CPU)


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.bfloat16, 0.1), (torch.float16, 0.02)])
def test_half_precision_is_near_float32(dtype: torch.dtype, tolerance: float) -> None:
    exact, half = velocity(converted(torch.float32)), velocity(converted(dtype))
    assert half.dtype == torch.float32  # the dtype of x, whatever the network computes in
    assert (half - exact).norm() / exact.norm() < tolerance


def test_fp16_survives_an_inner_product_beyond_its_range() -> None:
    """The lyric encoder of the real model reaches 505,000; fp16 ends at 65,504."""
    network = converted(torch.float16, loud=True)
    peak = 0.0

    def watch(_: torch.nn.Module, args: tuple[torch.Tensor]) -> None:
        nonlocal peak
        peak = max(peak, float(args[0].abs().max()))

    for module in network.modules():
        if hasattr(module, "down_proj"):
            module.down_proj.register_forward_pre_hook(watch)  # type: ignore[union-attr, operator]
    result = velocity(network)
    assert peak > torch.finfo(torch.float16).max
    exact = velocity(converted(torch.float32, loud=True))
    assert (result - exact).norm() / exact.norm() < 0.02


def test_fp16_keeps_only_what_overflows_in_float32() -> None:
    network = converted(torch.float16)
    wide = sum(p.numel() for p in network.parameters() if p.dtype == torch.float32)
    assert 0 < wide < 0.5 * sum(p.numel() for p in network.parameters())
    assert network.decoder.layers[0].self_attn.q_proj.weight.dtype == torch.float16  # type: ignore[union-attr]
