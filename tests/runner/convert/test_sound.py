"""The native graph and the converted one sound the same where the arithmetic is the same."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import graphs
import native_songs
import pytest
import tiny
import torch
from native_songs import node
from torch import Tensor

from acestep_xl.host import use
from acestep_xl.host.headless import HeadlessHost
from acestep_xl.model.silence import published_silence
from acestep_xl.nodes import load_model
from acestep_xl.runner.convert.editor_file import to_editor
from acestep_xl.runner.convert.replacements import convert
from acestep_xl.runner.convert.source import read_source
from acestep_xl.runner.node_table import NodeTable
from acestep_xl.runner.workflow.api_format import to_api
from acestep_xl.runner.workflow.read import read_workflow


@pytest.fixture(autouse=True)
def published_latent_of_silence(monkeypatch: pytest.MonkeyPatch) -> None:
    """The tiny VAE encodes silence to another latent than the published one, which ComfyUI's loaders take as given."""
    monkeypatch.setattr(
        load_model, "give_silence", lambda network, vae: setattr(network, "silence", published_silence())
    )


pytestmark = pytest.mark.slow
# Without a reference the timbre is that of 30 s of silence here, and of silence as long as the song in ComfyUI.
CLOSE = 1e-3


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    tiny.write("split", folder)
    tiny.write("all_in_one", folder)
    return folder


def converted(graph: dict[str, Any], models: Path) -> tuple[dict[str, Any], str]:
    """The converted graph in API format, read from its file, and the id of its last sampler."""
    with use(HeadlessHost([models], None, device="cpu")):
        table = NodeTable.shipped()
        source = read_source(graph, table)
        rewrite = convert(source.graph, table, "cfg", {})
        workflow = read_workflow(to_editor(rewrite, source), table)
        assert workflow.problems == []
        (sampler,) = [n for n, call in workflow.graph.items() if call.class_type == "AceStepXLSampler"]
        return to_api(workflow.graph), sampler


def latent(graph: dict[str, Any], node_id: str, models: Path, output: Path) -> Tensor:
    return graphs.run(output, graph=graph, models=models, probes=(node_id,)).outputs[node_id]["samples"]


def both(graph: dict[str, Any], models: Path, output: Path) -> tuple[Tensor, Tensor]:
    ours, sampler = converted(graph, models)
    return latent(graph, "8", models, output), latent(ours, sampler, models, output)


def with_native_text(graph: dict[str, Any]) -> dict[str, Any]:
    """The prompts differ, so TextEncodeAceStepAudio1.5 stays."""
    for entry in graph.values():
        if entry["class_type"] == "TextEncodeAceStepAudio1.5":
            entry["inputs"]["duration"] = native_songs.NATIVE_DURATION
    return graph


CASES = [
    ("euler", "simple", 1.0, 3.0),
    ("euler", "karras", 1.0, 1.0),
    ("dpmpp_2m", "normal", 1.0, 2.0),
]


@pytest.mark.parametrize(("sampler", "scheduler", "denoise", "cfg"), CASES)
def test_ksampler(sampler: str, scheduler: str, denoise: float, cfg: float, models: Path, tmp_path: Path) -> None:
    settings = {"sampler_name": sampler, "scheduler": scheduler, "denoise": denoise, "cfg": cfg}
    native, ours = both(with_native_text(native_songs.split(**settings)), models, tmp_path)
    torch.testing.assert_close(ours, native, atol=CLOSE, rtol=CLOSE)


def test_sampler_custom_advanced_from_one_file(models: Path, tmp_path: Path) -> None:
    graph = with_native_text(native_songs.custom("euler", "simple"))
    one = native_songs.all_in_one()
    graph["1"], graph["4"]["inputs"]["clip"], graph["9"] = one["1"], ["1", 1], one["9"]
    del graph["2"], graph["3"]
    native, ours = both(graph, models, tmp_path)
    torch.testing.assert_close(ours, native, atol=CLOSE, rtol=CLOSE)


def test_a_negative_prompt(models: Path, tmp_path: Path) -> None:
    graph = native_songs.split(cfg=4.0)
    graph["5"] = native_songs.text("loud march")
    native, ours = both(with_native_text(graph), models, tmp_path)
    torch.testing.assert_close(ours, native, atol=CLOSE, rtol=CLOSE)


def test_a_partial_run_from_a_source(models: Path, tmp_path: Path) -> None:
    graph = with_native_text(native_songs.split(scheduler="karras", denoise=0.4))
    graph["30"] = node("EmptyAudio", duration=8.0, sample_rate=48000, channels=2)
    graph["31"] = node("VAEEncodeAudio", audio=["30", 0], vae=["3", 0])
    graph["8"]["inputs"]["latent_image"] = ["31", 0]
    native, ours = both(graph, models, tmp_path)
    torch.testing.assert_close(ours, native, atol=CLOSE, rtol=CLOSE)


def test_a_whole_graph_makes_a_file(models: Path, tmp_path: Path) -> None:
    ours, _ = converted(native_songs.split(), models)
    (file,) = graphs.run(tmp_path, graph=ours, models=models).files
    assert file.suffix == ".mp3" and file.stat().st_size > 1000
