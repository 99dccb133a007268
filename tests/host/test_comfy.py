"""The host inside ComfyUI: folders, progress, hints, previews and interruption."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import graphs
import pytest
import tiny
from comfy_process import run
from comfy_server import ComfyServer, needs_comfyui
from comfy_socket import HINTS, listen, overhear

pytestmark = [needs_comfyui, pytest.mark.slow]

# The network has a property `device`, an attribute that ComfyUI sets on models.
HOST = """
import gc
import weakref
from pathlib import Path
import folder_paths
import torch
import comfy.model_management as management
from torch import nn
from acestep_xl.host import current_host

host = current_host()
assert type(host).__name__ == "ComfyHost" and current_host() is host
assert host.model_names("vae") == ["sub/v.safetensors"], host.model_names("vae")
assert host.model_names("diffusers") == ["acestep-v15-xl-sft", "official"]
assert host.model_path("diffusers", "acestep-v15-xl-sft") == Path(arguments[0], "models/Ace-Step1.5/acestep-v15-xl-sft")
assert host.model_path("vae", "sub\\\\v.safetensors") == Path(arguments[0], "models/vae/sub/v.safetensors")
assert host.model_path("vae", "sub/v.safetensors") == Path(arguments[0], "models/vae/sub/v.safetensors")
try:
    host.model_path("vae", "missing")
except FileNotFoundError as error:
    assert "sub/v.safetensors" in str(error)
else:
    raise AssertionError
assert [path.name for path in host.tokenizer_bundles()] == ["q", "qwen25_tokenizer"]
assert host.output_directory() == Path(folder_paths.get_output_directory())
assert not host.metadata_enabled()

class Network(nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(4, 4), nn.LayerNorm(4))
        self.scale = nn.Parameter(torch.ones(1))

    @property
    def device(self):
        return self.scale.device

network, second = Network(), nn.Linear(2, 2)
before = {name: value.clone() for name, value in network.state_dict().items()}
with host.resident([network], 2**20) as device:
    assert device == torch.device("cpu") and network.device == device
    assert [loaded.model.module for loaded in management.loaded_models()] == [network]
    with host.resident([second], 0):
        assert {loaded.model.module for loaded in management.loaded_models()} == {network, second}
with host.resident([network], 0):
    assert len([loaded for loaded in management.loaded_models() if loaded.model.module is network]) == 1
management.unload_all_models()
with host.resident([network], 0):
    pass
assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
assert list(network.state_dict()) == list(before)

events = []
comfy.utils.set_progress_bar_global_hook(lambda *event, **options: events.append(event[:2]))
with host.progress(4) as bar:
    bar.update(4)
assert events == [(4, 4)]

management.interrupt_current_processing()
try:
    host.check_interrupted()
except management.InterruptProcessingException:
    pass
else:
    raise AssertionError
host.check_interrupted()

reference = weakref.ref(network)
del network, before
gc.collect()
management.cleanup_models_gc()
assert reference() is None, "the patcher must not keep the network alive"
"""


def test_the_host_in_comfyuis_own_process(tmp_path: Path) -> None:
    for name in ("vae/sub/v.safetensors", "vae/old.pt", "diffusers/official/config.json", "text_encoders/q/vocab.json",
                 "Ace-Step1.5/acestep-v15-xl-sft/config.json"):  # fmt: skip
        path = tmp_path / "models" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    (tmp_path / "models" / "vae" / "sub" / "loop").symlink_to(tmp_path / "models", target_is_directory=True)
    run(HOST, str(tmp_path), options=("--base-directory", str(tmp_path), "--disable-metadata"))


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ComfyServer]:
    """ComfyUI with previews, and with models in a folder that only extra_model_paths.yaml lists."""
    folder = tmp_path_factory.mktemp("comfyui")
    tiny.write("split", folder / "elsewhere")
    networks = folder / "elsewhere" / "diffusion_models"
    (networks / "music").mkdir()
    shutil.copy(networks / f"{tiny.NAME}.safetensors", networks / "music")
    (networks / "damaged.safetensors").write_text("<!doctype html>")
    kinds = ("diffusion_models", "text_encoders", "vae")
    lines = [f"  {kind}: {kind}" for kind in kinds]
    config = folder / "extra.yaml"
    config.write_text("\n".join(["mine:", f"  base_path: {folder / 'elsewhere'}", *lines, ""]))
    options = ("--preview-method", "auto", "--preview-size", "300", "--extra-model-paths-config", str(config))
    with ComfyServer(folder, options) as running:
        yield running


def test_models_of_extra_model_paths_are_listed_and_run(server: ComfyServer) -> None:
    name = f"{tiny.NAME}.safetensors"
    choices = server.get("/object_info/AceStepXLLoader")["AceStepXLLoader"]["input"]["required"]["model"][0]
    assert name in choices
    graph = graphs.text_to_music()
    graph["load"]["inputs"]["model"] = name
    received = listen(server, graph)
    assert received.messages[-1][0] == "execution_success", received.messages[-1]
    assert received.progress("load")[-1] == (3, 3)


def test_a_name_saved_on_windows_runs_and_a_damaged_file_is_refused_before_the_run(server: ComfyServer) -> None:
    graph = graphs.text_to_music()
    graph["load"]["inputs"]["model"] = f"music\\{tiny.NAME}.safetensors"
    assert listen(server, graph).messages[-1][0] == "execution_success"
    graph["load"]["inputs"]["model"] = "damaged.safetensors"
    assert "it is a web page" in str(server.post("/prompt", {"prompt": graph})["node_errors"])


def test_a_running_sampler_shows_steps_and_previews(server: ComfyServer) -> None:
    graph = graphs.text_to_music()
    graph["schedule"]["inputs"]["steps"], graph["empty"]["inputs"]["seconds"] = 25, 20.0
    received = listen(server, graph)
    assert received.progress("sample")[-1] == (25, 25)
    assert received.previews and all(preview.format == "JPEG" for preview in received.previews)
    assert all(preview.width == 300 for preview in received.previews)


def test_core_sampler_nodes_show_our_previews_too(server: ComfyServer) -> None:
    graph = graphs.text_to_music()
    graph |= graphs.core_sampling("euler")
    received = listen(server, graph)
    assert received.messages[-1][0] == "execution_success", received.messages[-1]
    assert received.progress("sample")[-1] == (3, 3) and received.previews
    assert "3 steps" in received.hints()["sample"][0]


def test_hints_stay_on_their_node_until_a_run_has_none(server: ComfyServer) -> None:
    graph = graphs.text_to_music()
    graph["schedule"]["inputs"]["steps"] = 30
    graph["text"]["inputs"] |= {"lyrics": "[Verse]\nПривет мир, как дела", "caption": "waltz, 140 bpm"}
    hints = {node: " ".join(texts) for node, texts in listen(server, graph).hints().items() if texts}
    assert "Cyrillic" in hints["text"] and "140 bpm" in hints["text"]
    assert hints.keys() <= {"text", "load"}, "the demo network has a notice on its loader"
    graph["text"]["inputs"] |= {"lyrics": "[Verse]\nhello again", "caption": "waltz"}
    hints = listen(server, graph).hints()
    assert hints["text"] == [], "old hints are cleared"
    assert not any(hints.values())


def test_hints_reach_only_the_browser_whose_prompt_it_is(server: ComfyServer) -> None:
    """A prompt without a client id has nobody to tell, and ComfyUI would tell everybody."""
    graph = graphs.text_to_music()
    graph["text"]["inputs"] |= {"caption": "tango, 150 bpm", "bpm": 90}
    overheard = overhear(server, graph)
    assert "status" in dict(overheard.messages) and overheard.hints() == {}
    graph["text"]["inputs"]["caption"] = "tango, 160 bpm"
    (content,) = (
        data
        for kind, data in listen(server, graph, workflow="3f0a").messages
        if kind == HINTS and data["node"] == "text"
    )
    assert content["workflow"] == "3f0a" and "160 bpm" in content["hints"][0]


@pytest.mark.parametrize("node", ["sample", "decode"])
def test_a_node_stops_while_it_works(node: str, server: ComfyServer) -> None:
    graph = graphs.text_to_music()
    graph["empty"]["inputs"]["seconds"] = 60.0
    graph["schedule"]["inputs"]["steps"] = 40 if node == "sample" else 1
    kind, data = listen(server, graph, interrupt_at=node).messages[-1]
    assert (kind, data.get("node_id")) == ("execution_interrupted", node)
    after = listen(server, graphs.text_to_music())
    assert after.messages[-1][0] == "execution_success"


def test_without_a_preview_method_there_are_no_previews(server: ComfyServer) -> None:
    graph = graphs.text_to_music()
    graph["empty"]["inputs"]["seconds"] = 30.0
    received = listen(server, graph, preview_method="none")
    assert received.progress("sample")[-1] == (3, 3) and received.previews == []
