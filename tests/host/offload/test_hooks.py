"""Networks with offloaded layers: on fake devices for memory, on the CPU for the numbers."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import pytest
import torch
from full_size import RUNS, XL, execute
from measure import LiveBytes, build, fake, gpu_attention
from torch import Tensor, nn

from acestep_xl.host.offload import hooks
from acestep_xl.model import random_network
from acestep_xl.model.condition import Condition
from acestep_xl.model.network import AceStep
from acestep_xl.model.predictor import Predictor
from acestep_xl.model.prompt import Metadata, Prompt, instruction
from acestep_xl.pipeline.memory import estimate as memory_estimate

CUDA, CPU = torch.device("cuda", 0), torch.device("cpu")


def fetch_to(device: torch.device, log: list[str] | None = None) -> hooks.Fetch:
    def fetch(layer: nn.Module) -> tuple[dict[str, Tensor], Callable[[], None]]:
        copies = {name: value.detach().to(device, copy=True) for name, value in layer.named_parameters(recurse=False)}
        if log is None:
            return copies, lambda: None
        log.append("fetch")
        return copies, partial(log.append, "after use")

    return fetch


def weight_bytes(network: nn.Module) -> int:
    return sum(value.numel() * value.element_size() for value in network.parameters())


@pytest.mark.parametrize("name", ["1 min", "negative prompt", "cover", "four references"])
def test_a_streamed_run_never_uses_weights_on_another_device(name: str) -> None:
    with fake():
        network = build(lambda: AceStep(XL), torch.bfloat16, "cpu")
        offloaded = hooks.offloadable_layers(network)
        hooks.dispatch(network, offloaded, CUDA, fetch_to(CUDA))
        others = [module for module in network.modules() if isinstance(module, nn.Linear) and module not in offloaded]
        assert all(layer.weight.device == CUDA for layer in others)
        execute(network, RUNS[name], "cuda")
        with pytest.raises(RuntimeError, match="device"):  # the check itself: without hooks the run fails
            hooks.dispatch(network, [], CPU, fetch_to(CUDA))
            execute(network, RUNS[name], "cuda")


def test_a_streamed_run_needs_memory_for_one_layer_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.nn.functional.scaled_dot_product_attention", gpu_attention)
    run = RUNS["1 min"]
    with fake():
        network = build(lambda: AceStep(XL), torch.bfloat16, "cpu")
        total = weight_bytes(network)
        hooks.dispatch(network, hooks.offloadable_layers(network), CUDA, fetch_to(CUDA))
        resident = sum(value.numel() * 2 for value in network.parameters() if value.device == CUDA)
        largest = max(value.numel() * 2 for value in network.parameters())
        with LiveBytes(device="cuda") as live, torch.no_grad():
            execute(network, run, "cuda")
    assert resident < 0.01 * total
    assert live.peak <= memory_estimate.sampling(network, run, CUDA) + resident + 2 * largest
    assert live.peak < 0.5 * total


def predict(network: AceStep) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    states = torch.randn(1, 40, network.config.encoder.hidden, generator=generator)
    context, x = (torch.randn(1, 60, n * network.config.latent_channels, generator=generator) for n in (2, 1))
    conditional, unconditional = Predictor(network, Condition(states, None), context)(x, 0.6, unconditional=True)
    assert unconditional is not None
    return torch.cat([conditional, unconditional])


def test_a_streamed_network_computes_the_same_and_its_weights_do_not_move() -> None:
    network, log = random_network.network(), []
    expected = predict(network)
    addresses = {name: value.data_ptr() for name, value in network.named_parameters()}
    hooks.dispatch(network, hooks.offloadable_layers(network, 1024), CPU, fetch_to(CPU, log))
    assert torch.equal(predict(network), expected)
    assert log.count("fetch") == log.count("after use") > len(network.decoder.layers) * 5
    assert {name: value.data_ptr() for name, value in network.named_parameters()} == addresses
    assert not any("weight" in module.__dict__ for module in network.modules())


def test_half_a_network_is_streamed_and_then_none_of_it() -> None:
    network, log = random_network.network(), []
    expected = predict(network)
    layers = hooks.offloadable_layers(network, 1024)
    hooks.dispatch(network, layers[::2], CPU, fetch_to(CPU, log))
    assert torch.equal(predict(network), expected) and log
    log.clear()
    hooks.dispatch(network, [], CPU, fetch_to(CPU, log))
    assert torch.equal(predict(network), expected) and not log
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in network.modules())


def test_a_failed_forward_leaves_no_copy_behind() -> None:
    layer, log = nn.Linear(4, 4), []
    hooks.dispatch(layer, [layer], CPU, fetch_to(CPU, log))
    with pytest.raises(RuntimeError):
        layer(torch.zeros(1, 5))
    assert "weight" not in layer.__dict__ and log == ["fetch", "after use"]
    assert torch.equal(layer(torch.ones(1, 4)), nn.functional.linear(torch.ones(1, 4), layer.weight, layer.bias))


def test_only_large_linear_layers_and_embeddings_are_offloadable() -> None:
    network = nn.ModuleDict({"small": nn.Linear(8, 8), "large": nn.Linear(512, 512), "norm": nn.RMSNorm(2**20),
                             "words": nn.Embedding(4096, 64), "conv": nn.Conv1d(512, 512, 7)})  # fmt: skip
    assert hooks.offloadable_layers(network) == [network["large"], network["words"]]


class Stopped(BaseException):
    """Outside Exception, like ComfyUI's and our own."""


@pytest.mark.parametrize("part", ["network", "text encoder", "vae"])
def test_every_network_stops_between_two_of_its_blocks(part: str) -> None:
    network, vae, encoder = random_network.network(), random_network.vae(), random_network.text_encoder()
    prompt = Prompt("waltz", "la", "en", Metadata(), instruction("text2music"))
    module, work = {
        "network": (network, lambda: predict(network)),
        "text encoder": (encoder.model, lambda: encoder.encode([prompt])),
        "vae": (vae, lambda: vae.decode(torch.zeros(1, 64, 8))),
    }[part]
    checks: list[int] = []

    def check() -> None:
        checks.append(1)
        if len(checks) == 2:
            raise Stopped

    with pytest.raises(Stopped), hooks.interruptible([module], check):
        work()
    assert len(checks) == 2
    work()
    assert len(checks) == 2, "nothing is checked outside the block"


def test_compiled_blocks_get_no_hook() -> None:
    network = nn.Module()
    network.layers = nn.ModuleList([nn.Linear(2, 2), nn.Linear(2, 2)])
    network.layers[0]._compiled_call_impl = network.layers[0].forward  # as Module.compile does
    with hooks.interruptible([network], lambda: None):
        assert [len(layer._forward_pre_hooks) for layer in network.layers] == [0, 1]
