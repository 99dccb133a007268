"""Validation reports everything wrong with a graph before it runs, by ComfyUI's rules."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from toy_nodes import Loader, SampleInModes, Save, graph_of

from acestep_xl.runner.graph import Graph, Link, NodeCall
from acestep_xl.runner.node_table import InputSpec, NodeTable, types_match
from acestep_xl.runner.order import execution_order
from acestep_xl.runner.validate import validate
from acestep_xl.runner.values import convert
from acestep_xl.runner.workflow.read import read_workflow


class Checked:
    """Checks its own level, and takes any type on its socket."""

    RETURN_TYPES = ()
    FUNCTION = "run"
    OUTPUT_NODE = True
    seen: dict[str, Any] = {}  # noqa: RUF012

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        return {"required": {"level": ("INT", {"min": 0, "max": 5}), "other": ("INT", {"max": 5}), "socket": ("MASK",)}}

    @classmethod
    def VALIDATE_INPUTS(cls, level: int, socket: Any, input_types: dict[str, str]) -> bool | str:
        cls.seen = {"level": level, "socket": socket, "input_types": input_types}
        if level == 99:
            raise RuntimeError("boom")
        return True if level < 50 else f"level {level} is too loud"


class CheckedAll(Checked):
    @classmethod
    def VALIDATE_INPUTS(cls, **inputs: Any) -> bool:  # type: ignore[override]  # nodes declare it either way
        cls.seen = inputs
        return bool(inputs["level"] < 50)


class Lists(Save):
    OUTPUT_IS_LIST = (True,)


class Async(Save):
    async def run(self, latent: Any) -> None: ...


@pytest.fixture
def table() -> NodeTable:
    classes = (Loader, Save, Checked, CheckedAll, Lists, Async)
    return NodeTable({c.__name__: c for c in classes} | {"Sample": SampleInModes})


GOOD: dict[str, tuple[str, dict[str, Any]]] = {
    "n1": ("Loader", {"model": "song.safetensors", "vae": "auto"}),
    "n2": ("Sample", {"model": ["1", 0], "seed": 2**64 - 1, "steps": 8}),
    "n3": ("Save", {"latent": ["2", 0]}),
}


def problems_of(table: NodeTable, **changes: tuple[str, dict[str, Any]]) -> list[str]:
    return [str(problem) for problem in validate(graph_of(table, **(GOOD | changes)), table)]


def sample(**inputs: Any) -> dict[str, tuple[str, dict[str, Any]]]:
    return {"n2": ("Sample", GOOD["n2"][1] | inputs)}


def test_a_valid_graph_has_no_problems(table: NodeTable) -> None:
    assert problems_of(table) == []
    assert problems_of(table, **sample(scale=7, text="x", flag=False, mode=3, seconds=["4", 0]), n4=GOOD["n1"]) != []
    assert problems_of(table, **sample(scale=7, text="x", flag=False, mode=3)) == []


@pytest.mark.parametrize(
    ("inputs", "words"),
    [
        ({"steps": 0}, ["node 2", "Sample", "input steps", "0 is out of range", "at least 1", "at most 100"]),
        ({"steps": 101}, ["101"]),
        ({"steps": 8.5}, ["8.5", "whole number"]),
        ({"steps": "many"}, ["'many'", "whole number"]),
        ({"steps": True}, ["True", "whole number"]),
        ({"steps": None}, ["None", "whole number"]),
        ({"steps": {"a": 1}}, ["whole number"]),
        ({"steps": math.inf}, ["inf", "whole number"]),
        ({"scale": 0.99}, ["input scale", "0.99", "at least 1.0"]),
        ({"scale": math.nan}, ["nan", "not a number"]),
        ({"scale": [1, 2, 3]}, None),
        ({"flag": "maybe"}, ["'maybe'", "true or false"]),
        ({"flag": 2}, ["true or false"]),
        ({"text": None}, ["None", "text"]),
        ({"mode": "c"}, ["'c'", "choices: a, b, 3"]),
        ({"mode": "3"}, ["'3'", "choices"]),
        ({"speed": 1}, ["input speed", "no such input", "known: model, seed"]),
        ({"sedd": 1}, ["input sedd", "did you mean seed? known: model, seed"]),
        ({"model": ["9", 0]}, ["input model", "node 9", "does not exist"]),
        ({"model": ["1", 2]}, ["output 2", "node 1 (Loader)", "2 outputs"]),
        ({"model": ["1", -2]}, ["output -2", "2 outputs"]),
        ({"scale": True}, ["True", "not a number"]),
        ({"model": ["1", 1]}, ["needs MODEL", "VAE"]),
    ],
)
def test_a_problem_names_node_input_value_and_remedy(
    inputs: dict[str, Any], words: list[str] | None, table: NodeTable
) -> None:
    if words is None:
        api = {"2": {"class_type": "Sample", "inputs": inputs}}
        assert "not a link" in str(read_workflow(api, table).problems[0])
        return
    (problem,) = problems_of(table, **sample(**inputs))
    for word in words:
        assert word in problem


@pytest.mark.parametrize(
    ("inputs", "name", "value"),
    [({"steps": 1}, "steps", 1), ({"steps": 100}, "steps", 100), ({"scale": 30}, "scale", 30.0),
     ({"steps": "12"}, "steps", 12), ({"steps": 12.0}, "steps", 12), ({"scale": "2.5"}, "scale", 2.5),
     ({"flag": 1}, "flag", True), ({"flag": "false"}, "flag", False), ({"text": 5}, "text", "5")],
)  # fmt: skip
def test_values_that_convert_without_loss_pass(inputs: dict[str, Any], name: str, value: Any, table: NodeTable) -> None:
    assert problems_of(table, **sample(**inputs)) == []
    spec = table.spec("Sample")
    assert spec is not None
    converted = convert(spec.inputs[name], inputs[name])
    assert converted == value and type(converted) is type(value)


def test_missing_inputs(table: NodeTable) -> None:
    problems = problems_of(table, n2=("Sample", {"seed": 1}))
    assert [problem.split(": ", 1)[0] for problem in problems] == [
        "node 2 (Sample), input model",
        "node 2 (Sample), input steps",
    ]
    assert all("missing" in problem for problem in problems)


def test_all_problems_at_once(table: NodeTable) -> None:
    problems = problems_of(
        table,
        n1=("Loader", {"model": "gone.safetensors", "vae": "auto"}),
        n2=("Sample", {"model": ["1", 0], "seed": -1, "steps": 999, "typo": 1}),
        n3=("Save", {"latent": ["2", 7]}),
        n4=("Sampel", {}),
        n5=("Save", {"latent": ["4", 0]}),
    )
    text = "\n".join(problems)
    for word in ("gone.safetensors", "-1", "999", "typo", "output 7", "Sampel", "did you mean Sample"):
        assert word in text
    assert len(problems) == 6, "the link from the unknown node is not reported a second time"


def test_a_broken_link_does_not_hide_problems_behind_it(table: NodeTable) -> None:
    problems = problems_of(table, n3=("Save", {"latent": ["8", 0]}), **sample(steps=999))
    assert any("999" in problem for problem in problems) and any("node 8" in problem for problem in problems)


def test_nodes_that_no_output_needs_are_ignored_in_a_valid_graph(table: NodeTable) -> None:
    assert problems_of(table, n9=("Sample", {"steps": 999})) == []
    assert len(problems_of(table, n9=("Unheard", {}))) == 1


def test_no_output_node(table: NodeTable) -> None:
    graph = graph_of(table, n1=GOOD["n1"], n2=("Sample", GOOD["n2"][1] | {"steps": 0}))
    problems = [str(problem) for problem in validate(graph, table)]
    assert "no output node" in problems[0]
    assert any("out of range" in problem for problem in problems)


def test_cycles_are_shown(table: NodeTable) -> None:
    class Loop:
        RETURN_TYPES = ("LATENT",)

        @classmethod
        def INPUT_TYPES(cls) -> dict[str, Any]:
            return {"required": {"latent": ("LATENT",)}}

    loops = NodeTable(dict(table.classes) | {"Loop": Loop})
    graph = graph_of(
        loops,
        n3=("Save", {"latent": ["5", 0]}),
        n5=("Loop", {"latent": ["6", 0]}),
        n6=("Loop", {"latent": ["5", 0]}),
        n7=("Loop", {"latent": ["7", 0]}),
    )
    problems = [str(problem) for problem in validate(graph, loops)]
    assert len(problems) == 2
    assert "5 <- 6 <- 5" in problems[0] and "7 <- 7" in problems[1]


def test_long_lists_of_choices_are_cut_to_the_closest(table: NodeTable) -> None:
    class Many(Save):
        @classmethod
        def INPUT_TYPES(cls) -> dict[str, Any]:
            return {"required": {"file": ([f"model_{i:03}.safetensors" for i in range(200)],)}}

    class Empty(Save):
        @classmethod
        def INPUT_TYPES(cls) -> dict[str, Any]:
            return {"required": {"file": ([],)}}

    larger = NodeTable({"Many": Many, "Empty": Empty})
    graph = graph_of(larger, n1=("Many", {"file": "model_123.safetensor"}), n2=("Empty", {"file": "x"}))
    long, empty = (str(problem) for problem in validate(graph, larger))
    assert "180 more" in long and "model_123.safetensors" in long and len(long) < 1000
    assert "nothing to choose from" in empty


def test_nodes_this_runner_cannot_run(table: NodeTable) -> None:
    assert "lists" in problems_of(table, n3=("Lists", {"latent": ["2", 0]}))[0]
    assert "async" in problems_of(table, n3=("Async", {"latent": ["2", 0]}))[0]


def test_validate_inputs_replaces_the_checks_of_the_inputs_it_takes(table: NodeTable) -> None:
    socket = ["1", 0]  # a MODEL on a MASK socket: taking input_types replaces the type check
    assert problems_of(table, n3=("Checked", {"level": 40, "other": 1, "socket": socket})) == []
    assert Checked.seen == {"level": 40, "socket": None, "input_types": {"socket": "MODEL"}}
    (problem,) = problems_of(table, n3=("Checked", {"level": 60, "other": 1, "socket": socket}))
    assert "level 60 is too loud" in problem
    (problem,) = problems_of(table, n3=("Checked", {"level": 40, "other": 6, "socket": socket}))
    assert "input other" in problem
    (problem,) = problems_of(table, n3=("Checked", {"level": 99, "other": 1, "socket": socket}))
    assert "RuntimeError: boom" in problem
    (problem,) = problems_of(table, n3=("Checked", {"level": "x", "other": 1, "socket": socket}))
    assert "whole number" in problem


def test_validate_inputs_with_keyword_arguments(table: NodeTable) -> None:
    problems = problems_of(table, n3=("CheckedAll", {"level": 40, "other": 400, "socket": ["1", 0]}))
    assert len(problems) == 1 and "needs MASK" in problems[0]
    (problem,) = problems_of(table, n3=("CheckedAll", {"level": 60, "other": 1, "socket": None}))
    assert "refused" in problem


@pytest.mark.parametrize(
    ("output_type", "input_type", "match"),
    [("LATENT", "LATENT", True), ("LATENT", "VAE", False), ("*", "VAE", True), ("VAE", "*", True),
     ("INT,FLOAT", "FLOAT, STRING", True), ("INT,FLOAT", "STRING,BOOLEAN", False), ("INT", "INT,FLOAT", True)],
)  # fmt: skip
def test_link_types(output_type: str, input_type: str, match: bool) -> None:
    assert types_match(output_type, input_type) is match


@given(
    edges=st.lists(st.tuples(st.integers(0, 11), st.integers(0, 11)), max_size=30),
    targets=st.lists(st.integers(0, 11), min_size=1, max_size=3),
)
def test_order_puts_sources_first_and_holds_only_needed_nodes(edges: Any, targets: list[int]) -> None:
    graph: Graph = {str(i): NodeCall("X", {}, "") for i in range(12)}
    for low, high in ((min(edge), max(edge)) for edge in edges if edge[0] != edge[1]):
        graph[str(high)].inputs[f"i{low}"] = Link(str(low), 0)
    order = execution_order(graph, map(str, targets))
    assert order.cycles == []
    assert len(set(order.nodes)) == len(order.nodes)
    position = {node: index for index, node in enumerate(order.nodes)}
    needed = set(map(str, targets))
    for node in reversed(order.nodes):
        if node in needed:
            needed |= {link.node for link in graph[node].inputs.values()}
    assert set(order.nodes) == needed
    for node in order.nodes:
        assert all(position[link.node] < position[node] for link in graph[node].inputs.values())


def test_order_finishes_one_target_before_the_next() -> None:
    graph: Graph = {name: NodeCall("X", {}, "") for name in "abcd"}
    graph["b"].inputs["x"] = Link("a", 0)
    graph["d"].inputs["x"] = Link("c", 0)
    assert execution_order(graph, ["b", "d"]).nodes == ["a", "b", "c", "d"]
    graph["d"].inputs |= {"y": Link("b", 0), "z": Link("a", 0)}
    assert execution_order(graph, ["d"]).nodes == ["c", "a", "b", "d"], "sources run in the order of the inputs"


def test_which_inputs_are_widgets_and_which_have_a_seed_control() -> None:
    def spec(kind: str, **options: Any) -> InputSpec:
        return InputSpec("seed", kind, (), options, True)

    assert spec("INT").control_values == 1
    assert spec("INT", control_after_generate=False).control_values == spec("STRING").control_values == 0
    assert spec("COMBO", control_after_generate=True).control_values == 2
    assert not spec("FLOAT", forceInput=True).is_widget and not spec("MODEL").is_widget
