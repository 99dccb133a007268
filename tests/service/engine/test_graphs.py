"""Requests as graphs: every parameter of the page at its place in the shipped workflows."""

from __future__ import annotations

import json
import wave
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from service_tools import inference

from acestep_xl.audio.timeline import END, parse_regions
from acestep_xl.host import use
from acestep_xl.parameters import ids
from acestep_xl.runner.graph import Graph, Link, NodeCall
from acestep_xl.runner.node_table import NodeTable
from acestep_xl.service.engine import graphs
from acestep_xl.service.engine.graphs import GraphError, build, region_text, workflow_of
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
    assert engine.take_in(folder / "source.wav") == "source.wav"
    return engine.table()


@pytest.fixture
def made(table: NodeTable) -> Any:
    def make(seed: int = 7, **values: Any) -> Graph:
        task = inference(**values)
        source = "source.wav" if task.value("inputs.audio") else ""
        return build(task, seed=seed, prefix="service/name", table=table, source=source, demo=True)

    return make


def node(graph: Graph, kind: str) -> NodeCall:
    (found,) = (call for call in graph.values() if call.class_type == f"AceStepXL{kind}")
    return found


def sourced(**values: Any) -> dict[str, Any]:
    return {"inputs": {"audio": SOURCE}, **values}


def test_a_bare_request_has_the_defaults_of_the_page(made: Any) -> None:
    graph = made()
    text, guider, save = node(graph, "Encode").inputs, node(graph, "Guider").inputs, node(graph, "Save").inputs
    assert (text["caption"], text["lyrics"], text["language"]) == ("slow waltz", "[Instrumental]", "en")
    assert (text["bpm"], text["key_scale"], text["time_signature"], text["task"]) == (0, "auto", "auto", "text2music")
    assert node(graph, "EmptyLatent").inputs == {"seconds": 60.0, "batch_size": 1}
    assert node(graph, "Schedule").inputs["steps"] == 100
    assert (guider["type"], guider["scale"], guider["start"], guider["end"]) == ("apg", 10.0, 0.0, 1.0)
    assert "negative" not in guider
    assert node(graph, "Sampler").inputs["seed"] == 7
    assert (save["format"], save["filename_prefix"], save["channels"]) == ("mp3", "service/name", "2")
    assert isinstance(text["duration"], Link), "the prompt is told the length of the latent"


# Parameter of the page and value -> node, input and value in the graph.
PLACES: list[tuple[dict[str, Any], str, str, Any]] = [
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
    (sourced(strength=0.8), "Cover", "strength", 0.8),
    (sourced(), "Cover", "strength", 0.5),
    (sourced(), "LoadAudio", "audio", "source.wav"),
    (sourced(strength=0.2, settings={"repaintingStart": 1}), "Repaint", "strength", 0.2),
    (sourced(settings={"repaintingStart": 1.5, "repaintingEnd": 2.25}), "Repaint", "regions", "1.5-2.25"),
    (sourced(settings={"repaintingStart": -8, "repaintingEnd": 0}), "Repaint", "regions", "-8-0"),
    (sourced(settings={"repaintingStart": 20}), "Repaint", "regions", "20-end"),
    (sourced(settings={"repaintingEnd": 20}), "Repaint", "regions", "start-20"),
    (sourced(settings={"repaintingStart": -20}), "Repaint", "regions", "-20-end"),
]


@pytest.mark.parametrize(("values", "kind", "name", "expected"), PLACES, ids=str)
def test_a_parameter_is_at_its_place(values: dict[str, Any], kind: str, name: str, expected: Any, made: Any) -> None:
    found = node(made(**values), kind).inputs[name]
    assert (found, type(found)) == (expected, type(expected))


def test_a_lossless_file_keeps_its_own_encoding(made: Any) -> None:
    encoded = node(made(outputFormat="WAV"), "Save").inputs
    assert not {"bitrate", "sample_rate", "channels"} & {name for name, v in encoded.items() if v not in (0, "auto")}


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({}, "text_to_music"),
        (sourced(), "cover"),
        (sourced(settings={"bpm": 90}), "cover"),
        (sourced(settings={"repaintingStart": 0}), "repaint"),
        (sourced(settings={"repaintingEnd": 5}), "repaint"),
    ],
    ids=str,
)
def test_which_workflow_runs(values: dict[str, Any], expected: str, made: Any) -> None:
    assert workflow_of(inference(**values)) == expected
    task = {"text_to_music": "text2music"}.get(expected, expected)
    assert node(made(**values), "Encode").inputs["task"] == task


def test_a_negative_prompt_differs_in_its_caption_only(made: Any) -> None:
    graph = made(negativePrompt="muddy", settings={"lyrics": "[Verse] la la", "bpm": 90})
    texts = {i: call for i, call in graph.items() if call.class_type == ids.ENCODE}
    assert len(texts) == 2
    guider = node(graph, "Guider").inputs
    positive, negative = (texts[guider[name].node].inputs for name in ("positive", "negative"))
    assert (positive["caption"], negative["caption"]) == ("slow waltz", "muddy")
    assert {**positive, "caption": ""} == {**negative, "caption": ""}


def test_a_negative_prompt_is_ignored_without_guidance(made: Any) -> None:
    graph = made(negativePrompt="muddy", CFGScale=1)
    assert "negative" not in node(graph, "Guider").inputs
    assert sum(call.class_type == ids.ENCODE for call in graph.values()) == 1


RECIPES = [{"solver": {"type": "heun"}, "schedule": {"type": "karras", "rho": 5}}, "DPM++ 2M Karras"]


@pytest.mark.parametrize("recipe", RECIPES, ids=str)
@pytest.mark.parametrize(
    "values", [{}, sourced(), sourced(settings={"repaintingEnd": 1})], ids=["t2m", "cover", "edit"]
)
def test_a_modular_scheduler_goes_through_the_recipe_node(recipe: Any, values: dict[str, Any], made: Any) -> None:
    graph = made(seed=11, steps=20, **values, advancedFeatures={"modularScheduler": recipe})
    found = node(graph, "Recipe").inputs
    text = found["recipe"]
    assert (json.loads(text) if isinstance(recipe, dict) else text) == recipe
    assert (found["steps"], found["shift"], found["seed"]) == (20, 3.0, 11)
    sampler = node(graph, "Sampler").inputs
    (recipe_id,) = (i for i, call in graph.items() if call.class_type == ids.RECIPE)
    slots = {name: sampler[name] for name in ("guider", "sigmas", "sampler", "noise")}
    assert slots == {name: Link(recipe_id, slot) for slot, name in enumerate(slots)}
    assert graph[found["guider"].node].class_type == ids.GUIDER
    assert not any(call.class_type == ids.SCHEDULE for call in graph.values())


def test_everything_at_once_is_a_graph(made: Any) -> None:
    graph = made(
        **sourced(strength=0.3, settings={"repaintingStart": -4, "repaintingEnd": 300, "keyScale": "C major"}),
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
def test_a_region_reads_as_what_was_asked(start: float | None, end: float | None) -> None:
    """To less than a sample, whatever the number looks like."""
    if (0.0 if start is None else start) + 1e-3 > (END if end is None else end):
        return
    (span,) = parse_regions(region_text(start, end))
    assert span.start == pytest.approx(start or 0.0, abs=1e-5)
    assert span.end == END if end is None else span.end == pytest.approx(end, abs=1e-5)


def test_the_demo_and_a_named_checkpoint(tmp_path: Path) -> None:
    checkpoint = tmp_path / "models" / "diffusion_models" / "mine.safetensors"
    checkpoint.parent.mkdir(parents=True)
    checkpoint.touch()
    engine = HeadlessEngine(tmp_path / "work", [tmp_path / "models"], "cpu")
    named = build(inference(), seed=0, prefix="a", table=engine.table(), model="mine.safetensors")
    assert node(named, "Loader").inputs["model"] == "mine.safetensors"
    demo = build(inference(), seed=0, prefix="a", table=engine.table(), demo=True)
    assert node(demo, "Loader").inputs["model"] == "demo"
    assert graphs.problems(engine.table(), demo=True) == graphs.problems(engine.table(), "mine.safetensors") == []
    (problem,) = graphs.problems(engine.table())
    assert "acestep_v1.5_xl_sft" in problem and "mine.safetensors" in problem
    with pytest.raises(GraphError, match=r"acestep_v1\.5_xl_sft.*not one of the choices: mine\.safetensors, demo"):
        build(inference(), seed=0, prefix="a", table=engine.table())


def test_a_source_that_is_not_there_is_refused(table: NodeTable) -> None:
    task = inference(**sourced())
    with pytest.raises(GraphError, match=r"other\.wav"):
        build(task, seed=0, prefix="a", table=table, source="other.wav", demo=True)


def test_the_table_is_read_in_the_engines_folders(tmp_path: Path) -> None:
    """Not in those of another host that happens to be current."""
    engine = HeadlessEngine(tmp_path / "work", [], "cpu")
    source = tmp_path / "new.flac"
    source.write_bytes(b"1")
    engine.take_in(source)
    with use(HeadlessEngine(tmp_path / "other", [], "cpu")._host):
        spec = engine.table().spec("AceStepXLLoadAudio")
        assert spec is not None and spec.inputs["audio"].choices == ("example", "new.flac")
    source.write_bytes(b"2")
    other = tmp_path / "other.flac"
    other.write_bytes(b"3")
    engine.take_in(other)
    spec = engine.table().spec("AceStepXLLoadAudio")
    assert spec is not None and spec.inputs["audio"].choices == ("example", "other.flac"), "one source at a time"
