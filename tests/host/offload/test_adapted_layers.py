"""Adapters on layers whose weights stay in main memory."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from acestep_xl.host.offload import hooks
from acestep_xl.model.adapters.linear import AdaptedLinear
from acestep_xl.model.adapters.updates.decomposed import Decomposed
from acestep_xl.model.adapters.updates.low_rank import LowRank


def fetch(layer: nn.Module) -> tuple[dict[str, Tensor], object]:
    """The layer's weights, doubled, to show that they were fetched."""
    copies = {name: 2 * value.detach() for name, value in layer.named_parameters(recurse=False)}
    return copies, lambda: None


def test_a_streamed_layer_is_adapted_with_the_weights_that_are_fetched() -> None:
    low_rank = LowRank(torch.randn(4, 32), torch.randn(48, 4), 0.5)
    base = nn.Linear(32, 48).requires_grad_(False)
    network = nn.Sequential(AdaptedLinear(base, low_rank, 0.7, position=0, group="mlp"))
    x = torch.randn(3, 5, 32)
    assert hooks.offloadable_layers(network, min_bytes=0) == [base]
    hooks.dispatch(network, [base], torch.device("cpu"), fetch)  # pyright: ignore[reportArgumentType]
    expected = 2 * base.weight @ x.mT + 2 * base.bias[:, None] + 0.7 * low_rank.change(base.weight) @ x.mT
    torch.testing.assert_close(network(x), expected.mT)
    assert base.weight.data_ptr() == dict(base.named_parameters())["weight"].data_ptr()


def test_only_the_large_weight_stays_behind() -> None:
    """Everything an adapter adds moves to the device, a DoRA's copy of the bias included."""
    low_rank = LowRank(torch.randn(4, 32), torch.randn(48, 4), 0.5)
    base = nn.Linear(32, 48).requires_grad_(False)
    layer = AdaptedLinear(base, Decomposed(low_rank, torch.rand(48)), 0.7, position=0, group="mlp")
    hooks.dispatch(layer, [base], torch.device("meta"), fetch)  # pyright: ignore[reportArgumentType]
    there = {name for name, value in layer.state_dict().items() if value.device.type == "meta"}
    assert {name for name in layer.state_dict() if name not in there} == {"base.weight", "base.bias"}
