"""Settings reach the right input with the right type, and say why when they do not apply."""

from __future__ import annotations

from typing import Any

import native_songs
import pytest
from toy_nodes import Loader, SampleInModes, Save, graph_of

from acestep_xl.runner.graph import Graph
from acestep_xl.runner.node_table import NodeTable
from acestep_xl.runner.settings import (
    Assignment,
    Setting,
    apply_settings,
    parse_assignment,
    resolve_assignments,
    use_demo,
)
from acestep_xl.runner.validate import validate
from acestep_xl.runner.workflow.read import read_workflow


@pytest.fixture
def table() -> NodeTable:
    return NodeTable({"AceStepXLLoader": Loader, "Loader": Loader, "Sample": SampleInModes, "Save": Save})


@pytest.fixture
def graph(table: NodeTable) -> Graph:
    """Loaders 1 and 4, the sampler 2, whose steps are linked, and the output 3."""
    loader = ("Loader", {"model": "song.safetensors", "vae": "auto"})
    sample = ("Sample", {"model": ["1", 0], "seed": 5, "steps": ["1", 0]})
    return graph_of(table, n1=loader, n2=sample, n3=("Save", {"latent": ["2", 0]}), n4=loader)


@pytest.mark.parametrize("text", ["steps=3", "2.steps", ".steps=3", "2.=3", ""])
def test_text_that_is_no_assignment(text: str) -> None:
    with pytest.raises(ValueError, match=r"NODE\.INPUT=VALUE"):
        parse_assignment(text)


def test_an_assignment_splits_at_the_first_equals_and_the_last_dot_before_it() -> None:
    assert parse_assignment("Sampler 1.5.text=a=b.c\nd") == Assignment("Sampler 1.5", "text", "a=b.c\nd")
    assert parse_assignment("9:2.text=") == Assignment("9:2", "text", "")


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [("steps", "50", 50), ("steps", "-7", -7), ("scale", "2", 2.0), ("text", "5", "5"), ("flag", "no", False),
     ("flag", "True", True), ("mode", "b", "b"), ("mode", "3", 3), ("mode", "zzz", "zzz"), ("text", "", "")],
)  # fmt: skip
def test_text_is_parsed_as_the_type_of_its_input(
    name: str, text: str, value: Any, graph: Graph, table: NodeTable
) -> None:
    settings, problems = resolve_assignments(graph, [Assignment("2", name, text)], table)
    assert (settings, problems) == ([Setting("2", name, value)], [])
    assert type(settings[0].value) is type(value)
    assert apply_settings(graph, settings, table) == []
    assert graph["2"].inputs[name] == value and type(graph["2"].inputs[name]) is type(value)


@pytest.mark.parametrize(
    ("name", "value", "stored"),
    [("seed", 2**64 - 1, 2**64 - 1), ("scale", 2, 2.0), ("steps", 8.0, 8), ("text", 5, "5"), ("text", "5", "5"),
     ("mode", 3, 3), ("flag", False, False)],
)  # fmt: skip
def test_a_typed_value_is_converted_like_any_value_of_a_graph(
    name: str, value: Any, stored: Any, graph: Graph, table: NodeTable
) -> None:
    assert apply_settings(graph, [Setting("2", name, value)], table) == []
    assert graph["2"].inputs[name] == stored and type(graph["2"].inputs[name]) is type(stored)


def test_a_setting_replaces_a_link(graph: Graph, table: NodeTable) -> None:
    assert apply_settings(graph, [Setting("Sample", "steps", 9)], table) == []
    assert graph["2"].inputs["steps"] == 9


def test_a_node_is_found_by_id_then_title_then_class(graph: Graph, table: NodeTable) -> None:
    graph["2"].title = "3"
    graph["4"].title = "Second loader"
    settings = [Setting("3", "latent", "x"), Setting("Second loader", "vae", "v"), Setting("Sample", "steps", 4)]
    problems = [str(problem) for problem in apply_settings(graph, settings, table)]
    assert len(problems) == 1 and "by link" in problems[0], "an id goes before a title"
    assert (graph["1"].inputs["vae"], graph["4"].inputs["vae"], graph["2"].inputs["steps"]) == ("auto", "v", 4)


PROBLEMS = [
    ("Loader.vae=v", ["several nodes", "1, 4"]),
    ("Sampel.steps=4", ["no node", "did you mean Sample"]),
    ("2.speed=4", ["no such input", "seed, steps, scale, text, flag, mode"]),
    ("2.model=x", ["MODEL by link", "seed, steps"]),
    ("2.steps=x", ["'x'", "whole number"]),
]


@pytest.mark.parametrize(("text", "words"), PROBLEMS)
def test_an_assignment_that_does_not_apply_says_why(
    text: str, words: list[str], graph: Graph, table: NodeTable
) -> None:
    settings, (problem,) = resolve_assignments(graph, [parse_assignment(text)], table)
    assert settings == [] and all(word in str(problem) for word in (text, *words))


@pytest.mark.parametrize(("text", "words"), PROBLEMS)
def test_a_setting_that_does_not_apply_says_why(text: str, words: list[str], graph: Graph, table: NodeTable) -> None:
    before = graph["2"].inputs.copy()
    assignment = parse_assignment(text)
    (problem,) = apply_settings(graph, [Setting(assignment.node, assignment.input, assignment.text)], table)
    assert all(word in str(problem) for word in (text, *words))
    assert graph["2"].inputs == before


def test_a_problem_shows_a_value_that_is_no_text(graph: Graph, table: NodeTable) -> None:
    (problem,) = apply_settings(graph, [Setting("2", "steps", 8.5)], table)
    assert str(problem) == "2.steps=8.5: 8.5 is not a whole number"


def test_demo_points_every_loader_at_the_demo_network(table: NodeTable) -> None:
    inputs = {"model": "song.safetensors", "vae": "v"}
    shipped = ("AceStepXLLoader", inputs)
    graph = graph_of(table, n1=shipped, n2=shipped, n3=("Loader", inputs))
    assert use_demo(graph, table) == []
    assert graph["1"].inputs == graph["2"].inputs == {"model": "demo", "vae": "auto"}
    assert graph["3"].inputs == inputs


@pytest.mark.parametrize("graph", [native_songs.split(), native_songs.all_in_one()], ids=["split", "all in one"])
def test_demo_puts_our_loader_in_the_place_of_comfyuis(graph: dict[str, Any]) -> None:
    table = NodeTable.shipped()
    workflow = read_workflow(graph, table).graph
    outputs = {"7": ("model", 0), "4": ("clip", 1), "9": ("vae", 2)}
    assert use_demo(workflow, table) == []
    for reader, (name, slot) in outputs.items():
        link = workflow[reader].inputs[name]
        assert link.slot == slot and workflow[link.node].class_type == "AceStepXLLoader"
        assert workflow[link.node].inputs["model"] == "demo"
    assert validate(workflow, table) == []


def test_demo_needs_a_loader(graph: Graph, table: NodeTable) -> None:
    assert "AceStepXLLoader" in str(use_demo(graph, table)[0])
