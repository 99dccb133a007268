"""Networks under ComfyUI's memory manager, on a fake GPU in ComfyUI's own process."""

from __future__ import annotations

import pytest
from comfy_process import run
from comfy_server import needs_comfyui

pytestmark = [needs_comfyui, pytest.mark.slow]

# Networks with some megabytes of weights, and what they compute.
NETWORKS = """
from acestep_xl.host import current_host
from acestep_xl.host.offload import hooks
from acestep_xl.model import random_network
from acestep_xl.model.condition import Condition
from acestep_xl.model.config import Config, StackWidth
from acestep_xl.model.network import AceStep
from acestep_xl.model.predictor import Predictor

WIDTH = StackWidth(512, 1024, 4, 2, 128)
CONFIG = Config(WIDTH, WIDTH, decoder_layers=4, lyric_layers=1, timbre_layers=1, pooler_layers=1, text_dim=64)
MIB = 2**20

def build():
    network = random_network.fill(AceStep(CONFIG)).eval().requires_grad_(False)
    network.silence = torch.zeros(750, 64)
    return network

def size_of(module):
    return sum(value.nbytes for value in module.state_dict().values())

def predict(module):
    generator = torch.Generator().manual_seed(0)
    states, context, x = (torch.randn(1, 20, n, generator=generator) for n in (512, 128, 64))
    pair = Predictor(module, Condition(states, None), context)(x, 0.6, unconditional=True)
    return torch.cat(pair)

def offloaded(module):
    return [layer for layer in module.modules() if getattr(layer, "comfy_cast_weights", False)]

from acestep_xl.pipeline import model_socket

host = current_host()
reserve = int(management.minimum_inference_memory())
"""


def test_a_network_loaded_wholly_partly_or_not_at_all_computes_the_same() -> None:
    run(
        NETWORKS
        + """
network = build()
expected, total = predict(network), size_of(network)
layers = hooks.offloadable_layers(network)
large = sum(layer.weight.nbytes for layer in layers)
assert large > 0.8 * total and len(layers) > 30, (large, total)

def load(gpu_bytes, work=0, state=management.VRAMState.NORMAL_VRAM):
    management.unload_all_models()
    gpu["size"], management.vram_state = gpu_bytes, state
    # The tensors themselves, so that their memory is not reused for what replaces them.
    before = {id(layer): layer.weight.detach() for layer in layers}
    with host.resident([network], work) as device:
        assert device == GPU
        rest = offloaded(network)
        moved = {id(layer) for layer in layers if layer.weight.data_ptr() != before[id(layer)].data_ptr()}
        assert moved == {id(layer) for layer in layers} - {id(layer) for layer in rest}
        assert torch.equal(predict(network), expected)
    (patcher,) = management.loaded_models()
    print(len(rest), round(patcher.loaded_size() / MIB), round(total / MIB))
    return len(rest), patcher.loaded_size()

assert load(10**12)[0] == 0
assert load(10**12, state=management.VRAMState.HIGH_VRAM)[0] == 0
half, loaded = load(reserve + total // 2)
assert 0 < half < len(layers) and 0.2 * total < loaded <= 0.55 * total, (half, loaded)
assert load(reserve + total // 2, work=reserve)[0] > half, "work that needs room leaves less for weights"
assert load(reserve)[0] == len(layers)
assert load(10**12, state=management.VRAMState.NO_VRAM)[0] == len(layers)
assert load(reserve, state=management.VRAMState.LOW_VRAM)[0] == len(layers)
assert load(10**12)[0] == 0
assert list(network.state_dict()) == list(build().state_dict())
""",
        fake_gpu=True,
    )


def test_the_text_encoder_and_the_vae_are_unloaded_when_the_network_needs_the_room() -> None:
    run(
        NETWORKS
        + """
network, other = build(), build()
expected, total = predict(network), size_of(network)
gpu["size"] = reserve + int(1.25 * total)
with host.resident([other], 0, "text"):
    assert torch.equal(predict(other), expected)
assert loaded_bytes() >= total and not offloaded(other)
with host.resident([network], 0):
    assert not offloaded(network), "the network has the GPU to itself"
    assert torch.equal(predict(network), expected)
    assert loaded_bytes() <= 1.25 * total
with host.resident([other], 0, "vae"):
    assert torch.equal(predict(other), expected)
with host.resident([network], 0):
    with host.resident([other], 0, "vae"):
        assert torch.equal(predict(other), expected) and torch.equal(predict(network), expected)
    assert torch.equal(predict(network), expected)
""",
        fake_gpu=True,
    )


def test_two_models_and_another_packs_run_in_turn_where_only_one_fits() -> None:
    run(
        NETWORKS
        + """
networks = build(), build()
expected, total = [predict(network) for network in networks], size_of(networks[0])
linear = torch.nn.Linear(1024, total // 4096, bias=False)
foreign = comfy.model_patcher.ModelPatcher(linear, load_device=GPU, offload_device=torch.device("cpu"))
gpu["size"] = reserve + int(1.25 * total)
for _ in range(2):
    for network, prediction in zip(networks, expected):
        with host.resident([network], 0):
            assert not offloaded(network) and torch.equal(predict(network), prediction)
            assert loaded_bytes() <= 1.25 * total
    management.load_models_gpu([foreign])
    assert foreign.loaded_size() == size_of(linear) and loaded_bytes() <= 1.25 * total
""",
        fake_gpu=True,
    )


@pytest.mark.parametrize("kind", ["int8", "int8 dynamic", "fp8", "fp8 dynamic"])
def test_8_bit_weights_loaded_in_part_compute_the_same(kind: str) -> None:
    output = run(
        NETWORKS
        + """
from acestep_xl.model.linear.quantise import linear_layers
from acestep_xl.nodes.speed import Speed

original = host.sockets.make_model(build())
gpu["size"] = 10**12
with host.resident([model_socket.held(original)], 0):
    assert loaded_bytes() > 0
(model,) = Speed().make(original, arguments[0], "off", 0.0)
network, original = model_socket.network_of(model), model_socket.network_of(original)
assert loaded_bytes() == 0, "it is made of the weights in main memory"
expected, total = predict(network), size_of(network)
assert total < size_of(original) and not torch.equal(expected, predict(original))
assert {layer.weight.dtype.itemsize for _, layer in linear_layers(network)} == {1}
for size in (10**12, reserve + total // 2, reserve):
    management.unload_all_models()
    gpu["size"] = size
    with host.resident([model_socket.held(model)], 0):
        assert torch.equal(predict(network), expected), size
        print(len(offloaded(network)))
""",
        kind,
        fake_gpu=True,
    )
    whole, half, none = map(int, output.split()[-3:])
    assert 0 == whole < half < none, output


def test_an_interrupt_stops_a_step_and_the_network_runs_again() -> None:
    run(
        NETWORKS
        + """
network = build()
expected = predict(network)
gpu["size"] = reserve
with host.resident([network], 0):
    management.interrupt_current_processing()
    try:
        predict(network)
    except management.InterruptProcessingException:
        pass
    else:
        raise AssertionError("it was not interrupted")
with host.resident([network], 0):
    assert torch.equal(predict(network), expected)
management.unload_all_models()
assert torch.equal(predict(network), expected)
""",
        fake_gpu=True,
    )


ADAPTERS = """
from pathlib import Path
from acestep_xl.model.adapters.adapter import Adapter, Entry
from acestep_xl.model.adapters.attach import Applied, attach
from acestep_xl.model.adapters.updates.low_rank import LowRank
from acestep_xl.model.linear import quantise
from acestep_xl.model.network import share

generator = torch.Generator().manual_seed(1)
NAMES = ("decoder.layers.1.mlp.down_proj", "decoder.layers.2.self_attn.q_proj")
network = build()
entries = []
for name in NAMES:
    n, k = network.get_submodule(name).weight.shape
    down, up = torch.randn(4, k, generator=generator), torch.randn(n, 4, generator=generator)
    entries.append(Entry(f"{name}.weight", LowRank(down, up, 0.02)))
adapter = Applied(Adapter(Path("style"), tuple(entries), "", "", (), "unknown", ()), 0.8)

def loaded(socket, gpu_bytes):
    management.unload_all_models()
    gpu["size"], management.vram_state = gpu_bytes, management.VRAMState.NORMAL_VRAM
    with host.resident([model_socket.held(socket)], 0):
        return predict(model_socket.network_of(socket))
"""


def test_an_adapter_above_a_patch_leaves_it_in_force_and_loads_in_part() -> None:
    run(
        NETWORKS
        + ADAPTERS
        + """
delta = torch.randn(network.get_submodule(NAMES[0]).weight.shape, generator=generator) * 0.05
changed = share(network)
changed.get_submodule(NAMES[0]).weight.data = network.get_submodule(NAMES[0]).weight + delta
attach(changed, [adapter])
expected, plain = predict(changed), predict(network)
socket = host.sockets.make_model(network).clone()
assert socket.add_patches({f"diffusion_model.{NAMES[0]}.weight": (delta,)}, 1.0)
adapted = model_socket.with_adapters(socket, [adapter])
for size in (10**12, reserve + size_of(network) // 2):
    difference = (loaded(adapted, size) - expected).norm() / (expected - plain).norm()
    assert difference < 1e-4, (size, difference)
""",
        fake_gpu=True,
    )


def test_an_adapter_on_8_bit_weights_is_the_same_wholly_and_partly_loaded() -> None:
    run(
        NETWORKS
        + ADAPTERS
        + """
small = quantise.convert(network, "int8")
adapted = model_socket.with_adapters(host.sockets.make_model(small), [adapter])
whole, part = (loaded(adapted, size) for size in (10**12, reserve + size_of(small) // 2))
assert torch.equal(whole, part)
assert (whole - predict(small)).norm() > 1e-3 * whole.norm()
""",
        fake_gpu=True,
    )
