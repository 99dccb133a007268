"""The converted file as ComfyUI's editor opens it: positions, notes, groups, titles, links."""

from __future__ import annotations

import itertools
import random
from typing import Any

import native_songs
import pytest
from native_songs import node
from saved_workflows import slot

from acestep_xl.host import use
from acestep_xl.host.headless import HeadlessHost
from acestep_xl.runner.convert.editor_file import to_editor
from acestep_xl.runner.convert.replacements import convert
from acestep_xl.runner.convert.source import read_source
from acestep_xl.runner.node_table import NodeTable
from acestep_xl.runner.workflow.read import read_workflow

TITLE = 30


@pytest.fixture
def table() -> NodeTable:
    return NodeTable.shipped()


def converted(data: dict[str, Any], table: NodeTable) -> tuple[dict[str, Any], list[str]]:
    """The converted file and the notices."""
    with use(HeadlessHost([], None, device="cpu")):
        source = read_source(data, table)
        assert source.problems == []
        return to_editor(convert(source.graph, table, "cfg", source.controls), source), source.notices


def saved(graph: dict[str, Any], table: NodeTable, **extra: Any) -> dict[str, Any]:
    with use(HeadlessHost([], None, device="cpu")):
        return native_songs.saved(graph, table, **extra)


def by_type(data: dict[str, Any], kind: str) -> dict[str, Any]:
    (entry,) = [entry for entry in data["nodes"] if entry["type"] == kind]
    return entry


def check(data: dict[str, Any], table: NodeTable) -> None:
    """A file is consistent: unique ids, links known at both ends, no node over another, readable without problems."""
    ids = [entry["id"] for entry in data["nodes"]]
    assert len(ids) == len(set(ids)) and max(ids) == data["last_node_id"]
    nodes = {entry["id"]: entry for entry in data["nodes"]}
    for link_id, origin, slot_out, target, slot_in, kind in data["links"]:
        output, entry = nodes[origin]["outputs"][slot_out], nodes[target]["inputs"][slot_in]
        assert link_id in output["links"] and entry["link"] == link_id and output["type"] == kind
    linked = [entry["link"] for item in data["nodes"] for entry in item["inputs"] if entry["link"] is not None]
    assert sorted(linked) == sorted(link[0] for link in data["links"])
    for a, b in itertools.combinations(data["nodes"], 2):
        beside = a["pos"][0] >= b["pos"][0] + b["size"][0] or b["pos"][0] >= a["pos"][0] + a["size"][0]
        below = a["pos"][1] - TITLE >= b["pos"][1] + b["size"][1] or b["pos"][1] - TITLE >= a["pos"][1] + a["size"][1]
        assert beside or below, (a["type"], b["type"])
    with use(HeadlessHost([], None, device="cpu")):
        assert read_workflow(data, table).problems == []


def test_what_stays_keeps_its_place_and_looks(table: NodeTable) -> None:
    graph = native_songs.split()
    graph["20"] = node("LoraLoaderModelOnly", model=["7", 0], lora_name="a.safetensors", strength_model=0.5)
    graph["8"]["inputs"]["model"] = ["20", 0]
    note = {"id": 40, "type": "MarkdownNote", "pos": [900, 0], "size": [300, 100], "inputs": [], "outputs": []}
    note |= {"widgets_values": ["# mine"], "flags": {}, "mode": 0, "order": 0, "properties": {}}
    group = {"id": 1, "title": "Sampling", "bounding": [-20, -60, 740, 1700], "color": "#3f789e", "flags": {}}
    data = saved(graph, table, groups=[group], extra={"ds": {"scale": 1}, "reroutes": [{"id": 1}]})
    lora, ksampler = by_type(data, "LoraLoaderModelOnly"), by_type(data, "KSampler")
    lora |= {"title": "My LoRA", "color": "#323", "bgcolor": "#535", "widgets_values": ["b.safetensors", 0.75]}
    ksampler |= {"title": "My sampler", "color": "#232"}
    data["nodes"].append(note)
    out, _ = converted(data, table)
    check(out, table)
    kept = by_type(out, "LoraLoaderModelOnly")
    for name in ("id", "pos", "size", "title", "color", "bgcolor", "widgets_values"):
        assert kept[name] == lora[name], name
    assert by_type(out, "MarkdownNote") == note
    assert out["extra"] == {"ds": {"scale": 1}}, "numbers of links have changed"
    sampler = by_type(out, "AceStepXLSampler")
    assert (sampler["id"], sampler["title"], sampler["color"]) == (ksampler["id"], "My sampler", "#232")
    (bounds,) = [entry["bounding"] for entry in out["groups"]]
    lowest = max(entry["pos"][1] + entry["size"][1] for entry in out["nodes"] if entry["type"] != "MarkdownNote")
    assert bounds[1] + bounds[3] >= lowest, "the group still holds what it held"


def test_seeds_keep_their_control(table: NodeTable) -> None:
    out, _ = converted(saved(native_songs.split(), table), table)
    assert by_type(out, "RandomNoise")["widgets_values"] == [7, "randomize"]
    assert by_type(out, "AceStepXLSampler")["widgets_values"][1] == "fixed"


def test_an_api_export_gets_columns_from_left_to_right(table: NodeTable) -> None:
    graph = {f"node {name}": entry for name, entry in native_songs.custom().items()}
    for entry in graph.values():
        for name, value in entry["inputs"].items():
            if isinstance(value, list):
                entry["inputs"][name] = [f"node {value[0]}", value[1]]
    out, _ = converted(graph, table)
    check(out, table)
    positions = {entry["id"]: entry["pos"][0] for entry in out["nodes"]}
    assert all(positions[origin] < positions[target] for _, origin, _, target, _, _ in out["links"])


def test_editor_nodes_are_read_as_the_runner_reads_them(table: NodeTable) -> None:
    data = saved(native_songs.split(), table)
    reroute = {"id": 50, "type": "Reroute", "pos": [0, 0], "size": [75, 26], "mode": 0}
    link = next(link for link in data["links"] if link[3] == 8 and link[5] == "MODEL")
    reroute |= {"inputs": [slot("", "*", link[0])], "outputs": [{"name": "", "type": "MODEL", "links": [99]}]}
    data["links"].append([99, 50, 0, 8, link[4], "MODEL"])
    by_type(data, "KSampler")["inputs"][link[4]]["link"] = 99
    link[3:5] = [50, 0]
    primitive = {"id": 51, "type": "PrimitiveNode", "pos": [0, 0], "size": [200, 80], "mode": 0, "inputs": []}
    primitive |= {"outputs": [{"name": "INT", "type": "INT", "links": [98]}], "widgets_values": [11, "fixed"]}
    steps = next(i for i, entry in enumerate(by_type(data, "KSampler")["inputs"]) if entry["name"] == "steps")
    by_type(data, "KSampler")["inputs"][steps]["link"] = 98
    data["links"].append([98, 51, 0, 8, steps, "INT"])
    muted = {**by_type(data, "SaveAudioMP3"), "id": 52, "type": "SaveAudio", "mode": 2, "inputs": []}
    data["nodes"] += [reroute, primitive, muted]
    out, notices = converted(data, table)
    check(out, table)
    assert by_type(out, "AceStepXLSchedule")["widgets_values"][:2] == [11, 2.0]
    assert {"Reroute", "PrimitiveNode", "SaveAudio"}.isdisjoint(entry["type"] for entry in out["nodes"])
    assert any("muted" in text and "node 52" in text for text in notices)
    assert any("Reroute" in text and "PrimitiveNode" in text for text in notices)


def test_a_value_of_the_editor_is_written_into_a_node_that_stays(table: NodeTable) -> None:
    data = saved(native_songs.split(cfg=0.5), table)
    primitive = {"id": 51, "type": "PrimitiveNode", "pos": [0, 0], "size": [200, 80], "mode": 0, "inputs": []}
    primitive |= {"outputs": [{"name": "INT", "type": "INT", "links": [98]}], "widgets_values": [11, "fixed"]}
    ksampler = by_type(data, "KSampler")
    steps = next(i for i, entry in enumerate(ksampler["inputs"]) if entry["name"] == "steps")
    ksampler["inputs"][steps]["link"] = 98
    data["links"].append([98, 51, 0, 8, steps, "INT"])
    data["nodes"].append(primitive)
    out, _ = converted(data, table)
    assert by_type(out, "KSampler")["widgets_values"] == [7, "randomize", 11, 0.5, "euler", "simple", 1.0]


def test_a_subgraph_is_flattened_and_named(table: NodeTable) -> None:
    data = saved(native_songs.split(), table)
    inner = by_type(data, "VAEDecodeAudio")
    samples, vae, save = (
        next(link for link in data["links"] if link[3:5] == ends) for ends in ([9, 0], [9, 1], [10, 0])
    )
    data["nodes"].remove(inner)
    names = ("id", "origin_id", "origin_slot", "target_id", "target_slot")
    ends = [(1, -10, 0, 9, 0), (2, -10, 1, 9, 1), (3, 9, 0, -20, 0)]
    definition = {
        "id": "decode",
        "name": "Decode",
        "nodes": [{**inner, "inputs": [slot("samples", "LATENT", 1), slot("vae", "VAE", 2)]}],
        "links": [dict(zip(names, end, strict=True), type="*") for end in ends],
        "inputs": [{"name": "samples", "type": "LATENT"}, {"name": "vae", "type": "VAE"}],
        "outputs": [{"name": "AUDIO", "type": "AUDIO"}],
    }
    outer = {"id": 60, "type": "decode", "pos": [800, 900], "size": [200, 60], "mode": 0, "title": "My decoder"}
    outer |= {"inputs": [slot("samples", "LATENT", samples[0]), slot("vae", "VAE", vae[0])]}
    outer |= {
        "outputs": [{"name": "AUDIO", "type": "AUDIO", "links": [save[0]]}],
        "properties": {},
        "widgets_values": [],
    }
    samples[3], vae[3], save[1] = 60, 60, 60
    out, notices = converted(
        {**data, "nodes": [*data["nodes"], outer], "definitions": {"subgraphs": [definition]}}, table
    )
    check(out, table)
    decode = by_type(out, "AceStepXLDecode")
    assert decode["pos"] == [800, 900], "inner nodes stand where the subgraph stood"
    assert "definitions" not in out and any("My decoder" in text for text in notices)


def test_unknown_nodes_of_a_saved_file_are_copied(table: NodeTable) -> None:
    data = saved(native_songs.split(), table)
    save = next(link for link in data["links"] if link[3] == 10)
    strange = {"id": 70, "type": "Mastering", "pos": [900, 900], "size": [200, 100], "mode": 0, "flags": {}, "order": 0}
    strange |= {
        "inputs": [slot("audio", "AUDIO", 97)],
        "outputs": [{"name": "AUDIO", "type": "AUDIO", "links": [save[0]]}],
    }
    strange |= {"properties": {"cnr_id": "mastering"}, "widgets_values": [1, "warm"]}
    data["links"].append([97, 9, 0, 70, 0, "AUDIO"])
    save[1] = 70
    data["nodes"].append(strange)
    out, _ = converted(data, table)
    copy = by_type(out, "Mastering")
    assert copy["widgets_values"] == [1, "warm"] and copy["properties"] == {"cnr_id": "mastering"}
    assert copy["inputs"][0]["link"] and copy["outputs"][0]["links"]


@pytest.mark.parametrize("seed", range(25))
def test_rewired_graphs_stay_consistent(seed: int, table: NodeTable) -> None:
    draw = random.Random(seed)
    sampler = draw.choice(["euler", "heun", "uni_pc", "euler_cfg_pp", "lcm"])
    scheduler = draw.choice(["simple", "karras", "normal", "beta", "ddim_uniform", "sgm_uniform"])
    values = {"denoise": draw.choice([1.0, 0.5]), "cfg": draw.choice([0.5, 1.0, 6.0])}
    settings = {"sampler_name": sampler, "scheduler": scheduler, **values}
    custom = native_songs.custom(sampler, scheduler, **values)
    graph = draw.choice([native_songs.split(**settings), native_songs.all_in_one(**settings), custom])
    if draw.random() < 0.5:
        graph["5"] = native_songs.text("loud march", clip=graph["4"]["inputs"]["clip"])
    if draw.random() < 0.5:
        graph["9"] = node("VAEDecodeAudioTiled", **graph["9"]["inputs"], tile_size=512, overlap=64)
    if draw.random() < 0.5:
        graph["20"] = node("PreviewAudio", audio=["9", 0])
    if draw.random() < 0.5:
        graph["21"] = node("KSamplerSelect", sampler_name="euler")
    if draw.random() < 0.5:
        graph["4"]["inputs"]["duration"] = native_songs.NATIVE_DURATION
    names = list(graph)
    draw.shuffle(names)
    graph = {name: graph[name] for name in names}
    for data in (graph, saved(graph, table)):
        out, _ = converted(data, table)
        check(out, table)
        again, _ = converted(out, table)
        assert sorted(entry["type"] for entry in again["nodes"]) == sorted(entry["type"] for entry in out["nodes"])
