"""The pack in a real ComfyUI: shipped workflows, core nodes on both sides, interrupts, restarts, no side effects."""

from __future__ import annotations

import ast
import json
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import comfy_process
import graphs
import pytest
import torch
from audio_files import write
from comfy_server import ComfyServer, messages, needs_comfyui, table_of

from acestep_xl import parameters
from acestep_xl.audio.decoding import read
from acestep_xl.runner.shipped import SHIPPED
from acestep_xl.runner.workflow.api_format import to_api
from acestep_xl.runner.workflow.read import read_workflow

pytestmark = [needs_comfyui, pytest.mark.slow]

SECONDS = 8.0
# Workflows with a source use the built-in melody, which is 8 seconds long.
LENGTHS = {"extend": 16.0, "chain": 12.0, "core_nodes": 30.0}
MIN_PEAK = {"core_nodes": 0.1}  # none of its nodes normalises loudness


@pytest.fixture(scope="module")
def comfy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ComfyServer]:
    with ComfyServer(tmp_path_factory.mktemp("comfyui")) as server:
        write(server.folder / "input" / "tune.wav", tune(10), parameters.SAMPLE_RATE, format="wav", bit_depth=16)
        yield server


def tune(seconds: float) -> torch.Tensor:
    """A stereo glide `[2 n]`: no two moments are alike."""
    time = torch.arange(round(seconds * parameters.SAMPLE_RATE)) / parameters.SAMPLE_RATE
    return 0.5 * torch.stack([torch.sin(time * (400 + 60 * time)), torch.sin(time * (600 + 30 * time))])


def shipped(name: str, server: ComfyServer) -> dict[str, Any]:
    """A shipped workflow as ComfyUI's editor sends it, but with the demo network, few steps and short songs."""
    data = json.loads(SHIPPED[name].read_text("utf-8"))
    workflow = read_workflow(data, table_of(server))
    assert workflow.problems == []
    graph = to_api(workflow.graph)
    for node in graph.values():
        inputs = node["inputs"]
        if node["class_type"] == "AceStepXLLoader":
            inputs |= {"model": "demo", "text_encoder": "auto", "vae": "auto"}
        inputs |= {"steps": 4} if "steps" in inputs else {}
        inputs |= {"seconds": SECONDS} if node["class_type"] == "AceStepXLEmptyLatent" else {}
        # ComfyUI runs nothing of a graph that equals the one before, as an app's does its workflow's.
        inputs |= {"filename_prefix": f"audio/{name}"} if "filename_prefix" in inputs else {}
    return graph


@pytest.mark.parametrize("name", SHIPPED)
def test_every_shipped_workflow_makes_audio(name: str, comfy: ComfyServer) -> None:
    files = comfy.files(comfy.run(shipped(name, comfy)))
    assert files
    for file in files:
        waveform, rate = read(file)
        assert rate == parameters.SAMPLE_RATE and waveform.shape[1] == 2, file
        assert waveform.shape[-1] / rate == LENGTHS.get(name, SECONDS), file
        assert MIN_PEAK.get(name, 0.3) < float(waveform.abs().max()) <= 1, file
        level = waveform.square().mean(dim=(0, 1)).unfold(0, rate, rate).mean(dim=1)
        assert float(level.min()) > 1e-8, f"{file} has a silent second"


def test_only_our_nodes_are_added_and_no_other_is_changed(
    comfy: ComfyServer, tmp_path_factory: pytest.TempPathFactory
) -> None:
    comfy.run(shipped("text_to_music", comfy))
    with_pack = comfy.get("/object_info")
    with ComfyServer(tmp_path_factory.mktemp("bare"), pack=False) as bare:
        without_pack = bare.get("/object_info")
    ours = {name for name in with_pack if name.startswith("AceStepXL")}
    assert len(ours) >= 24
    assert with_pack.keys() - ours == without_pack.keys()
    # Core's LoadAudio lists the files of the input folder, where this module wrote one.
    compared = without_pack.keys() - {"LoadAudio", "LoadVideo"}
    assert [name for name in compared if without_pack[name] != with_pack[name]] == []


def test_the_pack_loads_silently(comfy: ComfyServer) -> None:
    assert re.search(r"[\d.]+ seconds: .*acestep-xl", comfy.log()), comfy.log()[-3000:]
    startup = comfy.log().split("got prompt")[0].splitlines()
    lines = [line for line in startup if re.search("acestep|ace-step", line, re.IGNORECASE)]
    assert not [line for line in lines if re.search("warn|error|fail|traceback", line, re.IGNORECASE)], lines


def test_the_pack_loads_no_library_that_comfyui_has_not_loaded() -> None:
    """So loading takes the time of the pack's own files. sqlite3 comes with Python."""
    printed = comfy_process.run(
        """
        import utils.install_util, nodes, server  # in main.py's order: a later utils would be another package
        loaded = {name.partition(".")[0] for name in sys.modules}
        import acestep_xl
        assert len(acestep_xl.NODE_CLASS_MAPPINGS) >= 24
        print(sorted({name.partition(".")[0] for name in sys.modules} - loaded - set(sys.stdlib_module_names)))
        """
    )
    assert ast.literal_eval(printed) == ["acestep_xl"]


def test_a_run_can_be_interrupted_and_the_next_one_works(comfy: ComfyServer) -> None:
    graph = graphs.text_to_music()
    graph["empty"]["inputs"]["seconds"], graph["schedule"]["inputs"]["steps"] = 60.0, 300
    prompt = comfy.submit(graph)
    time.sleep(3)
    assert comfy.get("/queue")["queue_running"], "it ended before it could be interrupted"
    comfy.post("/interrupt", {})
    entry = comfy.wait(prompt)
    assert messages(entry, "execution_interrupted"), entry["status"]
    assert comfy.files(entry) == []
    assert comfy.get("/queue") == {"queue_running": [], "queue_pending": []}
    assert comfy.files(comfy.run(shipped("text_to_music", comfy)))


def test_a_new_seed_reruns_the_sampler_and_new_lyrics_the_text_encoder(comfy: ComfyServer) -> None:
    graph = graphs.text_to_music()
    comfy.run(graph)

    def cached() -> set[str]:
        (message,) = messages(comfy.run(graph), "execution_cached")
        return set(message["nodes"])

    graph["sample"]["inputs"]["seed"] = 12345
    assert graph.keys() - cached() == {"sample", "decode", "save"}
    graph["text"]["inputs"]["lyrics"] = "[Verse]\nother words"
    assert graph.keys() - cached() == {"text", "guider", "sample", "decode", "save"}
    graph["schedule"]["inputs"]["steps"] = 2
    assert graph.keys() - cached() == {"schedule", "sample", "decode", "save"}


def test_a_restart_gives_the_same_song_and_overwrites_no_file(tmp_path: Path) -> None:
    songs = []
    for _ in range(2):
        with ComfyServer(tmp_path) as server:
            songs.append(server.files(server.run(graphs.text_to_music()))[0])
    first, second = (read(path)[0] for path in songs)
    assert songs[0] != songs[1]
    assert torch.equal(first, second)


def test_a_failed_node_names_the_problem_and_does_not_block_the_queue(comfy: ComfyServer) -> None:
    graph = graphs.text_to_music()
    graph["two"] = {"class_type": "AceStepXLBatchPrompts", "inputs": {"first": ["text", 0], "second": ["text", 0]}}
    graph["guider"]["inputs"]["positive"] = ["two", 0]
    graph["empty"]["inputs"]["batch_size"] = 3
    entry = comfy.wait(comfy.submit(graph))
    (error,) = messages(entry, "execution_error")
    assert error["node_id"] == "sample" and "2 prompts for 3 songs" in error["exception_message"]
    assert comfy.files(comfy.run(graphs.text_to_music()))


def core(kind: str, **inputs: Any) -> dict[str, Any]:
    return {"class_type": kind, "inputs": inputs}


SAMPLERS = ("euler", "heun", "dpmpp_2m", "euler_ancestral", "dpmpp_2m_sde", "uni_pc", "res_multistep", "lcm", "ddim")


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_core_sampling_nodes_accept_our_guider(sampler: str, comfy: ComfyServer) -> None:
    graph = graphs.text_to_music()
    graph |= graphs.core_sampling(sampler)
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
def test_core_decodes_and_saves_our_samples(saver: str, comfy: ComfyServer) -> None:
    graph = graphs.text_to_music()
    graph["decode"] = core("VAEDecodeAudio", samples=["sample", 0], vae=["load", 2])
    options = {"SaveAudioMP3": {"quality": "V0"}, "SaveAudioOpus": {"quality": "128k"}}.get(saver, {})
    prefix = {} if saver == "PreviewAudio" else {"filename_prefix": "core/song"}
    graph["save"] = core(saver, audio=["decode", 0], **prefix, **options)
    assert_sounds(comfy.files(comfy.run(graph)))


def test_we_cover_what_core_loads_and_encodes(comfy: ComfyServer) -> None:
    graph = graphs.text_to_music()
    graph["source"] = core("LoadAudio", audio="tune.wav")
    graph["encoded"] = core("VAEEncodeAudio", audio=["source", 0], vae=["load", 2])
    inputs = {"codes": True, "strength": 1.0, "source_start": 0.0, "batch_size": 1}
    graph["empty"] = core("AceStepXLCover", latent=["encoded", 0], **inputs)
    assert_sounds(comfy.files(comfy.run(graph)))


def test_our_guider_regenerates_what_core_masks(comfy: ComfyServer) -> None:
    graph = graphs.text_to_music()
    graph["source"] = core("LoadAudio", audio="tune.wav")
    graph["encoded"] = core("VAEEncodeAudio", audio=["source", 0], vae=["load", 2])
    graph["mask"] = core("SolidMask", value=1.0, width=250, height=1)
    graph["empty"] = core("SetLatentNoiseMask", samples=["encoded", 0], mask=["mask", 0])
    graph["text"]["inputs"]["duration"] = 10.0
    graph |= graphs.core_sampling("euler")
    assert_sounds(comfy.files(comfy.run(graph)))
