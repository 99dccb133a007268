"""Converted graphs in a real ComfyUI: its server accepts them, and they make the native graph's song."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import native_songs
import pytest
import tiny
from audio_files import sine, write
from comfy_server import ComfyServer, needs_comfyui, table_of
from native_songs import node

from acestep_xl.audio.decoding import read
from acestep_xl.host import use
from acestep_xl.host.headless import HeadlessHost
from acestep_xl.runner.convert.editor_file import to_editor
from acestep_xl.runner.convert.replacements import convert
from acestep_xl.runner.convert.source import read_source
from acestep_xl.runner.node_table import NodeTable
from acestep_xl.runner.workflow.api_format import to_api
from acestep_xl.runner.workflow.read import read_workflow

pytestmark = [needs_comfyui, pytest.mark.slow]


@pytest.fixture(scope="module")
def comfy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ComfyServer]:
    folder = tmp_path_factory.mktemp("comfyui")
    tiny.write("split", folder / "models")
    tiny.write("all_in_one", folder / "models")
    write(folder / "input" / "take.flac", sine(44100, 8.0), 44100, format="flac", bit_depth=16)
    with ComfyServer(folder) as server:
        yield server


def converted(graph: dict[str, Any], comfy: ComfyServer) -> dict[str, Any]:
    """A converted graph as ComfyUI's editor sends it."""
    with use(HeadlessHost([comfy.folder / "models"], None, device="cpu")):
        table = NodeTable.shipped()
        source = read_source(graph, table)
        data = to_editor(convert(source.graph, table, "cfg", {}), source)
    workflow = read_workflow(data, table_of(comfy))
    assert workflow.problems == []
    return to_api(workflow.graph)


def cover(denoise: float) -> dict[str, Any]:
    """A partial run from a recording."""
    graph = native_songs.split(denoise=denoise)
    graph["30"] = node("LoadAudio", audio="take.flac")
    graph["31"] = node("VAEEncodeAudio", audio=["30", 0], vae=["3", 0])
    graph["8"]["inputs"]["latent_image"] = ["31", 0]
    return graph


GRAPHS = {
    "split": native_songs.split(),
    "all in one": native_songs.all_in_one(),
    "custom": native_songs.custom("heun", "karras"),
    "levels of ComfyUI's": native_songs.split(scheduler="normal", sampler_name="dpmpp_2m"),
    "partial": cover(0.5),
}


@pytest.mark.parametrize("name", GRAPHS)
def test_comfyui_runs_the_converted_graph(name: str, comfy: ComfyServer) -> None:
    graph = converted(GRAPHS[name], comfy)
    (file,) = comfy.files(comfy.run(graph))
    waveform, rate = read(file)
    assert rate == 48000 and waveform.shape[-1] / rate == pytest.approx(native_songs.SECONDS, abs=0.1)
    assert 0.3 < float(waveform.abs().max()) <= 1.05
