"""Streaming in the headless host on a card of paper: what stays, in which order the rest comes, and the numbers."""

from __future__ import annotations

from functools import cache
from itertools import pairwise
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from paper_card import DEVICE, LateLane, PaperCard
from torch import Tensor, nn

from acestep_xl import host as hosts
from acestep_xl.host.headless import HeadlessHost
from acestep_xl.host.offload import hooks, placement
from acestep_xl.host.offload.accelerator import RESERVE, OutOfMemory, is_out_of_memory
from acestep_xl.host.offload.manager import OffloadManager
from acestep_xl.host.offload.placement import Choice, Shape, choose, spread
from acestep_xl.host.offload.prefetch import WeightPrefetcher
from acestep_xl.model import random_network
from acestep_xl.model.checkpoint import load_network
from acestep_xl.model.condition import Condition
from acestep_xl.model.layouts import recognise
from acestep_xl.model.network import AceStep
from acestep_xl.model.predictor import Predictor
from acestep_xl.nodes.speed import Speed

SMALLEST = 1024  # the random network's large layers
LEVELS = (0.9, 0.6, 0.3)


def predict(network: AceStep, device: torch.device | str, together: bool = False) -> Tensor:
    draw = torch.Generator().manual_seed(0)
    states = torch.randn(1, 40, network.config.encoder.hidden, generator=draw)
    context, x = (torch.randn(1, 60, n * network.config.latent_channels, generator=draw) for n in (2, 1))
    predictor = Predictor(network, Condition(states.to(device), None), context.to(device), together=together)
    pairs = [predictor(x.to(device), t, unconditional=True) for t in LEVELS]
    return torch.stack([half for pair in pairs for half in pair if half is not None])


@cache
def whole(together: bool) -> Tensor:
    return predict(random_network.network(), "cpu", together)


@settings(max_examples=12, deadline=None)
@given(share=st.floats(0, 1), together=st.booleans())
def test_any_number_of_resident_layers_gives_the_same_numbers(share: float, together: bool) -> None:
    """The lane is as late as can be: weights read too early or too late would be NaN."""
    network = random_network.network()
    total = placement.size_of(network)
    card = PaperCard(RESERVE + int(share * total), late=True)
    card.modules = [network]
    with OffloadManager(card, SMALLEST).hold([network], 0):
        got = predict(network, DEVICE, together)
        blocks = placement.blocks_of(network, SMALLEST)
        choice = choose(placement.shape_of(network, blocks), int(share * total))
        assert card.used() == choice.resident
    assert torch.equal(got, whole(together))


def test_golden_networks_through_the_streamed_path() -> None:
    for name in ("xl_sft_tiny", "sft_2b_tiny"):
        folder = Path(__file__).parents[2] / "golden" / name
        network = load_network(recognise(folder), torch.float32, torch.device("cpu"))
        expected, card = predict(network, "cpu"), PaperCard(RESERVE, late=True)
        card.modules = [network]
        with OffloadManager(card, SMALLEST).hold([network], 0):
            assert torch.equal(predict(network, DEVICE), expected), name


@pytest.mark.parametrize("together", [False, True])
def test_after_two_steps_every_layer_travels_once_a_step_and_before_it_is_needed(together: bool) -> None:
    network, card = random_network.network(), PaperCard(RESERVE, late=True)
    states, context, x = torch.randn(1, 40, 48), torch.randn(1, 60, 128), torch.randn(1, 60, 64)
    with OffloadManager(card, SMALLEST).hold([network], 0), torch.no_grad():
        predictor = Predictor(network, Condition(states, None), context, together=together)
        for t in (0.9, 0.8):
            predictor(x, t, unconditional=True)
        for t in (0.7, 0.6, 0.5):
            before = len(card.log)
            predictor(x, t, unconditional=True)
            step = card.log[before:]
            assert step.count("send") == step.count("arrive") == step.count("release") > 20
    assert card.log[-1] == "close"


def test_the_next_layers_are_sent_while_one_computes() -> None:
    layers = [nn.Linear(16, 16, bias=False).requires_grad_(False) for _ in range(5)]
    log: list[str] = []
    size = 16 * 16 * 4
    belt = WeightPrefetcher(layers, 3 * size, DEVICE, LateLane(log))
    sent: list[int] = []
    belt._lane.send = lambda pairs: sent.append(_number(layers, pairs[0][1]))  # type: ignore[method-assign]
    for _ in range(2):
        for layer in layers:
            _, finish = belt.fetch(layer)
            finish()
    sent.clear()
    ahead = []
    for layer in layers:
        _, finish = belt.fetch(layer)
        ahead.append([layers.index(load.layer) for load in belt._ready])
        finish()
    assert ahead == [[1, 2], [2, 3], [3, 4], [4, 0], [0, 1]], "two others lie ready beside the one that computes"
    assert sent == [3, 4, 0, 1, 2], "each is sent once, in order"
    belt.close()
    assert log[-1] == "close"


def _number(layers: list[nn.Linear], source: Tensor) -> int:
    return next(i for i, layer in enumerate(layers) if layer.weight.data_ptr() == source.data_ptr())


@settings(deadline=None)
@given(order=st.lists(st.integers(0, 4), min_size=1, max_size=40), room=st.integers(32, 90))
def test_any_order_of_layers_reads_its_own_weights(order: list[int], room: int) -> None:
    layers = [nn.Linear(8, n).requires_grad_(False) for n in (3, 30, 8, 1, 17)]
    belt = WeightPrefetcher(layers, room * 32, DEVICE, LateLane([]))
    hooks.hook(layers, DEVICE, belt.fetch)
    x = torch.randn(2, 8)
    for i in order:
        assert torch.equal(layers[i](x), nn.functional.linear(x, layers[i].weight, layers[i].bias))


def test_weights_are_pinned_once_and_stay_where_they_were_otherwise() -> None:
    network = random_network.network()
    card = PaperCard(RESERVE, late=True)
    card.modules = [network]
    residence, pins = OffloadManager(card, SMALLEST), []
    places: list[list[int]] = []
    for _ in range(2):
        with residence.hold([network], 0):
            pass
        residence.reclaim()
        pins.append(card.pinned)
        places.append([value.data_ptr() for value in network.parameters()])
    assert pins[0] == pins[1] == len(placement.blocks_of(network, SMALLEST)), "one buffer for each block, once"
    assert places[0] == places[1]
    assert torch.equal(predict(network, "cpu"), whole(False)), "the network is as before"
    assert not any(module._forward_pre_hooks for module in network.modules())


def test_a_faster_network_is_made_of_the_weights_at_home(tmp_path: Path) -> None:
    """Not of copies that lie on the card just then, which would stay there as long as the new network lives."""
    network, card = random_network.network(), PaperCard(2**40)
    card.modules = [network]
    at_home = {value.data_ptr() for value in network.parameters()}
    with hosts.use(HeadlessHost([], tmp_path, machine=card)) as place:
        with place.resident([network], 0):
            pass
        assert card.used() == placement.size_of(network)
        (made,) = Speed().make(network, "as loaded", "off", 0.0)
        assert card.used() == 0
    assert {value.data_ptr() for value in made.parameters()} == at_home


def test_a_failure_in_the_block_leaves_the_network_usable() -> None:
    network, card = random_network.network(), PaperCard(RESERVE, late=True)
    residence = OffloadManager(card, SMALLEST)
    with pytest.raises(RuntimeError), residence.hold([network], 0):
        network.decoder.layers[0].mlp(torch.zeros(1, 1, 3))
    with residence.hold([network], 0):
        assert torch.equal(predict(network, DEVICE), whole(False))


TEN = Shape(fixed=10, once=(30, 20), again=(100,) * 10, largest=40)


@pytest.mark.parametrize(
    ("budget", "expected"),
    [
        (1060, Choice((0, 1), tuple(range(10)), 1060, 0)),
        (1059, Choice((), (0, 1, 2, 3, 4, 5, 6, 7, 8), 910, 100)),
        (1009, Choice((), (0, 1, 2, 3, 5, 6, 7, 8), 810, 100)),
        (610, Choice((), (0, 2, 4, 6, 8), 510, 100)),
        (209, Choice((), (), 10, 100)),
        (0, Choice((), (), 10, 100)),
    ],
)
def test_what_stays(budget: int, expected: Choice) -> None:
    choice = choose(TEN, budget)
    assert (choice.again, choice.resident, choice.window) == (expected.again, expected.resident, expected.window)


def test_what_runs_once_leaves_first() -> None:
    shape = Shape(fixed=0, once=(300, 200), again=(10,) * 4, largest=10)
    assert choose(shape, 60) == Choice((), (0, 1, 2, 3), 40, 20)
    assert choose(shape, 260) == Choice((1,), (0, 1, 2, 3), 240, 20)
    assert choose(shape, 539) == Choice((1,), (0, 1, 2, 3), 240, 20)


@given(count=st.integers(0, 40), more=st.integers(0, 40))
def test_what_is_away_is_spread_evenly(count: int, more: int) -> None:
    stay = spread(count, count + more)
    assert len(stay) == count
    away = sorted(set(range(count + more)) - set(stay))
    gaps = [b - a for a, b in pairwise(away)]
    assert not gaps or max(gaps) - min(gaps) <= 1


def test_errors_that_mean_memory() -> None:
    told = [torch.OutOfMemoryError("CUDA out of memory."), MemoryError(), OutOfMemory("x"),
            RuntimeError("MPS backend out of memory"), RuntimeError("CUBLAS_STATUS_ALLOC_FAILED when calling"),
            RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried")]  # fmt: skip
    assert all(map(is_out_of_memory, told))
    assert not any(map(is_out_of_memory, [RuntimeError("shape"), ValueError("out of memory"), KeyError()]))
