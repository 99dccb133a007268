"""The pack in a real ComfyUI: all workflows, core nodes on both sides, stops, restarts, nothing else changed."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import graphs
import pytest
import torch
from comfy_server import ROOT, ComfyServer, comfyui_can_import, messages, needs_comfyui, table_of

from acestep_xl import parameters
from acestep_xl.audio.files import read, write
from acestep_xl.runner.api_format import to_api
from acestep_xl.runner.read import read_workflow

pytestmark = [needs_comfyui, pytest.mark.slow]

SHIPPED = sorted(path.stem for path in (ROOT / "workflows").glob("*.json"))
SECONDS = 8.0
# The built-in melody, on which the workflows with a source work, is 8 seconds long.
LENGTHS = {"extend": 16.0, "chain": 12.0, "core_nodes": 30.0}
LEAST_PEAK = {"core_nodes": 0.1}  # nothing in it brings songs to a loudness


@pytest.fixture(scope="module")
def comfy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ComfyServer]:
    with ComfyServer(tmp_path_factory.mktemp("comfyui")) as server:
        write(server.folder / "input" / "tune.wav", tune(10), parameters.SAMPLE_RATE, format="wav", bit_depth=16)
        yield server


def tune(seconds: float) -> torch.Tensor:
    """A stereo glide `[2 n]`, so that no two moments are alike."""
    time = torch.arange(round(seconds * parameters.SAMPLE_RATE)) / parameters.SAMPLE_RATE
    return 0.5 * torch.stack([torch.sin(time * (400 + 60 * time)), torch.sin(time * (600 + 30 * time))])


def shipped(name: str, server: ComfyServer) -> dict[str, Any]:
    """A shipped workflow as ComfyUI's editor would send it, with the demo network, few steps and short songs."""
    data = json.loads((ROOT / f"workflows/{name}.json").read_text("utf-8"))
    workflow = read_workflow(data, table_of(server))
    assert workflow.problems == []
    graph = to_api(workflow.graph)
    for node in graph.values():
        inputs = node["inputs"]
        if node["class_type"] == "AceStepXLLoader":
            inputs |= {"model": "demo", "text_encoder": "auto", "vae": "auto"}
        inputs |= {"steps": 4} if "steps" in inputs else {}
        inputs |= {"seconds": SECONDS} if node["class_type"] == "AceStepXLEmptyLatent" else {}
    return graph


@pytest.mark.parametrize("name", SHIPPED)
def test_every_shipped_workflow_makes_audio(name: str, comfy: ComfyServer) -> None:
    if name == "plot" and not comfyui_can_import("matplotlib"):
        (fault,) = messages(comfy.wait(comfy.submit(shipped(name, comfy))), "execution_error")
        assert "pip install matplotlib" in fault["exception_message"]
        return
    files = comfy.files(comfy.run(shipped(name, comfy)))
    assert files
    for file in files:
        waveform, rate = read(file)
        assert rate == parameters.SAMPLE_RATE and waveform.shape[1] == 2, file
        assert waveform.shape[-1] / rate == LENGTHS.get(name, SECONDS), file
        assert LEAST_PEAK.get(name, 0.3) < float(waveform.abs().max()) <= 1, file
        level = waveform.square().mean(dim=(0, 1)).unfold(0, rate, rate).mean(dim=1)
        assert float(level.min()) > 1e-8, f"{file} has a silent second"


def test_only_our_nodes_are_added_and_no_other_is_changed(
    comfy: ComfyServer, tmp_path_factory: pytest.TempPathFactory
) -> None:
    comfy.run(shipped("text_to_music", comfy))
    with_pack = comfy.get("/object_info")
    with ComfyServer(tmp_path_factory.mktemp("bare"), pack=False) as bare:
        alone = bare.get("/object_info")
    ours = {name for name in with_pack if name.startswith("AceStepXL")}
    assert len(ours) >= 24
    assert with_pack.keys() - ours == alone.keys()
    # The choices of core's LoadAudio are the files of the input folder, where this module put one.
    changed = [name for name in alone if alone[name] != with_pack[name] and name not in ("LoadAudio", "LoadVideo")]
    assert changed == []


def test_the_pack_loads_fast_and_in_silence(comfy: ComfyServer) -> None:
    took = re.search(r"([\d.]+) seconds: .*acestep-xl", comfy.log())
    assert took, comfy.log()[-3000:]
    assert float(took[1]) < 0.5
    before_the_first_run = comfy.log().split("got prompt")[0]
    told = [line for line in before_the_first_run.splitlines() if re.search("acestep|ace-step", line, re.IGNORECASE)]
    assert not [line for line in told if re.search("warn|error|fail|traceback", line, re.IGNORECASE)], told


def test_a_run_stops_in_the_middle_and_the_next_one_works(comfy: ComfyServer) -> None:
    graph = graphs.text_to_music()
    graph["empty"]["inputs"]["seconds"], graph["schedule"]["inputs"]["steps"] = 60.0, 300
    prompt = comfy.submit(graph)
    time.sleep(3)
    assert comfy.get("/queue")["queue_running"], "it was over before it could be stopped"
    comfy.post("/interrupt", {})
    entry = comfy.wait(prompt)
    assert messages(entry, "execution_interrupted"), entry["status"]
    assert comfy.files(entry) == []
    assert comfy.get("/queue") == {"queue_running": [], "queue_pending": []}
    assert comfy.files(comfy.run(shipped("text_to_music", comfy)))


def test_a_changed_seed_runs_the_sampler_and_changed_lyrics_run_the_text(comfy: ComfyServer) -> None:
    graph = graphs.text_to_music()
    comfy.run(graph)

    def cached() -> set[str]:
        (told,) = messages(comfy.run(graph), "execution_cached")
        return set(told["nodes"])

    graph["sample"]["inputs"]["seed"] = 12345
    assert graph.keys() - cached() == {"sample", "decode", "save"}
    graph["text"]["inputs"]["lyrics"] = "[Verse]\nother words"
    assert graph.keys() - cached() == {"text", "guider", "sample", "decode", "save"}
    graph["schedule"]["inputs"]["steps"] = 2
    assert graph.keys() - cached() == {"schedule", "sample", "decode", "save"}


def test_a_restart_gives_the_same_song_and_loses_no_file(tmp_path: Path) -> None:
    songs = []
    for _ in range(2):
        with ComfyServer(tmp_path) as server:
            songs.append(server.files(server.run(graphs.text_to_music()))[0])
    first, second = (read(path)[0] for path in songs)
    assert songs[0] != songs[1]
    assert torch.equal(first, second)


def test_a_failed_node_names_the_fault_and_leaves_the_queue_alone(comfy: ComfyServer) -> None:
    graph = graphs.text_to_music()
    graph["schedule"]["inputs"]["custom_sigmas"] = "1, 0.5, 0.7, 0"
    entry = comfy.wait(comfy.submit(graph))
    (error,) = messages(entry, "execution_error")
    assert error["node_id"] == "schedule" and "0.7" in error["exception_message"]
    assert comfy.files(comfy.run(graphs.text_to_music()))


def core(kind: str, **inputs: Any) -> dict[str, Any]:
    return {"class_type": kind, "inputs": inputs}


SAMPLERS = ("euler", "heun", "dpmpp_2m", "euler_ancestral", "dpmpp_2m_sde", "uni_pc", "res_multistep", "lcm", "ddim")


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_core_sampling_nodes_take_our_guider(sampler: str, comfy: ComfyServer) -> None:
    graph = graphs.text_to_music()
    graph["noise"] = core("RandomNoise", noise_seed=3)
    graph["solver"] = core("KSamplerSelect", sampler_name=sampler)
    graph["sample"] = core(
        "SamplerCustomAdvanced",
        noise=["noise", 0],
        guider=["guider", 0],
        sampler=["solver", 0],
        sigmas=["schedule", 0],
        latent_image=["empty", 0],
    )
    assert_sounds(comfy.files(comfy.run(graph)))


def assert_sounds(files: list[Path]) -> None:
    assert files
    for file in files:
        waveform, _ = read(file)
        assert torch.isfinite(waveform).all() and float(waveform.square().mean().sqrt()) > 1e-3, file


def test_core_schedules_noise_and_samplers_run_in_our_sampler(comfy: ComfyServer) -> None:
    graph = graphs.text_to_music()
    graph["schedule"] = core("KarrasScheduler", steps=4, sigma_max=1.0, sigma_min=0.02, rho=7.0)
    graph["noise"] = core("RandomNoise", noise_seed=5)
    graph["solver"] = core("KSamplerSelect", sampler_name="dpmpp_2m")
    graph["sample"]["inputs"] |= {"noise": ["noise", 0], "sampler": ["solver", 0]}
    assert_sounds(comfy.files(comfy.run(graph)))


@pytest.mark.parametrize("saver", ["SaveAudio", "SaveAudioMP3", "SaveAudioOpus", "PreviewAudio"])
def test_core_decodes_and_saves_what_we_sampled(saver: str, comfy: ComfyServer) -> None:
    graph = graphs.text_to_music()
    graph["decode"] = core("VAEDecodeAudio", samples=["sample", 0], vae=["load", 2])
    options = {"SaveAudioMP3": {"quality": "V0"}, "SaveAudioOpus": {"quality": "128k"}}.get(saver, {})
    prefix = {} if saver == "PreviewAudio" else {"filename_prefix": "core/song"}
    graph["save"] = core(saver, audio=["decode", 0], **prefix, **options)
    assert_sounds(comfy.files(comfy.run(graph)))


def test_core_loads_and_encodes_what_we_cover(comfy: ComfyServer) -> None:
    graph = graphs.text_to_music()
    graph["source"] = core("LoadAudio", audio="tune.wav")
    graph["encoded"] = core("VAEEncodeAudio", audio=["source", 0], vae=["load", 2])
    inputs = {"codes": True, "strength": 1.0, "source_start": 0.0, "batch_size": 1}
    graph["empty"] = core("AceStepXLCover", latent=["encoded", 0], **inputs)
    assert_sounds(comfy.files(comfy.run(graph)))


def test_core_masks_what_our_guider_remakes(comfy: ComfyServer) -> None:
    graph = graphs.text_to_music()
    graph["source"] = core("LoadAudio", audio="tune.wav")
    graph["encoded"] = core("VAEEncodeAudio", audio=["source", 0], vae=["load", 2])
    graph["mask"] = core("SolidMask", value=1.0, width=250, height=1)
    graph["empty"] = core("SetLatentNoiseMask", samples=["encoded", 0], mask=["mask", 0])
    graph["text"]["inputs"]["duration"] = 10.0
    graph["noise"] = core("RandomNoise", noise_seed=3)
    graph["solver"] = core("KSamplerSelect", sampler_name="euler")
    graph["sample"] = core(
        "SamplerCustomAdvanced",
        noise=["noise", 0],
        guider=["guider", 0],
        sampler=["solver", 0],
        sigmas=["schedule", 0],
        latent_image=["empty", 0],
    )
    assert_sounds(comfy.files(comfy.run(graph)))
