"""The host in ComfyUI's own process: memory on a card that exists only on paper, hints, previews, model folders."""

from __future__ import annotations

from collections.abc import Iterator

import graphs
import pytest
import tiny
from comfy_process import run
from comfy_server import ComfyServer, needs_comfyui
from comfy_socket import listen

pytestmark = [needs_comfyui, pytest.mark.slow]

# Networks with weights of some megabytes each, and what they compute.
NETWORKS = """
from acestep_xl import host
from acestep_xl.host import streaming
from acestep_xl.model import random_network
from acestep_xl.model.condition import Condition
from acestep_xl.model.config import Config, Width
from acestep_xl.model.network import AceStep
from acestep_xl.model.predictor import Predictor

WIDTH = Width(512, 1024, 4, 2, 128)
CONFIG = Config(WIDTH, WIDTH, decoder_layers=4, lyric_layers=1, timbre_layers=1, pooler_layers=1, text_dim=64)
MIB = 2**20

def network():
    made = random_network.fill(AceStep(CONFIG)).eval().requires_grad_(False)
    made.silence = torch.zeros(750, 64)
    return made

def size(module):
    return sum(value.numel() * value.element_size() for value in module.state_dict().values())

def predict(module):
    draw = torch.Generator().manual_seed(0)
    states, context, x = (torch.randn(1, 20, n, generator=draw) for n in (512, 128, 64))
    pair = Predictor(module, Condition(states, None), context)(x, 0.6, unconditional=True)
    return torch.cat(pair)

def away(module):
    return [layer for layer in module.modules() if getattr(layer, "comfy_cast_weights", False)]

place = current_host()
reserve = int(management.minimum_inference_memory())
"""


def test_a_network_loads_wholly_partly_or_not_at_all_and_computes_the_same() -> None:
    said = run(
        NETWORKS
        + """
net = network()
expected, whole = predict(net), size(net)
layers = streaming.streamable(net)
large = sum(layer.weight.numel() * 4 for layer in layers)
assert large > 0.8 * whole and len(layers) > 30, (large, whole)

def load(card_bytes, work=0, state=management.VRAMState.NORMAL_VRAM):
    management.unload_all_models()
    card["size"], management.vram_state = card_bytes, state
    # The values themselves, so that their memory is not given to what replaces them.
    before = {id(layer): layer.weight.detach() for layer in layers}
    with place.resident([net], work) as device:
        assert device == CARD
        kept_away = away(net)
        moved = {id(layer) for layer in layers if layer.weight.data_ptr() != before[id(layer)].data_ptr()}
        assert moved == {id(layer) for layer in layers} - {id(layer) for layer in kept_away}
        assert torch.equal(predict(net), expected)
    (patcher,) = management.loaded_models()
    print(len(kept_away), round(patcher.loaded_size() / MIB), round(whole / MIB))
    return len(kept_away), patcher.loaded_size()

assert load(10**12)[0] == 0
assert load(10**12, state=management.VRAMState.HIGH_VRAM)[0] == 0
half, taken = load(reserve + whole // 2)
assert 0 < half < len(layers) and 0.2 * whole < taken <= 0.55 * whole, (half, taken)
assert load(reserve + whole // 2, work=reserve)[0] > half, "work that needs room leaves less for weights"
assert load(reserve)[0] == len(layers)
assert load(10**12, state=management.VRAMState.NO_VRAM)[0] == len(layers)
assert load(reserve, state=management.VRAMState.LOW_VRAM)[0] == len(layers)
assert load(10**12)[0] == 0
assert list(net.state_dict()) == list(network().state_dict())
print("ok")
""",
        card=True,
    )
    assert said.endswith("ok\n"), said


def test_the_text_encoder_and_the_vae_leave_before_the_network_needs_the_room() -> None:
    said = run(
        NETWORKS
        + """
net, side = network(), network()
expected, whole = predict(net), size(net)
card["size"] = reserve + int(1.25 * whole)
with place.resident([side], 0, "text"):
    assert torch.equal(predict(side), expected)
assert loaded() >= whole and not away(side)
with place.resident([net], 0):
    assert not away(net), "the network has the card to itself"
    assert torch.equal(predict(net), expected)
    assert loaded() <= 1.25 * whole
with place.resident([side], 0, "vae"):
    assert torch.equal(predict(side), expected)
with place.resident([net], 0):
    with place.resident([side], 0, "vae"):
        assert torch.equal(predict(side), expected) and torch.equal(predict(net), expected)
    assert torch.equal(predict(net), expected)
print("ok")
""",
        card=True,
    )
    assert said.endswith("ok\n"), said


def test_two_models_run_in_turn_where_only_one_fits_and_another_pack_s_model_too() -> None:
    said = run(
        NETWORKS
        + """
first, second = network(), network()
expected, whole = [predict(net) for net in (first, second)], size(first)
other = torch.nn.Linear(1024, whole // 4096, bias=False)
stranger = comfy.model_patcher.ModelPatcher(other, load_device=CARD, offload_device=torch.device("cpu"))
card["size"] = reserve + int(1.25 * whole)
for _ in range(2):
    for net, known in zip((first, second), expected):
        with place.resident([net], 0):
            assert not away(net) and torch.equal(predict(net), known)
            assert loaded() <= 1.25 * whole
    management.load_models_gpu([stranger])
    assert stranger.loaded_size() == size(other) and loaded() <= 1.25 * whole
print("ok")
""",
        card=True,
    )
    assert said.endswith("ok\n"), said


@pytest.mark.parametrize("kind", ["int8", "int8 dynamic", "fp8", "fp8 dynamic"])
def test_weights_of_8_bits_load_in_part_and_compute_the_same(kind: str) -> None:
    said = run(
        NETWORKS
        + """
from acestep_xl.model.quantise import linear_layers
from acestep_xl.nodes.speed import Speed

original = network()
card["size"] = 10**12
with place.resident([original], 0):
    assert loaded() > 0
(net,) = Speed().make(original, arguments[0], "off", 0.0)
assert loaded() == 0, "it is made of weights at rest"
expected, whole = predict(net), size(net)
assert whole < size(original) and not torch.equal(expected, predict(original))
kinds = {layer.weight.dtype.itemsize for _, layer in linear_layers(net)}
assert kinds == {1}
for room in (10**12, reserve + whole // 2, reserve):
    management.unload_all_models()
    card["size"] = room
    with place.resident([net], 0):
        assert torch.equal(predict(net), expected), room
        print(len(away(net)))
print("ok")
""",
        kind,
        card=True,
    )
    counts = said.split()[-4:]
    assert counts[3] == "ok" and 0 == int(counts[0]) < int(counts[1]) < int(counts[2]), said


def test_a_stop_is_heard_inside_a_step_and_memory_can_be_used_again() -> None:
    said = run(
        NETWORKS
        + """
net = network()
expected = predict(net)
card["size"] = reserve
with place.resident([net], 0):
    management.interrupt_current_processing()
    try:
        predict(net)
    except management.InterruptProcessingException:
        pass
    else:
        raise AssertionError("it ran on")
with place.resident([net], 0):
    assert torch.equal(predict(net), expected)
management.unload_all_models()
assert torch.equal(predict(net), expected)
print("ok")
""",
        card=True,
    )
    assert said.endswith("ok\n"), said


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ComfyServer]:
    """ComfyUI with previews, and with models in a folder of which only extra_model_paths.yaml tells."""
    folder = tmp_path_factory.mktemp("comfyui")
    tiny.write("split", folder / "elsewhere")
    kinds = ("diffusion_models", "text_encoders", "vae")
    lines = [f"  {kind}: {kind}" for kind in kinds]
    config = folder / "extra.yaml"
    config.write_text("\n".join(["mine:", f"  base_path: {folder / 'elsewhere'}", *lines, ""]))
    arguments = ("--preview-method", "auto", "--preview-size", "300", "--extra-model-paths-config", str(config))
    with ComfyServer(folder, arguments) as running:
        yield running


def test_models_of_extra_model_paths_are_listed_and_run(server: ComfyServer) -> None:
    name = f"{tiny.NAME}.safetensors"
    choices = server.get("/object_info/AceStepXLLoader")["AceStepXLLoader"]["input"]["required"]["model"][0]
    assert name in choices
    graph = graphs.text_to_music()
    graph["load"]["inputs"]["model"] = name
    heard = listen(server, graph)
    assert heard.messages[-1][0] == "execution_success", heard.messages[-1]
    assert heard.progress("load")[-1] == (3, 3)


def test_a_running_sampler_shows_steps_and_pictures(server: ComfyServer) -> None:
    graph = graphs.text_to_music()
    graph["schedule"]["inputs"]["steps"], graph["empty"]["inputs"]["seconds"] = 25, 20.0
    heard = listen(server, graph)
    assert heard.progress("sample")[-1] == (25, 25)
    assert heard.pictures and all(picture.format == "JPEG" for picture in heard.pictures)
    assert all(picture.width == 300 for picture in heard.pictures)


def test_core_sampler_nodes_show_our_pictures_too(server: ComfyServer) -> None:
    graph = graphs.text_to_music()
    core = {"noise": ("RandomNoise", {"noise_seed": 1}), "solver": ("KSamplerSelect", {"sampler_name": "euler"})}
    graph |= {name: {"class_type": kind, "inputs": inputs} for name, (kind, inputs) in core.items()}
    links = {"noise": "noise", "guider": "guider", "sampler": "solver", "sigmas": "schedule", "latent_image": "empty"}
    inputs = {name: [node, 0] for name, node in links.items()}
    graph["sample"] = {"class_type": "SamplerCustomAdvanced", "inputs": inputs}
    heard = listen(server, graph)
    assert heard.messages[-1][0] == "execution_success", heard.messages[-1]
    assert heard.progress("sample")[-1] == (3, 3) and heard.pictures
    assert "3 steps" in dict(heard.texts)["sample"]


def test_hints_are_on_their_node_until_a_run_has_none(server: ComfyServer) -> None:
    graph = graphs.text_to_music()
    graph["schedule"]["inputs"]["steps"] = 30
    graph["text"]["inputs"] |= {"lyrics": "[Verse]\nПривет мир, как дела", "caption": "waltz, 140 bpm"}
    told = {node: text for node, text in listen(server, graph).texts if text.strip()}
    assert "Cyrillic" in told["text"] and "140 bpm" in told["text"]
    assert told.keys() <= {"text", "load"}, "the demo network says on its loader what it is"
    graph["text"]["inputs"] |= {"lyrics": "[Verse]\nhello again", "caption": "waltz"}
    assert listen(server, graph).texts == [("text", " ")], "old hints are taken off"
    graph["text"]["inputs"]["caption"] = "slow waltz"
    assert listen(server, graph).texts == []


@pytest.mark.parametrize("node", ["sample", "decode"])
def test_a_stop_is_heard_while_it_works(node: str, server: ComfyServer) -> None:
    graph = graphs.text_to_music()
    graph["empty"]["inputs"]["seconds"] = 60.0
    graph["schedule"]["inputs"]["steps"] = 40 if node == "sample" else 1
    kind, data = listen(server, graph, interrupt_at=node).messages[-1]
    assert (kind, data.get("node_id")) == ("execution_interrupted", node)
    after = listen(server, graphs.text_to_music())
    assert after.messages[-1][0] == "execution_success"


def test_without_a_preview_method_there_are_no_pictures(server: ComfyServer) -> None:
    graph = graphs.text_to_music()
    graph["empty"]["inputs"]["seconds"] = 30.0
    heard = listen(server, graph, preview_method="none")
    assert heard.progress("sample")[-1] == (3, 3) and heard.pictures == []
