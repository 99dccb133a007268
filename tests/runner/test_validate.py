"""Validation reports everything wrong with a graph before it runs, by ComfyUI's rules."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from acestep_xl.runner.graph import Graph, Link, NodeCall
from acestep_xl.runner.node_table import InputSpec, NodeTable, types_match
from acestep_xl.runner.order import execution_order
from acestep_xl.runner.read import read_workflow
from acestep_xl.runner.validate import validate
from acestep_xl.runner.values import convert


class Loader:
    RETURN_TYPES = ("MODEL", "VAE")
    FUNCTION = "run"

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        return {"required": {"model": (["song.safetensors", "demo"],), "vae": (["auto", "v"], {"default": "auto"})}}


class Sample:
    RETURN_TYPES = ("LATENT",)
    FUNCTION = "run"

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        return {
            "required": {
                "model": ("MODEL",),
                "seed": ("INT", {"default": 0, "min": 0, "max": 2**64 - 1}),
                "steps": ("INT", {"default": 20, "min": 1, "max": 100}),
            },
            "optional": {
                "scale": ("FLOAT", {"min": 1.0, "max": 30.0}),
                "text": ("STRING", {"multiline": True}),
                "flag": ("BOOLEAN", {}),
                "mode": ("COMBO", {"options": ["a", "b", 3]}),
                "seconds": ("INT,FLOAT", {}),
            },
        }


class Save:
    RETURN_TYPES = ()
    FUNCTION = "run"
    OUTPUT_NODE = True

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        return {"required": {"latent": ("LATENT",)}, "optional": {"anything": ("*",)}}


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
    def VALIDATE_INPUTS(cls, **inputs: Any) -> bool:  # type: ignore[override]  # another way nodes declare it
        cls.seen = inputs
        return bool(inputs["level"] < 50)


class Lists(Save):
    OUTPUT_IS_LIST = (True,)


class Async(Save):
    async def run(self, latent: Any) -> None: ...


@pytest.fixture
def table() -> NodeTable:
    classes = (Loader, Sample, Save, Checked, CheckedAll, Lists, Async)
    return NodeTable({c.__name__: c for c in classes} | {"AceStepXLLoader": Loader})


def graph_of(table: NodeTable, **nodes: tuple[str, dict[str, Any]]) -> Graph:
    """n1=("Loader", {...}) becomes node "1"."""
    api = {name[1:]: {"class_type": kind, "inputs": inputs} for name, (kind, inputs) in nodes.items()}
    workflow = read_workflow(api, table)
    assert workflow.problems == []
    return workflow.graph


GOOD: dict[str, tuple[str, dict[str, Any]]] = {
    "n1": ("Loader", {"model": "song.safetensors", "vae": "auto"}),
    "n2": ("Sample", {"model": ["1", 0], "seed": 2**64 - 1, "steps": 8}),
    "n3": ("Save", {"latent": ["2", 0]}),
}


def faults(table: NodeTable, **changes: tuple[str, dict[str, Any]]) -> list[str]:
    return [str(problem) for problem in validate(graph_of(table, **(GOOD | changes)), table)]


def sample(**inputs: Any) -> dict[str, tuple[str, dict[str, Any]]]:
    return {"n2": ("Sample", GOOD["n2"][1] | inputs)}


def test_a_good_graph_has_no_problems(table: NodeTable) -> None:
    assert faults(table) == []
    assert faults(table, **sample(scale=7, text="x", flag=False, mode=3, seconds=["4", 0]), n4=GOOD["n1"]) != []
    assert faults(table, **sample(scale=7, text="x", flag=False, mode=3)) == []


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
def test_each_fault_names_place_value_and_remedy(
    inputs: dict[str, Any], words: list[str] | None, table: NodeTable
) -> None:
    if words is None:
        api = {"2": {"class_type": "Sample", "inputs": inputs}}
        assert "not a link" in str(read_workflow(api, table).problems[0])
        return
    (fault,) = faults(table, **sample(**inputs))
    for word in words:
        assert word in fault


@pytest.mark.parametrize(
    ("inputs", "name", "value"),
    [({"steps": 1}, "steps", 1), ({"steps": 100}, "steps", 100), ({"scale": 30}, "scale", 30.0),
     ({"steps": "12"}, "steps", 12), ({"steps": 12.0}, "steps", 12), ({"scale": "2.5"}, "scale", 2.5),
     ({"flag": 1}, "flag", True), ({"flag": "false"}, "flag", False), ({"text": 5}, "text", "5")],
)  # fmt: skip
def test_values_that_convert_without_loss_pass(inputs: dict[str, Any], name: str, value: Any, table: NodeTable) -> None:
    assert faults(table, **sample(**inputs)) == []
    spec = table.spec("Sample")
    assert spec is not None
    converted = convert(spec.inputs[name], inputs[name])
    assert converted == value and type(converted) is type(value)


def test_missing_inputs(table: NodeTable) -> None:
    found = faults(table, n2=("Sample", {"seed": 1}))
    assert [fault.split(": ", 1)[0] for fault in found] == [
        "node 2 (Sample), input model",
        "node 2 (Sample), input steps",
    ]
    assert all("missing" in fault for fault in found)


def test_all_problems_at_once(table: NodeTable) -> None:
    found = faults(
        table,
        n1=("Loader", {"model": "gone.safetensors", "vae": "auto"}),
        n2=("Sample", {"model": ["1", 0], "seed": -1, "steps": 999, "typo": 1}),
        n3=("Save", {"latent": ["2", 7]}),
        n4=("Sampel", {}),
        n5=("Save", {"latent": ["4", 0]}),
    )
    text = "\n".join(found)
    for word in ("gone.safetensors", "-1", "999", "typo", "output 7", "Sampel", "did you mean Sample"):
        assert word in text
    assert len(found) == 6, "the link from the unknown node is not reported a second time"


def test_a_broken_link_does_not_hide_faults_behind_it(table: NodeTable) -> None:
    found = faults(table, n3=("Save", {"latent": ["8", 0]}), **sample(steps=999))
    assert any("999" in fault for fault in found) and any("node 8" in fault for fault in found)


def test_nodes_no_output_needs_are_left_alone_when_all_is_well(table: NodeTable) -> None:
    assert faults(table, n9=("Sample", {"steps": 999})) == []
    assert len(faults(table, n9=("Unheard", {}))) == 1


def test_no_output_node(table: NodeTable) -> None:
    graph = graph_of(table, n1=GOOD["n1"], n2=("Sample", GOOD["n2"][1] | {"steps": 0}))
    found = [str(problem) for problem in validate(graph, table)]
    assert "no output node" in found[0]
    assert any("out of range" in fault for fault in found)


def test_circles_are_shown(table: NodeTable) -> None:
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
    found = [str(problem) for problem in validate(graph, loops)]
    assert len(found) == 2
    assert "5 <- 6 <- 5" in found[0] and "7 <- 7" in found[1]


def test_long_choice_lists_are_shortened_with_the_closest(table: NodeTable) -> None:
    class Many(Save):
        @classmethod
        def INPUT_TYPES(cls) -> dict[str, Any]:
            return {"required": {"file": ([f"model_{i:03}.safetensors" for i in range(200)],)}}

    class Empty(Save):
        @classmethod
        def INPUT_TYPES(cls) -> dict[str, Any]:
            return {"required": {"file": ([],)}}

    more = NodeTable({"Many": Many, "Empty": Empty})
    graph = graph_of(more, n1=("Many", {"file": "model_123.safetensor"}), n2=("Empty", {"file": "x"}))
    long, empty = (str(problem) for problem in validate(graph, more))
    assert "180 more" in long and "model_123.safetensors" in long and len(long) < 1000
    assert "nothing to choose from" in empty


def test_nodes_this_runner_cannot_run(table: NodeTable) -> None:
    assert "lists" in faults(table, n3=("Lists", {"latent": ["2", 0]}))[0]
    assert "async" in faults(table, n3=("Async", {"latent": ["2", 0]}))[0]


def test_own_validation_replaces_the_checks_it_names(table: NodeTable) -> None:
    socket = ["1", 0]  # a MODEL on a MASK socket: input_types takes the type check over
    assert faults(table, n3=("Checked", {"level": 40, "other": 1, "socket": socket})) == []
    assert Checked.seen == {"level": 40, "socket": None, "input_types": {"socket": "MODEL"}}
    (fault,) = faults(table, n3=("Checked", {"level": 60, "other": 1, "socket": socket}))
    assert "level 60 is too loud" in fault
    (fault,) = faults(table, n3=("Checked", {"level": 40, "other": 6, "socket": socket}))
    assert "input other" in fault
    (fault,) = faults(table, n3=("Checked", {"level": 99, "other": 1, "socket": socket}))
    assert "RuntimeError: boom" in fault
    (fault,) = faults(table, n3=("Checked", {"level": "x", "other": 1, "socket": socket}))
    assert "whole number" in fault


def test_own_validation_with_keyword_arguments(table: NodeTable) -> None:
    found = faults(table, n3=("CheckedAll", {"level": 40, "other": 400, "socket": ["1", 0]}))
    assert len(found) == 1 and "needs MASK" in found[0]
    (fault,) = faults(table, n3=("CheckedAll", {"level": 60, "other": 1, "socket": None}))
    assert "refused" in fault


@pytest.mark.parametrize(
    ("given_type", "wanted", "match"),
    [("LATENT", "LATENT", True), ("LATENT", "VAE", False), ("*", "VAE", True), ("VAE", "*", True),
     ("INT,FLOAT", "FLOAT, STRING", True), ("INT,FLOAT", "STRING,BOOLEAN", False), ("INT", "INT,FLOAT", True)],
)  # fmt: skip
def test_link_types(given_type: str, wanted: str, match: bool) -> None:
    assert types_match(given_type, wanted) is match


@given(
    edges=st.lists(st.tuples(st.integers(0, 11), st.integers(0, 11)), max_size=30),
    targets=st.lists(st.integers(0, 11), min_size=1, max_size=3),
)
def test_order_puts_sources_first_and_takes_only_what_is_needed(edges: Any, targets: list[int]) -> None:
    graph: Graph = {str(i): NodeCall("X", {}, "") for i in range(12)}
    for low, high in ((min(edge), max(edge)) for edge in edges if edge[0] != edge[1]):
        graph[str(high)].inputs[f"i{low}"] = Link(str(low), 0)
    order = execution_order(graph, map(str, targets))
    assert order.cycles == []
    assert len(set(order.nodes)) == len(order.nodes)
    place = {node: index for index, node in enumerate(order.nodes)}
    reached = set(map(str, targets))
    for node in reversed(order.nodes):
        if node in reached:
            reached |= {link.node for link in graph[node].inputs.values()}
    assert set(order.nodes) == reached
    for node in order.nodes:
        assert all(place[link.node] < place[node] for link in graph[node].inputs.values())


def test_order_finishes_one_target_before_the_next() -> None:
    graph: Graph = {name: NodeCall("X", {}, "") for name in "abcd"}
    graph["b"].inputs["x"] = Link("a", 0)
    graph["d"].inputs["x"] = Link("c", 0)
    assert execution_order(graph, ["b", "d"]).nodes == ["a", "b", "c", "d"]
    graph["d"].inputs |= {"y": Link("b", 0), "z": Link("a", 0)}
    assert execution_order(graph, ["d"]).nodes == ["c", "a", "b", "d"], "sources run in the order of the inputs"


def test_widget_facts() -> None:
    def spec(kind: str, **options: Any) -> InputSpec:
        return InputSpec("seed", kind, (), options, True)

    assert spec("INT").control_values == 1
    assert spec("INT", control_after_generate=False).control_values == spec("STRING").control_values == 0
    assert spec("COMBO", control_after_generate=True).control_values == 2
    assert not spec("FLOAT", forceInput=True).is_widget and not spec("MODEL").is_widget
