"""Networks that do not fit on a fake accelerator: they are streamed, and compute the same numbers."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import pytest
import torch
from fake_accelerator import DEVICE, FakeAccelerator
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from acestep_xl import host as host_package
from acestep_xl.host.headless import HeadlessHost
from acestep_xl.host.headless_sockets import HeadlessModel
from acestep_xl.host.offload import placement
from acestep_xl.host.offload.accelerator import RESERVE
from acestep_xl.host.offload.manager import OffloadManager
from acestep_xl.model import random_network
from acestep_xl.model.checkpoint import load_network
from acestep_xl.model.condition import Condition
from acestep_xl.model.layouts import recognise
from acestep_xl.model.network import AceStep
from acestep_xl.model.predictor import Predictor
from acestep_xl.nodes.speed import Speed

MIN_BYTES = 1024  # the random network's large layers
LEVELS = (0.9, 0.6, 0.3)


def predict(network: AceStep, device: torch.device | str, batched: bool = False) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    states = torch.randn(1, 40, network.config.encoder.hidden, generator=generator)
    context, x = (torch.randn(1, 60, n * network.config.latent_channels, generator=generator) for n in (2, 1))
    predictor = Predictor(network, Condition(states.to(device), None), context.to(device), batched=batched)
    pairs = [predictor(x.to(device), t, unconditional=True) for t in LEVELS]
    return torch.stack([half for pair in pairs for half in pair if half is not None])


@cache
def cpu_prediction(batched: bool) -> Tensor:
    return predict(random_network.network(), "cpu", batched)


def streaming_accelerator(network: AceStep) -> FakeAccelerator:
    """Has room for no weights beyond the reserve."""
    accelerator = FakeAccelerator(RESERVE, late=True)
    accelerator.modules = [network]
    return accelerator


@settings(max_examples=12, deadline=None)
@given(share=st.floats(0, 1), batched=st.booleans())
def test_any_number_of_resident_layers_gives_the_same_numbers(share: float, batched: bool) -> None:
    """The copy stream is as late as can be: weights read too early or too late would be NaN."""
    network = random_network.network()
    total = placement.size_of(network)
    accelerator = FakeAccelerator(RESERVE + int(share * total), late=True)
    accelerator.modules = [network]
    with OffloadManager(accelerator, MIN_BYTES).hold([network], 0):
        streamed = predict(network, DEVICE, batched)
        sizes = placement.measure_network(network, placement.blocks_of(network, MIN_BYTES))
        assert accelerator.used() == placement.choose_placement(sizes, int(share * total)).resident
    assert torch.equal(streamed, cpu_prediction(batched))


def test_golden_networks_give_the_same_numbers_when_streamed() -> None:
    for name in ("xl_sft_tiny", "sft_2b_tiny"):
        folder = Path(__file__).parents[2] / "golden" / name
        network = load_network(recognise(folder), torch.float32, torch.device("cpu"))
        expected = predict(network, "cpu")
        with OffloadManager(streaming_accelerator(network), MIN_BYTES).hold([network], 0):
            assert torch.equal(predict(network, DEVICE), expected), name


@pytest.mark.parametrize("batched", [False, True])
def test_from_the_third_step_on_every_layer_is_copied_once_a_step_and_ahead_of_its_use(batched: bool) -> None:
    network = random_network.network()
    accelerator = streaming_accelerator(network)
    states, context, x = torch.randn(1, 40, 48), torch.randn(1, 60, 128), torch.randn(1, 60, 64)
    with OffloadManager(accelerator, MIN_BYTES).hold([network], 0), torch.no_grad():
        predictor = Predictor(network, Condition(states, None), context, batched=batched)
        for t in (0.9, 0.8):
            predictor(x, t, unconditional=True)
        for t in (0.7, 0.6, 0.5):
            before = len(accelerator.log)
            predictor(x, t, unconditional=True)
            step = accelerator.log[before:]
            assert step.count("copy") == step.count("wait") == step.count("record_use") > 20
    assert accelerator.log[-1] == "close"


def test_weights_are_pinned_once_and_keep_their_addresses_afterwards() -> None:
    network = random_network.network()
    accelerator = streaming_accelerator(network)
    manager, pins = OffloadManager(accelerator, MIN_BYTES), []
    addresses: list[list[int]] = []
    for _ in range(2):
        with manager.hold([network], 0):
            pass
        manager.reclaim()
        pins.append(accelerator.pinned)
        addresses.append([value.data_ptr() for value in network.parameters()])
    assert pins[0] == pins[1] == len(placement.blocks_of(network, MIN_BYTES)), "one buffer per block, once"
    assert addresses[0] == addresses[1]
    assert torch.equal(predict(network, "cpu"), cpu_prediction(False)), "the network is unchanged"
    assert not any(module._forward_pre_hooks for module in network.modules())


def test_a_faster_network_shares_the_originals_in_main_memory(tmp_path: Path) -> None:
    """Not the copies loaded at the time, which would stay on the device as long as the new network lives."""
    network, accelerator = random_network.network(), FakeAccelerator(2**40)
    accelerator.modules = [network]
    originals = {value.data_ptr() for value in network.parameters()}
    with host_package.use(HeadlessHost([], tmp_path, accelerator=accelerator)) as host:
        with host.resident([network], 0):
            pass
        assert accelerator.used() == placement.size_of(network)
        (faster,) = Speed().make(HeadlessModel(network), "as loaded", "off", 0.0)
        assert accelerator.used() == 0
    assert {value.data_ptr() for value in faster.network.parameters()} == originals


def test_an_error_in_the_block_leaves_the_network_usable() -> None:
    network = random_network.network()
    manager = OffloadManager(streaming_accelerator(network), MIN_BYTES)
    with pytest.raises(RuntimeError), manager.hold([network], 0):
        network.decoder.layers[0].mlp(torch.zeros(1, 1, 3))
    with manager.hold([network], 0):
        assert torch.equal(predict(network, DEVICE), cpu_prediction(False))
