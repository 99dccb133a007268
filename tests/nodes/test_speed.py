"""The speed node: its effect on a run and on memory, and compiled layers."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import graphs
import pytest
import tiny
import torch
from torch import Tensor

from acestep_xl import host as hosts
from acestep_xl.host.headless import HeadlessHost
from acestep_xl.host.headless_sockets import HeadlessModel
from acestep_xl.model import compiled, random_network
from acestep_xl.model.linear import quantise
from acestep_xl.nodes.speed import Speed
from acestep_xl.pipeline.memory import speed as memory_speed


def song(output: Path, settings: dict[str, Any], models: Path | None = None, **choices: Any) -> Tensor:
    """The latent of text_to_music, with the node between loader and guider if there are choices."""
    graph = graphs.text_to_music()
    if choices:
        inputs = {"model": ["load", 0], "weights": "as loaded", "compile": "off", "step_cache": 0.0, **choices}
        graph["speed"] = {"class_type": "AceStepXLSpeed", "inputs": inputs}
        graph["guider"]["inputs"]["model"] = ["speed", 0]
    return graphs.run(output, settings, models=models, probes=("sample",), graph=graph).outputs["sample"]["samples"]


def test_the_defaults_change_nothing_and_every_choice_does(tmp_path: Path) -> None:
    models = tmp_path / "models"
    settings = {"load.model": tiny.write("split", models), "schedule.steps": 8}
    exact = song(tmp_path, settings, models)
    assert torch.equal(song(tmp_path, settings, models, weights="as loaded"), exact)
    for choice in ({"weights": "int8"}, {"weights": "fp8 dynamic"}, {"step_cache": 0.5}):
        approximate = song(tmp_path, settings, models, **choice)
        assert torch.isfinite(approximate).all() and not torch.equal(approximate, exact), choice
        assert torch.equal(song(tmp_path, settings, models, **choice), approximate), "a seed is still a song"


def test_a_parallel_branch_keeps_the_exact_network(tmp_path: Path) -> None:
    graph = graphs.text_to_music()
    inputs = {"model": ["load", 0], "weights": "int8", "compile": "off", "step_cache": 0.3}
    graph["speed"] = {"class_type": "AceStepXLSpeed", "inputs": inputs}
    graph["fast guider"] = {
        "class_type": "AceStepXLGuider",
        "inputs": {**graph["guider"]["inputs"], "model": ["speed", 0]},
    }
    graph["fast"] = {
        "class_type": "AceStepXLSampler",
        "inputs": {**graph["sample"]["inputs"], "guider": ["fast guider", 0]},
    }
    outputs = graphs.run(tmp_path, probes=("fast", "sample"), graph=graph).outputs
    exact, approximate = (outputs[name]["samples"] for name in ("sample", "fast"))
    assert torch.equal(exact, song(tmp_path, {})) and not torch.equal(exact, approximate)


def test_invalid_choices(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"(?s)compile.*turbo.*off, on, cuda graphs"):
        song(tmp_path, {}, compile="turbo")
    with hosts.use(HeadlessHost([], tmp_path, device="cpu")):
        with pytest.raises(ValueError, match="needs an NVIDIA or AMD card, and this device is cpu; choose on"):
            Speed().make(HeadlessModel(random_network.network()), "as loaded", "cuda graphs", 0.0)
        (model,) = Speed().make(HeadlessModel(random_network.network()), "int8", "off", 0.25)
    assert model.network.step_cache == 0.25 and random_network.network().step_cache == 0


def test_extra_memory_is_estimated_for_the_choices_that_need_it() -> None:
    network = random_network.network()
    assert memory_speed.memory(network, 1, 1500) == 0
    int8, dynamic, cached = (quantise.convert(network, kind) for kind in ("int8", "int8 dynamic", "as loaded"))
    cached.step_cache = 0.1
    assert memory_speed.memory(int8, 1, 1500) == memory_speed.memory(int8, 4, 6000) == 4 * 64 * 128
    for fast in (dynamic, cached):
        assert 0 < memory_speed.memory(fast, 1, 1500) < memory_speed.memory(fast, 2, 1500)
    assert quantise.weight_bytes(int8) < quantise.weight_bytes(network)


COMPILED = """
import torch
from dataclasses import replace
from torch._dynamo.utils import counters
from acestep_xl.model import random_network
from acestep_xl.model.compiled import compile_layers
from acestep_xl.model.condition import Condition
from acestep_xl.model.network import AceStep, share
from acestep_xl.model.predictor import Predictor

network = random_network.fill(AceStep(replace(random_network.CONFIG, decoder_layers=4)))
network.silence = random_network.network().silence
def velocity(network, frames, songs=1, guided=False):
    random = torch.Generator().manual_seed(0)
    states = torch.randn(1, 20, random_network.CONFIG.encoder.hidden, generator=random)
    x, context = (torch.randn(songs, frames, n, generator=random) for n in (64, 128))
    predictor = Predictor(network, Condition(states, None), context, batched=True)
    return torch.cat([half for half in predictor(x, 0.6, unconditional=guided) if half is not None])

compiled = share(network)
eager = share(compiled)
compile_layers(compiled, "on")
for frames in (600, 300, 1001):
    torch.testing.assert_close(velocity(compiled, frames), velocity(eager, frames), rtol=0, atol=2e-5)
assert counters["stats"]["unique_graphs"] == 2, counters["stats"]  # a sliding and a full layer, for all lengths
assert not counters["graph_break"], counters["graph_break"]
for songs in (1, 2):  # both halves in one batch, as on a card
    halves = velocity(compiled, 600, songs, guided=True), velocity(eager, 600, songs, guided=True)
    torch.testing.assert_close(*halves, rtol=0, atol=2e-5)
assert not counters["graph_break"], counters["graph_break"]
assert "forward" not in vars(network.decoder.layers[1]), "the original network is not compiled"

# Hooks on parts of a layer, as offloading attaches them, make the layer run eagerly.
calls = []
hook = compiled.decoder.layers[1].mlp.up_proj.register_forward_pre_hook(lambda module, arguments: calls.append(1))
torch.testing.assert_close(velocity(compiled, 600), velocity(eager, 600), rtol=0, atol=2e-5)
assert calls == [1]
print("ok")
"""


def run_in_process(code: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """A separate process, because compilers keep state for the lifetime of one."""
    command = [sys.executable, "-c", code]
    return subprocess.run(
        command, capture_output=True, text=True, check=False, env={**os.environ, **environment}, timeout=600
    )


@pytest.mark.slow
@pytest.mark.skipif(
    torch.backends.cpu.get_cpu_capability() == "DEFAULT", reason="torch compiles for CPUs with vector extensions only"
)
def test_compiled_layers_equal_eager_ones_at_any_length() -> None:
    result = run_in_process(COMPILED)
    assert result.stdout.endswith("ok\n"), result.stderr[-4000:]


NO_COMPILER = """
import torch
from acestep_xl.model import random_network
from acestep_xl.model.compiled import compile_layers
from acestep_xl.model.network import share

network = share(random_network.network())
assert len(network.decoder.layers) > 1
compile_layers(network, "on")
x, context = torch.zeros(1, 60, 64), torch.zeros(1, 60, 128)
try:
    null = network.decoder.project_constant(network.null_condition_emb)
    network.decoder(x, torch.ones(1), context, null)
except RuntimeError as error:
    print(error)
"""


@pytest.mark.slow
def test_a_missing_compiler_is_named_with_its_remedy(tmp_path: Path) -> None:
    result = run_in_process(NO_COMPILER, CXX=str(tmp_path / "none"), TORCHINDUCTOR_CACHE_DIR=str(tmp_path / "cache"))
    assert "A CPU needs a C++ compiler such as g++" in result.stdout and "set compile to off" in result.stdout, (
        result.stdout + result.stderr[-3000:]
    )


def test_an_unknown_mode_lists_the_allowed_ones() -> None:
    with pytest.raises(ValueError, match="compile = 'max' is unknown; allowed: off, on, cuda graphs"):
        compiled.check("max", torch.device("cpu"))
