"""What graphs of ComfyUI's own nodes are converted to."""

from __future__ import annotations

from collections import Counter
from typing import Any

import native_songs
import pytest
from native_songs import node

from acestep_xl.host import use
from acestep_xl.host.headless import HeadlessHost
from acestep_xl.runner.convert.replacements import convert
from acestep_xl.runner.convert.rewrite import Rewrite
from acestep_xl.runner.convert.source import read_source
from acestep_xl.runner.graph import Link
from acestep_xl.runner.node_table import NodeTable


def converted(graph: dict[str, Any], guidance: str = "cfg") -> Rewrite:
    with use(HeadlessHost([], None, device="cpu")):
        table = NodeTable.shipped()
        source = read_source(graph, table)
        assert source.problems == []
        return convert(source.graph, table, guidance, source.controls)


def classes(rewrite: Rewrite) -> list[str]:
    return sorted(call.class_type for call in rewrite.graph.values())


def only(rewrite: Rewrite, kind: str) -> dict[str, Any]:
    """The inputs of the one node of a class."""
    (inputs,) = [call.inputs for call in rewrite.graph.values() if call.class_type == kind]
    return inputs


def source_of(rewrite: Rewrite, link: Link) -> str:
    return rewrite.graph[link.node].class_type


@pytest.mark.parametrize("graph", [native_songs.split(), native_songs.all_in_one(), native_songs.custom()])
def test_the_official_graphs_become_this_packs_nodes(graph: dict[str, Any]) -> None:
    rewrite = converted(graph)
    ours = "Loader Encode EmptyLatent Schedule Guider Sampler Decode Save".split()
    assert classes(rewrite) == sorted([*(f"AceStepXL{name}" for name in ours), "RandomNoise"])
    guider, sampler = only(rewrite, "AceStepXLGuider"), only(rewrite, "AceStepXLSampler")
    assert (guider["type"], guider["scale"]) == ("cfg", 3.0)
    assert "negative" not in guider, "the guider knows the null condition"
    assert source_of(rewrite, guider["model"]) == "AceStepXLLoader" and "sampler" not in sampler
    assert only(rewrite, "RandomNoise")["noise_seed"] == 7 and source_of(rewrite, sampler["noise"]) == "RandomNoise"
    schedule = only(rewrite, "AceStepXLSchedule")
    assert (schedule["schedule"], schedule["steps"], schedule["shift"]) == ("linear", 5, 2.0)
    replaced = {change.node for change in rewrite.changes}
    assert replaced >= set("145678"), "every replaced node is listed"
    assert all(change.effects for change in rewrite.changes), "and what that does to the sound"


def test_values_of_the_prompt_and_of_files_are_kept() -> None:
    rewrite = converted(native_songs.split())
    text = only(rewrite, "AceStepXLEncode")
    assert (text["caption"], text["bpm"], text["key_scale"]) == ("slow waltz", 90, "A minor")
    assert (text["time_signature"], text["duration"], text["task"]) == ("3", 8.0, "text2music")
    save = only(rewrite, "AceStepXLSave")
    assert (save["format"], save["bitrate"], save["filename_prefix"]) == ("mp3", 320, "audio/song")
    loader = only(rewrite, "AceStepXLLoader")
    assert loader["model"] == native_songs.MODEL and loader["text_encoder"] == native_songs.ENCODER


def test_official_guidance_is_an_option() -> None:
    guider = only(converted(native_songs.split(cfg=7.0), "official"), "AceStepXLGuider")
    assert (guider["type"], guider["scale"]) == ("apg", 7.0)


def test_the_planner_of_two_text_encoders_is_named_as_not_loaded() -> None:
    graph = native_songs.split()
    graph["2"]["inputs"] |= {"clip_name1": "qwen_4b_ace15.safetensors"}
    rewrite = converted(graph)
    assert only(rewrite, "AceStepXLLoader")["text_encoder"] == native_songs.ENCODER
    assert any("qwen_4b_ace15" in effect for change in rewrite.changes for effect in change.effects)


@pytest.mark.parametrize(
    ("sampler", "scheduler"), [("heun", "normal"), ("dpmpp_2m", "ddim_uniform"), ("uni_pc", "beta"), ("lcm", "karras")]
)
def test_samplers_and_schedulers_without_an_equal_stay_comfyuis(sampler: str, scheduler: str) -> None:
    rewrite = converted(native_songs.split(sampler_name=sampler, scheduler=scheduler))
    assert only(rewrite, "KSamplerSelect")["sampler_name"] == sampler
    has_equal = scheduler in ("beta", "karras")
    assert source_of(rewrite, only(rewrite, "AceStepXLSampler")["sigmas"]) == (
        "AceStepXLSchedule" if has_equal else "BasicScheduler"
    )
    # BasicScheduler reads the shift of its MODEL, so the node that sets it stays.
    assert ("ModelSamplingAuraFlow" in classes(rewrite)) != has_equal


STAYING = [
    ("8", {"cfg": 0.5}, "cfg is 0.5"),
    ("8", {"cfg": 40.0}, "cfg is 40"),
    ("8", {"sampler_name": "euler_cfg_pp"}, "unconditional estimate"),
    ("4", {"duration": 900.0}, "duration is 900"),
    ("4", {"tags": "a {slow|fast} waltz"}, "alternatives"),
    ("6", {"seconds": 700.0}, "seconds is 700"),
    ("6", {"batch_size": 100}, "batch_size is 100"),
    ("2", {"type": "sd3"}, ""),
]


@pytest.mark.parametrize(("node_id", "values", "reason"), STAYING)
def test_what_has_no_equal_stays_and_says_why(node_id: str, values: dict[str, Any], reason: str) -> None:
    graph = native_songs.split()
    graph[node_id]["inputs"] |= values
    rewrite = converted(graph)
    assert rewrite.graph[node_id].class_type == graph[node_id]["class_type"]
    (kept,) = [kept for kept in rewrite.kept if kept.node == node_id]
    assert reason in kept.reason
    assert rewrite.changes, "the rest is converted all the same"


def test_an_adapter_between_loader_and_sampler_stays_between_them() -> None:
    graph = native_songs.split()
    graph["20"] = node("LoraLoaderModelOnly", model=["7", 0], lora_name="a.safetensors", strength_model=0.5)
    graph["8"]["inputs"]["model"] = ["20", 0]
    rewrite = converted(graph)
    assert only(rewrite, "AceStepXLGuider")["model"] == Link("20", 0)
    assert source_of(rewrite, only(rewrite, "LoraLoaderModelOnly")["model"]) == "AceStepXLLoader"
    assert only(rewrite, "AceStepXLSchedule")["shift"] == 2.0


def test_a_second_loader_of_text_encoders_keeps_all_loaders() -> None:
    graph = native_songs.split()
    graph["20"] = node("CLIPLoader", clip_name=native_songs.ENCODER, type="ace", device="default")
    graph["21"] = native_songs.text("loud march", clip=["20", 0])
    graph["8"]["inputs"]["negative"] = ["21", 0]
    rewrite = converted(graph)
    kept = Counter(kept.class_type for kept in rewrite.kept)
    assert kept["UNETLoader"] == kept["DualCLIPLoader"] == kept["CLIPLoader"] == kept["VAELoader"] == 1
    assert only(rewrite, "AceStepXLGuider")["negative"] == Link("21", 0)


def test_a_graph_of_another_model_is_left_alone() -> None:
    graph = native_songs.split()
    graph["4"] = node("CLIPTextEncode", clip=["2", 0], text="a cat")
    graph["6"] = node("EmptyLatentImage", width=512, height=512, batch_size=1)
    assert converted(graph).changes == []


def test_sampler_custom_and_links_to_values() -> None:
    graph = native_songs.custom(scheduler="karras", denoise=0.5)
    names = {"model": ["7", 0], "positive": ["4", 0], "negative": ["5", 0], "sampler": ["13", 0], "sigmas": ["14", 0]}
    graph["8"] = node(
        "SamplerCustom", **names, latent_image=["6", 0], add_noise=True, noise_seed=["30", 0], cfg=["31", 0]
    )
    graph["30"], graph["31"] = node("PrimitiveInt", value=3), node("PrimitiveFloat", value=2.0)
    del graph["11"], graph["12"]
    rewrite = converted(graph)
    assert only(rewrite, "RandomNoise")["noise_seed"] == Link("30", 0)
    assert only(rewrite, "AceStepXLGuider")["scale"] == Link("31", 0)
    schedule = only(rewrite, "AceStepXLSchedule")
    assert (schedule["schedule"], schedule["denoise"]) == ("karras", 0.5)
    assert rewrite.graph["30"].class_type == "PrimitiveInt", "ComfyUI's own value nodes stay"


def test_a_used_second_output_keeps_the_sampler() -> None:
    graph = native_songs.custom()
    graph["9"]["inputs"]["samples"] = ["8", 1]
    rewrite = converted(graph)
    assert rewrite.graph["8"].class_type == "SamplerCustomAdvanced"
    assert rewrite.graph["12"].class_type == "AceStepXLGuider", "ComfyUI's sampler takes our guider"
