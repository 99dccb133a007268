"""Tasks as graphs: every parameter of the API reaches its input in the shipped workflows."""

from __future__ import annotations

import json
import wave
from pathlib import Path
from typing import Any

import pytest
import tiny
from hypothesis import given
from hypothesis import strategies as st
from service_tools import inference

from acestep_xl.audio.region_text import parse_regions
from acestep_xl.audio.timeline import END
from acestep_xl.host import use
from acestep_xl.parameters import ids
from acestep_xl.runner.graph import Graph, Link, NodeCall
from acestep_xl.runner.node_table import NodeTable
from acestep_xl.service.engine.graph_builder import (
    GraphError,
    build_graph,
    format_region,
    installation_problems,
    workflow_name,
)
from acestep_xl.service.engine.in_process import HeadlessEngine

SOURCE = "11111111-2222-4333-8444-555555555555"


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> NodeTable:
    """The shipped nodes with one source among the inputs, `source.wav`."""
    folder = tmp_path_factory.mktemp("graphs")
    with wave.open(str(folder / "source.wav"), "wb") as file:
        file.setparams((1, 2, 8000, 0, "NONE", ""))
        file.writeframes(bytes(16000))
    engine = HeadlessEngine(folder / "work", [], "cpu")
    assert engine.import_source(folder / "source.wav") == "source.wav"
    return engine.table()


@pytest.fixture
def graph_of(table: NodeTable) -> Any:
    def build(seed: int = 7, **values: Any) -> Graph:
        task = inference(**values)
        source = "source.wav" if task.value("inputs.audio") else ""
        return build_graph(task, seed=seed, prefix="service/name", table=table, source=source, demo=True)

    return build


def node(graph: Graph, kind: str) -> NodeCall:
    (call,) = (call for call in graph.values() if call.class_type == f"AceStepXL{kind}")
    return call


def with_source(**values: Any) -> dict[str, Any]:
    return {"inputs": {"audio": SOURCE}, **values}


def test_a_minimal_task_has_the_documented_defaults(graph_of: Any) -> None:
    graph = graph_of()
    text, guider, save = node(graph, "Encode").inputs, node(graph, "Guider").inputs, node(graph, "Save").inputs
    assert (text["caption"], text["lyrics"], text["language"]) == ("slow waltz", "[Instrumental]", "en")
    assert (text["bpm"], text["key_scale"], text["time_signature"], text["task"]) == (0, "auto", "auto", "text2music")
    assert node(graph, "EmptyLatent").inputs == {"seconds": 60.0, "batch_size": 1}
    assert node(graph, "Schedule").inputs["steps"] == 100
    assert (guider["type"], guider["scale"], guider["start"], guider["end"]) == ("apg", 10.0, 0.0, 1.0)
    assert "negative" not in guider
    assert node(graph, "Sampler").inputs["seed"] == 7
    assert (save["format"], save["filename_prefix"], save["channels"]) == ("mp3", "service/name", "2")
    assert isinstance(text["duration"], Link), "the prompt contains the length of the latent"


# Parameter and value -> node, input and value in the graph.
INPUTS: list[tuple[dict[str, Any], str, str, Any]] = [
    ({"positivePrompt": "Ünï \n=.x"}, "Encode", "caption", "Ünï \n=.x"),
    ({"duration": 30.4}, "EmptyLatent", "seconds", 30.4),
    ({"duration": 300}, "EmptyLatent", "seconds", 300.0),
    ({"steps": 1}, "Schedule", "steps", 1),
    ({"steps": 300}, "Schedule", "steps", 300),
    ({"CFGScale": 1}, "Guider", "scale", 1.0),
    ({"CFGScale": 30}, "Guider", "scale", 30.0),
    ({"settings": {"guidanceType": "cfg"}}, "Guider", "type", "cfg"),
    ({"settings": {"cfgIntervalStart": 0.25}}, "Guider", "start", 0.25),
    ({"settings": {"cfgIntervalEnd": 0.85}}, "Guider", "end", 0.85),
    ({"settings": {"bpm": 132}}, "Encode", "bpm", 132),
    ({"settings": {"timeSignature": 6}}, "Encode", "time_signature", "6"),
    ({"settings": {"keyScale": "F# minor"}}, "Encode", "key_scale", "F# minor"),
    ({"settings": {"keyScale": "B♭ major"}}, "Encode", "key_scale", "Bb major"),
    ({"settings": {"keyScale": "C♯ minor"}}, "Encode", "key_scale", "C# minor"),
    ({"settings": {"lyrics": "[Verse]\nla la la"}}, "Encode", "lyrics", "[Verse]\nla la la"),
    ({"settings": {"vocalLanguage": "unknown"}}, "Encode", "language", "unknown"),
    ({"outputFormat": "WAV"}, "Save", "format", "wav"),
    ({"outputFormat": "FLAC"}, "Save", "format", "flac"),
    ({"outputFormat": "OGG"}, "Save", "format", "ogg"),
    ({"audioSettings": {"bitrate": 128}}, "Save", "bitrate", 128),
    ({"audioSettings": {"sampleRate": 24000}}, "Save", "sample_rate", "24000"),
    ({"audioSettings": {"channels": 1}}, "Save", "channels", "1"),
    (with_source(strength=0.8), "Cover", "strength", 0.8),
    (with_source(), "Cover", "strength", 0.5),
    (with_source(), "LoadAudio", "audio", "source.wav"),
    (with_source(strength=0.2, settings={"repaintingStart": 1}), "Repaint", "strength", 0.2),
    (with_source(settings={"repaintingStart": 1.5, "repaintingEnd": 2.25}), "Repaint", "regions", "1.5-2.25"),
    (with_source(settings={"repaintingStart": -8, "repaintingEnd": 0}), "Repaint", "regions", "-8-0"),
    (with_source(settings={"repaintingStart": 20}), "Repaint", "regions", "20-end"),
    (with_source(settings={"repaintingEnd": 20}), "Repaint", "regions", "start-20"),
    (with_source(settings={"repaintingStart": -20}), "Repaint", "regions", "-20-end"),
]


@pytest.mark.parametrize(("values", "kind", "name", "expected"), INPUTS, ids=str)
def test_a_parameter_reaches_its_input(
    values: dict[str, Any], kind: str, name: str, expected: Any, graph_of: Any
) -> None:
    value = node(graph_of(**values), kind).inputs[name]
    assert (value, type(value)) == (expected, type(expected))


def test_a_lossless_file_has_no_encoding_settings(graph_of: Any) -> None:
    encoded = node(graph_of(outputFormat="WAV"), "Save").inputs
    assert not {"bitrate", "sample_rate", "channels"} & {name for name, v in encoded.items() if v not in (0, "auto")}


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({}, "text_to_music"),
        (with_source(), "cover"),
        (with_source(settings={"bpm": 90}), "cover"),
        (with_source(settings={"repaintingStart": 0}), "repaint"),
        (with_source(settings={"repaintingEnd": 5}), "repaint"),
    ],
    ids=str,
)
def test_the_workflow_of_a_task(values: dict[str, Any], expected: str, graph_of: Any) -> None:
    assert workflow_name(inference(**values)) == expected
    task = {"text_to_music": "text2music"}.get(expected, expected)
    assert node(graph_of(**values), "Encode").inputs["task"] == task


def test_a_negative_prompt_differs_only_in_its_caption(graph_of: Any) -> None:
    graph = graph_of(negativePrompt="muddy", settings={"lyrics": "[Verse] la la", "bpm": 90})
    texts = {i: call for i, call in graph.items() if call.class_type == ids.ENCODE}
    assert len(texts) == 2
    guider = node(graph, "Guider").inputs
    positive, negative = (texts[guider[name].node].inputs for name in ("positive", "negative"))
    assert (positive["caption"], negative["caption"]) == ("slow waltz", "muddy")
    assert {**positive, "caption": ""} == {**negative, "caption": ""}


def test_a_negative_prompt_is_ignored_without_guidance(graph_of: Any) -> None:
    graph = graph_of(negativePrompt="muddy", CFGScale=1)
    assert "negative" not in node(graph, "Guider").inputs
    assert sum(call.class_type == ids.ENCODE for call in graph.values()) == 1


RECIPES = [{"solver": {"type": "heun"}, "schedule": {"type": "karras", "rho": 5}}, "DPM++ 2M Karras"]


@pytest.mark.parametrize("recipe", RECIPES, ids=str)
@pytest.mark.parametrize(
    "values", [{}, with_source(), with_source(settings={"repaintingEnd": 1})], ids=["t2m", "cover", "edit"]
)
def test_a_modular_scheduler_runs_in_the_recipe_node(recipe: Any, values: dict[str, Any], graph_of: Any) -> None:
    graph = graph_of(seed=11, steps=20, **values, advancedFeatures={"modularScheduler": recipe})
    inputs = node(graph, "Recipe").inputs
    text = inputs["recipe"]
    assert (json.loads(text) if isinstance(recipe, dict) else text) == recipe
    assert (inputs["steps"], inputs["shift"], inputs["seed"]) == (20, 3.0, 11)
    sampler = node(graph, "Sampler").inputs
    (recipe_id,) = (i for i, call in graph.items() if call.class_type == ids.RECIPE)
    slots = {name: sampler[name] for name in ("guider", "sigmas", "sampler", "noise")}
    assert slots == {name: Link(recipe_id, slot) for slot, name in enumerate(slots)}
    assert graph[inputs["guider"].node].class_type == ids.GUIDER
    assert not any(call.class_type == ids.SCHEDULE for call in graph.values())


def test_all_parameters_at_once(graph_of: Any) -> None:
    graph = graph_of(
        **with_source(strength=0.3, settings={"repaintingStart": -4, "repaintingEnd": 300, "keyScale": "C major"}),
        negativePrompt="noise",
        outputFormat="OGG",
        audioSettings={"bitrate": 96, "channels": 1, "sampleRate": 48000},
        advancedFeatures={"modularScheduler": RECIPES[0]},
    )
    assert node(graph, "Repaint").inputs["regions"] == "-4-300"


@given(
    st.floats(-300, 300) | st.none(),
    st.floats(0, 300) | st.none(),
)
def test_a_region_survives_formatting(start: float | None, end: float | None) -> None:
    """To less than a sample, for any number."""
    if (0.0 if start is None else start) + 1e-3 > (END if end is None else end):
        return
    (span,) = parse_regions(format_region(start, end))
    assert span.start == pytest.approx(start or 0.0, abs=1e-5)
    assert span.end == END if end is None else span.end == pytest.approx(end, abs=1e-5)


def test_the_demo_and_a_named_checkpoint(tmp_path: Path) -> None:
    checkpoint = tmp_path / "models" / "diffusion_models" / tiny.write("split", tmp_path / "models")
    checkpoint = checkpoint.rename(checkpoint.with_name("mine.safetensors"))
    engine = HeadlessEngine(tmp_path / "work", [tmp_path / "models"], "cpu")
    named = build_graph(inference(), seed=0, prefix="a", table=engine.table(), model="mine.safetensors")
    assert node(named, "Loader").inputs["model"] == "mine.safetensors"
    demo = build_graph(inference(), seed=0, prefix="a", table=engine.table(), demo=True)
    assert node(demo, "Loader").inputs["model"] == "demo"
    assert (
        installation_problems(engine.table(), demo=True)
        == installation_problems(engine.table(), "mine.safetensors")
        == []
    )
    (problem,) = installation_problems(engine.table())
    assert "acestep_v1.5_xl_sft" in problem and "mine.safetensors" in problem
    with pytest.raises(GraphError, match=r"acestep_v1\.5_xl_sft.*not one of the choices: mine\.safetensors, demo"):
        build_graph(inference(), seed=0, prefix="a", table=engine.table())
    checkpoint.write_bytes(checkpoint.read_bytes()[:-500])
    (problem,) = installation_problems(engine.table(), "mine.safetensors")
    assert "not a complete safetensors file" in problem


def test_a_missing_source_is_refused(table: NodeTable) -> None:
    task = inference(**with_source())
    with pytest.raises(GraphError, match=r"other\.wav"):
        build_graph(task, seed=0, prefix="a", table=table, source="other.wav", demo=True)


def test_the_table_lists_the_files_of_its_own_engine(tmp_path: Path) -> None:
    """Not those of another host that happens to be current."""
    engine = HeadlessEngine(tmp_path / "work", [], "cpu")
    source = tmp_path / "new.flac"
    source.write_bytes(b"1")
    engine.import_source(source)
    with use(HeadlessEngine(tmp_path / "other", [], "cpu")._host):
        spec = engine.table().spec("AceStepXLLoadAudio")
        assert spec is not None and spec.inputs["audio"].choices == ("example", "new.flac")
    source.write_bytes(b"2")
    other = tmp_path / "other.flac"
    other.write_bytes(b"3")
    engine.import_source(other)
    spec = engine.table().spec("AceStepXLLoadAudio")
    assert spec is not None and spec.inputs["audio"].choices == ("example", "other.flac"), "one source at a time"
