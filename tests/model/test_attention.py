"""Attention with a window, by a card's kernel and by masks of chunks; one compilation of a layer for all lengths."""

from __future__ import annotations

import types
from typing import Any

import pytest
import torch
from torch import Tensor

from acestep_xl.model import attention, random_network
from acestep_xl.model.attention import Band, Window, attend, attend_band, attend_window, band, rotary_table, rotate
from acestep_xl.model.transformer_layer import ConditionKV, Layer

WIDTH = random_network.CONFIG.decoder


def dense_varlen(
    q: Tensor, k: Tensor, v: Tensor, ends_q: Tensor, ends_k: Tensor, max_q: int, max_k: int, window_size: Any
) -> Tensor:
    """torch's varlen_attn, which only cards have, for sequences of one length: ``[b*s h d]``."""
    before, after = window_size
    q, k, v = (y.unflatten(0, (-1, max_q)).transpose(1, 2) for y in (q, k, v))
    distance = torch.arange(max_q)[:, None] - torch.arange(max_k)
    near = (distance <= before) & (-distance <= after)
    return attend(q, k, v, near[None, None]).transpose(1, 2).flatten(0, 1)


@pytest.fixture
def window_kernel(monkeypatch: pytest.MonkeyPatch) -> None:
    varlen = pytest.importorskip("torch.nn.attention.varlen", reason="older versions of torch have no such kernel")
    monkeypatch.setattr(varlen, "varlen_attn", dense_varlen)


def heads(batch: int, length: int, number: int, draw: torch.Generator) -> Tensor:
    return torch.randn(batch, length, number, 16, generator=draw)


@pytest.mark.parametrize("batch", [1, 3])
@pytest.mark.usefixtures("window_kernel")
def test_the_kernel_with_a_window_sees_what_the_band_shows(batch: int) -> None:
    draw = torch.Generator().manual_seed(0)
    q, k, v = (heads(batch, 37, number, draw) for number in (4, 2, 2))
    visible = band(37, 5, None, q.device)
    assert visible is not None
    chunks = attend_band(*(y.transpose(1, 2) for y in (q, k, v)), visible).transpose(1, 2)
    torch.testing.assert_close(attend_window(q, k, v, Window(5)), chunks)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a card")
def test_the_kernel_of_this_card_sees_what_the_band_shows() -> None:
    if not attention.has_window_kernel(torch.device("cuda"), torch.bfloat16):
        pytest.skip("this card or version of torch has no such kernel")
    draw = torch.Generator().manual_seed(0)
    q, k, v = (heads(2, 100, number, draw).to("cuda", torch.bfloat16) for number in (4, 2, 2))
    visible = band(100, 16, None, q.device)
    assert visible is not None
    chunks = attend_band(*(y.transpose(1, 2) for y in (q, k, v)), visible).transpose(1, 2)
    torch.testing.assert_close(attend_window(q, k, v, Window(16)), chunks, atol=0.02, rtol=0.02)


@pytest.mark.parametrize("device, dtype", [("cpu", torch.bfloat16), ("cuda", torch.float32)])
def test_only_cards_in_half_precision_have_the_kernel(device: str, dtype: torch.dtype) -> None:
    assert not attention.has_window_kernel(torch.device(device), dtype)


def test_a_window_that_hides_nothing_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    cpu = torch.device("cpu")
    assert isinstance(attention.sliding(7, 5, cpu, torch.bfloat16), Band)
    monkeypatch.setattr(attention, "has_window_kernel", lambda device, dtype: True)
    assert attention.sliding(6, 5, cpu, torch.bfloat16) is None
    assert attention.sliding(7, 5, cpu, torch.bfloat16) == Window(5)


def test_rotation_turns_pairs_of_a_head_by_its_position() -> None:
    size, theta = 8, 100.0
    x = torch.randn(1, 5, 2, size, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    table = rotary_table(5, size, theta, x.device, torch.float64)
    plane = torch.complex(*x.chunk(2, dim=-1))
    angles = torch.arange(5)[:, None] * theta ** (-torch.arange(0, size, 2) / size)
    turned = plane * torch.polar(torch.ones_like(angles), angles)[:, None]
    expected = torch.cat([turned.real, turned.imag], dim=-1)
    torch.testing.assert_close(rotate(x, table), expected, atol=1e-5, rtol=0)


@pytest.mark.slow
@pytest.mark.parametrize("visible", [Window(4), None], ids=["window", "full"])
@pytest.mark.usefixtures("window_kernel")
def test_a_layer_compiles_once_for_all_lengths(visible: Window | None) -> None:
    graphs: list[torch.fx.GraphModule] = []

    def count(graph: torch.fx.GraphModule, _inputs: list[Tensor]) -> Any:
        graphs.append(graph)
        return graph.forward

    layer = Layer(WIDTH, 1e-6).requires_grad_(False)
    for parameter in layer.parameters():
        torch.nn.init.normal_(parameter, std=0.1)
    # A copy of the code, so that other compilations in this process do not count.
    code = Layer.forward.__code__
    forward = torch.compile(
        types.FunctionType(code.replace(), Layer.forward.__globals__), backend=count, fullgraph=True, dynamic=True
    )
    modulation = torch.randn(1, 6, WIDTH.hidden)
    condition = ConditionKV(*torch.randn(2, 1, WIDTH.kv_heads, 9, WIDTH.head_dim), None)
    for length in (33, 51, 64):
        h = torch.randn(2, length, WIDTH.hidden)
        table = rotary_table(length, WIDTH.head_dim, 1e6, h.device, h.dtype)
        expected = layer(h, modulation, table, visible, condition)
        torch.testing.assert_close(forward(layer, h, modulation, table, visible, condition), expected)
    assert len(graphs) == 1
