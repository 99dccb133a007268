"""The memory plan of a workflow, from its graph and the headers of its model files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import tiny
import torch
from full_size import checkpoint
from graphs import text_to_music

from acestep_xl import host, parameters
from acestep_xl.host.headless import HeadlessHost
from acestep_xl.host.offload.placement import size_of
from acestep_xl.model.linear import quantise
from acestep_xl.model.network import share
from acestep_xl.nodes.load_model import Loader
from acestep_xl.parameters import ids
from acestep_xl.pipeline.memory import forecast as memory_forecast
from acestep_xl.pipeline.memory import plan as memory_plan
from acestep_xl.pipeline.memory import speed as memory_speed
from acestep_xl.pipeline.memory.plan import MemoryPlan, empty_card


@pytest.mark.parametrize("layout", ["split", "all_in_one", "official"])
def test_the_headers_of_a_checkpoint_give_the_sizes_of_its_networks(layout: str, tmp_path: Path) -> None:
    name = tiny.write(layout, tmp_path)
    with host.use(HeadlessHost([tmp_path], tmp_path, device="cpu")):
        model, text, vae = Loader().load(name, "auto", "auto", "fp32")
        network = model.network
        inputs = {"model": name, "text_encoder": "auto", "vae": "auto", "precision": "fp32"}
        networks, storage = memory_forecast._networks(inputs, torch.device("cpu"), is_hypothetical=False)
    assert storage.startswith("safetensors fp32, ")
    network.silence = network.silence[:0]  # offloaded with the weights, but not in the headers
    assert [size_of(module) for module in networks] == [size_of(m) for m in (network, text.model, vae.oobleck)]
    assert all(weight.device.type == "meta" for module in networks for weight in module.parameters())


def test_the_plan_includes_the_speed_node(monkeypatch: pytest.MonkeyPatch) -> None:
    graph, card = text_to_music(), empty_card(8)
    monkeypatch.setattr(memory_forecast, "_networks", lambda *_, **__: (checkpoint(), ""))

    def plan(**inputs: Any) -> MemoryPlan:
        speed = {"class_type": ids.SPEED, "inputs": {"model": ["load", 0], **inputs}}
        guider = next(node for node in graph.values() if node["class_type"] == ids.GUIDER)
        guider["inputs"]["model"] = ["speed", 0] if inputs else ["load", 0]
        (forecast,) = memory_forecast.forecast({**graph, "speed": speed}, 60, card)
        assert forecast.plan is not None
        return forecast.plan

    plain, eight_bit = plan(), plan(weights="int8", step_cache=0.0)
    assert plain.kind == memory_plan.PARTLY and plain.eight_bit
    assert eight_bit.kind == memory_plan.TURNS and not eight_bit.eight_bit
    network, frames = quantise.convert(checkpoint().network, "int8"), parameters.MINIMUM_FRAMES
    assert eight_bit.stages[1].weights == size_of(network)
    assert eight_bit.stages[1].work - plain.stages[1].work >= memory_speed.memory(network, 1, frames) > 0
    cached, linked = (plan(weights="as loaded", step_cache=value) for value in (0.1, ["another", 0]))
    network = share(checkpoint().network)
    network.step_cache = 0.1
    assert cached.stages[1].work - plain.stages[1].work == memory_speed.memory(network, 1, frames) > 0
    assert linked == cached, "a linked value may switch the cache on"
