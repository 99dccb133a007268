"""The memory plan of ComfyUI's own sampler nodes, from the graph and the headers of its model files."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import native_songs
import pytest
import tiny

from acestep_xl import host
from acestep_xl.host.headless import HeadlessHost
from acestep_xl.host.offload.placement import size_of
from acestep_xl.nodes.load_model import Loader
from acestep_xl.parameters import ids
from acestep_xl.pipeline.memory.forecast import Forecast, forecast
from acestep_xl.pipeline.memory.plan import MemoryPlan, empty_card

CARD = empty_card(8)


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    tiny.write("split", folder)
    tiny.write("all_in_one", folder)
    return folder


@pytest.fixture(autouse=True)
def current(models: Path) -> Iterator[None]:
    with host.use(HeadlessHost([models], models, device="cpu")):
        yield


def plan(graph: native_songs.Api, seconds: float | None = None) -> MemoryPlan:
    (only,) = forecast(graph, seconds, CARD)
    assert only.plan is not None, only.unknown
    return only.plan


def unknown(graph: native_songs.Api) -> str:
    only: Forecast
    (only,) = forecast(graph, None, CARD)
    assert only.plan is None
    return only.unknown


@pytest.mark.parametrize(
    "graph", [native_songs.split(), native_songs.all_in_one(), native_songs.custom()], ids=["split", "one", "custom"]
)
def test_the_weights_are_those_of_the_files(graph: native_songs.Api) -> None:
    model, text, vae = Loader().load(native_songs.MODEL, "auto", "auto", "bf16")
    sizes = [size_of(module) for module in (text.model, model.network, vae.oobleck)]
    sizes[1] -= model.network.silence.nbytes  # not in the headers
    assert [stage.weights for stage in plan(graph).stages] == pytest.approx(sizes, rel=0.05)


def test_songs_length_and_guidance_decide_the_work() -> None:
    def work(**changes: Any) -> int:
        graph = native_songs.split(cfg=changes.pop("cfg", 3.0))
        graph["6"]["inputs"] |= changes
        return plan(graph).stages[1].work

    assert work(seconds=60.0) > work() and work(batch_size=4) > work() > work(cfg=1.0)


def test_a_length_that_comes_from_a_source_has_to_be_given() -> None:
    graph = native_songs.split()
    graph["6"] = native_songs.node("VAEEncodeAudio", audio=["11", 0], vae=["3", 0])
    assert "--seconds" in unknown(graph)
    assert plan(graph, 30.0).stages[1].work > 0


@pytest.mark.parametrize(("name", "part"), [("1", "network"), ("2", "text encoder"), ("3", "VAE"), ("4", "prompt")])
def test_what_other_packs_hide_is_named(name: str, part: str) -> None:
    graph = native_songs.split()
    graph[name]["class_type"] = "SomethingElse"
    assert f"its {part} comes from none of " in unknown(graph)


def test_a_file_name_over_a_link_is_not_known() -> None:
    graph = native_songs.split()
    graph["1"]["inputs"]["unet_name"] = ["20", 0]
    assert "over a link" in unknown(graph)


def test_our_loader_and_speed_node_count() -> None:
    graph = native_songs.split()
    files = {"model": native_songs.MODEL, "text_encoder": "auto", "vae": "auto", "precision": "auto"}
    graph["1"] = native_songs.node(ids.LOADER, **files)
    plain = plan(graph)
    graph["20"] = native_songs.node(ids.SPEED, model=["1", 0], weights="int8", step_cache=0.0)
    graph["7"]["inputs"]["model"] = ["20", 0]
    assert plan(graph).stages[1].weights < plain.stages[1].weights
