"""Networks whose weights stay packed are streamed as others are, and compute the same numbers."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from fake_accelerator import DEVICE, FakeAccelerator
from torch import Tensor

from acestep_xl.host.offload import placement
from acestep_xl.host.offload.accelerator import RESERVE
from acestep_xl.host.offload.manager import OffloadManager
from acestep_xl.model.checkpoint import load_network
from acestep_xl.model.condition import Condition
from acestep_xl.model.layouts import recognise
from acestep_xl.model.linear.packed import PackedLinear
from acestep_xl.model.network import AceStep
from acestep_xl.model.predictor import Predictor

FILES = Path(__file__).parents[2] / "golden" / "quantised"
MIN_BYTES = 1024  # the tiny network's large layers


def predict(network: AceStep, device: torch.device | str) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    states = torch.randn(1, 40, network.config.encoder.hidden, generator=generator)
    context, x = (torch.randn(1, 60, n * network.config.latent_channels, generator=generator) for n in (2, 1))
    predictor = Predictor(network, Condition(states.to(device), None), context.to(device))
    return torch.stack([predictor(x.to(device), t, unconditional=False)[0] for t in (0.9, 0.3)])


@pytest.mark.parametrize("share", [0.0, 0.5])
@pytest.mark.parametrize("name", ["acestep-v15-xl-sft-tiny-Q8_0.gguf", "fp8_scaled_old.safetensors"])
def test_streamed_layers_give_the_same_numbers(name: str, share: float) -> None:
    network = load_network(recognise(FILES / name), torch.float32, torch.device("cpu"))
    expected = predict(network, "cpu")
    total = placement.size_of(network)
    accelerator = FakeAccelerator(RESERVE + int(share * total), late=True)
    accelerator.modules = [network]
    with OffloadManager(accelerator, MIN_BYTES).hold([network], 0):
        streamed = predict(network, DEVICE)
        sizes = placement.measure_network(network, placement.blocks_of(network, MIN_BYTES))
        assert accelerator.used() == placement.choose_placement(sizes, int(share * total)).resident < total
    assert torch.equal(streamed, expected)
    assert sum(isinstance(layer, PackedLinear) for layer in network.modules()) > 20
