"""Nodes of the sampler: what they change in a run, and interoperability with ComfyUI's own samplers and guiders."""

from __future__ import annotations

import os
import subprocess
import sys
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import graphs
import pytest
import torch
from edit_graphs import Graph, node
from measure import batch_tolerance
from PIL import Image
from torch import Tensor

from acestep_xl import host as hosts
from acestep_xl.host.headless import HeadlessHost
from acestep_xl.host.headless_sockets import HeadlessSockets
from acestep_xl.nodes.recipe import Recipe
from acestep_xl.nodes.sampler import Sampler
from acestep_xl.nodes.solver import SolverNode, SolverSampler
from acestep_xl.parameters import get
from acestep_xl.pipeline.comfy_samplers import GuidedModel
from acestep_xl.runner.cli import main
from acestep_xl.runner.execute import NodeError


def song(tmp_path: Path, graph: Graph, **settings: Any) -> Tensor:
    """The sampled latents; settings are node__input=value."""
    values = {name.replace("__", "."): value for name, value in settings.items()}
    return graphs.run(tmp_path, values, graph=graph, probes=("sample",)).outputs["sample"]["samples"]


def graph_with_modifier(kind: str, **inputs: Any) -> Graph:
    graph = graphs.text_to_music()
    graph["modifier"] = node(kind, guider=["guider", 0], **inputs)
    graph["sample"]["inputs"]["guider"] = ["modifier", 0]
    return graph


def graph_with_recipe(text: str) -> Graph:
    graph = graphs.text_to_music()
    graph["recipe"] = node("Recipe", guider=["guider", 0], recipe=text, steps=3, shift=3.0, seed=7)
    sockets = {"guider": 0, "sigmas": 1, "sampler": 2, "noise": 3}
    graph["sample"]["inputs"] |= {name: ["recipe", slot] for name, slot in sockets.items()}
    return graph


@pytest.mark.parametrize("solver", get("solver_type").choices)
def test_only_euler_equals_the_default_solver(tmp_path: Path, solver: str) -> None:
    graph = graphs.text_to_music()
    plain = song(tmp_path, graphs.text_to_music())
    graph["solver"] = node("Solver", solver=solver, eta=1.0)
    graph["sample"]["inputs"]["sampler"] = ["solver", 0]
    result = song(tmp_path, graph)
    assert torch.equal(result, plain) == (solver == "euler")
    assert torch.equal(result, song(tmp_path, graph))


def test_a_stochastic_batch_is_its_single_runs(tmp_path: Path) -> None:
    def run(batch: int, seed: int) -> Tensor:
        graph = graphs.text_to_music()
        graph["solver"] = node("Solver", solver="euler_ancestral", eta=1.0)
        graph["sample"]["inputs"]["sampler"] = ["solver", 0]
        return song(tmp_path, graph, empty__batch_size=batch, sample__seed=seed)

    single = torch.cat([run(1, seed) for seed in (5, 6, 7)])
    torch.testing.assert_close(run(3, 5), single, rtol=0, atol=batch_tolerance(single))


@pytest.mark.parametrize(
    ("kind", "inputs"),
    [
        ("GuidanceCurve", {"curve": "linear", "end_scale": 2.0}),
        ("NormClamp", {"threshold": 0.5}),
        ("VelocityEma", {"factor": 0.5}),
        ("GuidanceRescale", {"factor": 0.7}),
        ("Wavelet", {"mode": "double", "low": 0.05, "high": 0.02}),
    ],
)
def test_a_modifier_changes_the_song(
    tmp_path: Path, kind: str, inputs: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    changed = song(tmp_path, graph_with_modifier(kind, **inputs))
    assert not torch.equal(changed, song(tmp_path, graphs.text_to_music()))
    assert any("SFT" in record.getMessage() for record in caplog.records) == (kind == "Wavelet")


def test_a_constant_curve_changes_nothing(tmp_path: Path) -> None:
    graph = graph_with_modifier("GuidanceCurve", curve="constant", end_scale=2.0)
    assert torch.equal(song(tmp_path, graph), song(tmp_path, graphs.text_to_music()))


def test_an_empty_recipe_changes_nothing(tmp_path: Path) -> None:
    assert torch.equal(song(tmp_path, graph_with_recipe("")), song(tmp_path, graphs.text_to_music()))


def test_a_recipe_equals_the_nodes_it_names(tmp_path: Path) -> None:
    text = (
        '{"schedule": {"type": "karras"}, "solver": {"type": "heun"}, "guidance": {"curve": "cosine", "endScale": 2}}'
    )
    graph = graph_with_modifier("GuidanceCurve", curve="cosine", end_scale=2.0)
    graph["solver"] = node("Solver", solver="heun", eta=1.0)
    graph["sample"]["inputs"]["sampler"] = ["solver", 0]
    graph["schedule"]["inputs"]["schedule"] = "karras"
    assert torch.equal(song(tmp_path, graph_with_recipe(text)), song(tmp_path, graph))


def test_an_invalid_recipe_is_refused_before_anything_runs(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"modularScheduler.solver.type .*'dpm9'") as error:
        song(tmp_path, graph_with_recipe('{"solver": {"type": "dpm9"}, "tempo": 3}'))
    assert "tempo" in str(error.value) and not isinstance(error.value, NodeError)
    assert Recipe.VALIDATE_INPUTS("DPM++ 2M Karras") is True
    message = str(Recipe.VALIDATE_INPUTS("DPM++ 9M"))
    assert "known" in message or "allowed" in message


def test_the_plot_shows_schedule_and_run(tmp_path: Path) -> None:
    graph = graphs.text_to_music()
    graph["plot"] = node("Plot", sigmas=["schedule", 0], latent=["sample", 0], filename_prefix="plots/run")
    image = graphs.run(tmp_path, graph=graph, probes=("plot",)).outputs["plot"]
    (file,) = tmp_path.glob("plots/*.png")
    assert image.shape[0] == 1 and image.shape[3] == 3 and 0 <= image.min() < 0.3 and image.max() == 1
    assert Image.open(file).size == (image.shape[2], image.shape[1])
    graph["plot"]["inputs"]["latent"] = ["empty", 0]
    with pytest.raises(NodeError, match="carries no trace of a run"):
        graphs.run(tmp_path, graph=graph)


def test_the_plot_command_draws_every_sampler(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["plot", "chain", "--demo", "--device", "cpu", "--output", str(tmp_path)]
    assert main([*arguments, "--set", "AceStepXLSchedule.steps=2"]) == 0
    files = [line for line in capsys.readouterr().out.split() if line.endswith(".png")]
    assert len(files) == 3 and all(Path(file).is_file() for file in files)


class CONST:
    """Named like the class by which ComfyUI identifies flow models."""


class Flow(CONST):
    """The noise levels of a flow model."""


def wrapped_model(goal: Tensor, sampling: object) -> Any:
    """A model as ComfyUI wraps it; its clean latent is ``goal`` at every level."""

    def model(x: Tensor, sigma: Tensor, model_options: Any, seed: int) -> Tensor:
        return goal

    model.inner_model = SimpleNamespace(model_sampling=sampling)  # type: ignore[attr-defined]
    return model


@pytest.mark.parametrize("solver", get("solver_type").choices)
@pytest.mark.parametrize("shape", [(2, 4, 16), (1, 3, 5, 6)])
def test_our_solvers_run_guiders_of_other_models(solver: str, shape: tuple[int, ...]) -> None:
    goal, noise = torch.randn(shape), torch.randn(shape)
    (sampler,) = SolverNode().make(solver, 1.0)
    steps: list[int] = []
    sigmas = torch.linspace(1, 0, 6)
    result = sampler.sample(
        wrapped_model(goal, Flow()), sigmas, {"seed": 3}, lambda i, x0, x, n: steps.append(i), noise
    )
    torch.testing.assert_close(result, goal, rtol=0, atol=1e-4)
    assert steps == [0, 1, 2, 3, 4]


def test_a_mask_preserves_the_source_of_another_model() -> None:
    goal, noise, source = (torch.randn(1, 2, 8) for _ in range(3))
    mask = torch.zeros(1, 2, 8)
    mask[..., 3:] = 1
    result = SolverSampler("euler", 0.0).sample(
        wrapped_model(goal, Flow()), torch.linspace(1, 0, 4), {}, None, noise, source, mask
    )
    torch.testing.assert_close(result, torch.where(mask > 0, goal, source), rtol=0, atol=1e-5)


def test_models_other_than_flows_are_refused() -> None:
    with pytest.raises(ValueError, match="for flow models, and the model's noise levels are SimpleNamespace"):
        SolverSampler("euler", 0.0).sample(
            wrapped_model(torch.zeros(1), SimpleNamespace()), torch.linspace(1, 0, 3), {}, None, torch.zeros(1, 1)
        )


class CoreEuler:
    """Euler, written to ComfyUI's SAMPLER contract as core's own is."""

    def sample(
        self,
        model: GuidedModel,
        sigmas: Tensor,
        extra_args: dict[str, Any],
        callback: Any,
        noise: Tensor,
        latent_image: Tensor,
        denoise_mask: Tensor | None,
        disable_pbar: bool,
    ) -> Tensor:
        x = sigmas[0] * noise + (1 - sigmas[0]) * latent_image
        for i, (t, t_next) in enumerate(pairwise(sigmas)):
            denoised = model(x, t.expand(len(x)), model_options=extra_args["model_options"], seed=extra_args["seed"])
            callback(i, denoised, x, len(sigmas) - 1)
            x = x + (x - denoised) / t * (t_next - t)
        return x


@pytest.mark.parametrize(("guidance", "seconds"), [("apg", 6.0), ("cfg", 6.0), ("apg", 2.0)])
def test_a_comfyui_sampler_in_our_node_equals_our_euler(
    tmp_path: Path, guidance: str, seconds: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Including the average that APG carries from step to step."""
    monkeypatch.setattr(HeadlessSockets, "sampling_patcher", lambda self, model: SimpleNamespace(model=model))
    settings = {"guider.type": guidance, "schedule.steps": 5, "empty.seconds": seconds}
    guider, sigmas, ours = (
        graphs.run(tmp_path, settings, probes=(name,)).outputs[name] for name in ("guider", "schedule", "sample")
    )
    with hosts.use(HeadlessHost([], tmp_path, device="cpu")):
        latent = {"samples": torch.zeros(1, 64, round(25 * seconds))}
        theirs = Sampler().sample(guider, sigmas, latent, 7, None, CoreEuler())[0]["samples"]
    torch.testing.assert_close(theirs, ours["samples"], rtol=0, atol=2e-4)


def test_what_is_no_sampler_is_refused(tmp_path: Path) -> None:
    guider = graphs.run(tmp_path, probes=("guider",)).outputs["guider"]
    with hosts.use(HeadlessHost([], tmp_path, device="cpu")), pytest.raises(ValueError, match="sampler is a object"):
        Sampler().sample(guider, torch.linspace(1, 0, 3), {"samples": torch.zeros(1, 64, 150)}, 7, None, object())


COMFY = os.environ.get("COMFYUI_PATH")
INTEROP = """
import sys, torch
sys.argv = ["main.py", "--cpu"]
import comfy.options; comfy.options.enable_args_parsing()
import comfy.model_management, comfy.samplers
sys.path[:0] = [SUPPORT]
from pathlib import Path
from acestep_xl import host as hosts
from acestep_xl.host.comfy import ComfyHost
from acestep_xl.model import random_network
from acestep_xl.model.prompt import Metadata, Prompt, instruction
from acestep_xl.nodes.guidance import GuiderNode
from acestep_xl.pipeline import conditioning
from acestep_xl.nodes.sampler import Sampler
network, encoder, _ = random_network.load()
prompt = Prompt("a", "b", "en", Metadata(), instruction("text2music"))
positive = conditioning.write(encoder.encode([prompt]), "text2music", [prompt])
model = hosts.current_host().sockets.make_model(network)
guider = GuiderNode().make(model, positive, "apg", 5.0, 0.0, 1.0, -0.75, 2.5, 0.0, 0.5, "standard", 1.0)[0]
sigmas, latent = torch.linspace(1, 0, 7), {"samples": torch.zeros(1, 64, 150)}
with hosts.use(ComfyHost()):
    ours = Sampler().sample(guider, sigmas, latent, 7)[0]["samples"]
    core = Sampler().sample(guider, sigmas, latent, 7, None, comfy.samplers.sampler_object("euler"))[0]["samples"]
    for name in ("heun", "euler_ancestral", "dpmpp_2m_sde", "res_multistep", "ddim", "uni_pc"):
        other = Sampler().sample(guider, sigmas, latent, 7, None, comfy.samplers.sampler_object(name))[0]["samples"]
        assert torch.isfinite(other).all() and other.std() > 0.1, name
print("difference", float((ours - core).abs().max()))
"""


@pytest.mark.skipif(COMFY is None, reason="COMFYUI_PATH is not set")
def test_core_samplers_inside_comfyui() -> None:
    support = repr(str(Path(__file__).parents[1] / "support"))
    run = subprocess.run(
        [os.environ.get("COMFYUI_PYTHON", sys.executable), "-c", INTEROP.replace("SUPPORT", support)],
        cwd=COMFY,
        env={**os.environ, "PYTHONPATH": str(COMFY)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stderr[-3000:]
    assert float(run.stdout.split("difference")[1]) < 1e-3
