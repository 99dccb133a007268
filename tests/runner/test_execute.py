"""Execution: order, arguments, lifetime of results, errors and interrupts."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from toy_nodes import MakeThing, Thing, valid_graph

from acestep_xl import host as host_package
from acestep_xl.host.headless import HeadlessHost, Interrupted
from acestep_xl.runner.execute import NodeError, execute
from acestep_xl.runner.node_table import NodeTable
from acestep_xl.runner.workflow.api_format import to_api

log: list[Any] = []
things: dict[str, weakref.ref[Thing]] = {}


@pytest.fixture(autouse=True)
def fresh_log() -> Iterator[None]:
    log.clear()
    things.clear()
    yield


class Make(MakeThing):
    """Logs what it is given, and which of the earlier results are alive."""

    def make(self, name: str, after: Any = None, count: int = 0) -> tuple[Thing, int]:
        log.append((name, count, sorted(name for name in things if things[name]() is not None)))
        thing, count = super().make(name, after, count)
        things[name] = weakref.ref(thing)
        return thing, count + 1


class Show:
    RETURN_TYPES = ()
    FUNCTION = "show"
    OUTPUT_NODE = True

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        return {
            "required": {"thing": ("THING",)},
            "optional": {"number": ("INT", {})},
            "hidden": {"graph": "PROMPT", "png": "EXTRA_PNGINFO", "me": "UNIQUE_ID", "token": "AUTH_TOKEN_COMFY_ORG"},
        }

    def show(self, thing: Thing, graph: Any, png: Any, me: str, token: Any, number: int = -1) -> dict[str, Any]:
        log.append({"graph": graph, "png": png, "me": me, "token": token, "grad": torch.is_inference_mode_enabled()})
        return {"ui": {"audio": [{"filename": f"{me}.wav", "subfolder": "", "type": "output", "n": number}]}}


class Fail(Show):
    FUNCTION = "fail"

    def fail(self, thing: Thing, **hidden: Any) -> Any:
        raise ValueError("bad level")


class Short(Make):
    def make(self, name: str, after: Any = None, count: int = 0) -> Any:
        return (Thing(),)


class Expand(Make):
    def make(self, name: str, after: Any = None, count: int = 0) -> Any:
        return {"result": (None, None), "expand": {}}


class Both(Make):
    OUTPUT_NODE = True

    def make(self, name: str, after: Any = None, count: int = 0) -> Any:
        return {"ui": {"text": [name]}, "result": [Thing(), count * 10]}


class Stop(Show):
    FUNCTION = "stop"

    def stop(self, thing: Thing, **hidden: Any) -> Any:
        host = host_package.current_host()
        assert isinstance(host, HeadlessHost)
        host.interrupt()
        host.check_interrupted()


@pytest.fixture
def table() -> NodeTable:
    return NodeTable({c.__name__: c for c in (Make, Show, Fail, Short, Expand, Both, Stop)})


@pytest.fixture
def host(tmp_path: Path) -> HeadlessHost:
    return HeadlessHost([], tmp_path, device="cpu")


def test_each_needed_node_runs_once_in_order(table: NodeTable, host: HeadlessHost) -> None:
    graph = valid_graph(
        table,
        n9=("Show", {"thing": ["2", 0], "number": ["1", 1]}),
        n2=("Make", {"name": "second", "count": ["1", 1], "after": ["1", 0]}),
        n1=("Make", {"name": "first", "count": "4"}),
        n8=("Show", {"thing": ["1", 0]}),
        n7=("Make", {"name": "unused", "count": 1}),
    )
    events: list[Any] = []
    ui_outputs = execute(graph, table, host, on_node=lambda *event: events.append(event))
    assert [entry[:2] for entry in log if isinstance(entry, tuple)] == [("first", 4), ("second", 5)]
    assert events == [("1", "Make", 0, 4), ("2", "Make", 1, 4), ("9", "Show", 2, 4), ("8", "Show", 3, 4)]
    assert list(ui_outputs) == ["9", "8"]
    assert ui_outputs["9"]["audio"][0]["n"] == 5 and ui_outputs["8"]["audio"][0]["n"] == -1


def test_hidden_inputs_are_those_of_comfyui(table: NodeTable, host: HeadlessHost) -> None:
    graph = valid_graph(table, n1=("Make", {"name": "a", "count": 1}), n5=("Show", {"thing": ["1", 0]}))
    execute(graph, table, host)
    assert log[-1] == {"graph": to_api(graph), "png": None, "me": "5", "token": None, "grad": True}
    execute(graph, table, host, saved={"nodes": []})
    assert log[-1]["png"] == {"workflow": {"nodes": []}}


def test_results_are_dropped_when_nothing_needs_them(table: NodeTable, host: HeadlessHost) -> None:
    graph = valid_graph(
        table,
        n1=("Make", {"name": "a", "count": 1}),
        n2=("Make", {"name": "b", "count": 1, "after": ["1", 0]}),
        n3=("Make", {"name": "c", "count": 1, "after": ["2", 0]}),
        n4=("Make", {"name": "d", "count": ["1", 1], "after": ["3", 0]}),
        n5=("Show", {"thing": ["4", 0]}),
    )
    execute(graph, table, host)
    assert [entry[2] for entry in log[:-1]] == [[], ["a"], ["a", "b"], ["a", "c"]]
    gc.collect()
    assert all(reference() is None for reference in things.values())


def test_a_node_may_return_ui_and_outputs(table: NodeTable, host: HeadlessHost) -> None:
    graph = valid_graph(
        table, n1=("Both", {"name": "x", "count": 3}), n2=("Show", {"thing": ["1", 0], "number": ["1", 1]})
    )
    ui_outputs = execute(graph, table, host)
    assert ui_outputs["1"] == {"text": ["x"]}
    assert ui_outputs["2"]["audio"][0]["n"] == 30


def test_browser_only_inputs_do_not_reach_the_node(table: NodeTable, host: HeadlessHost) -> None:
    graph = valid_graph(
        table, n1=("Make", {"name": "a", "count": 1}), n5=("Show", {"thing": ["1", 0], "audioUI": "", "upload": "x"})
    )
    assert "5" in execute(graph, table, host)


def test_an_error_names_its_node_and_keeps_its_cause(table: NodeTable, host: HeadlessHost) -> None:
    graph = valid_graph(table, n1=("Make", {"name": "a", "count": 1}), n5=("Fail", {"thing": ["1", 0]}))
    graph["5"].title = "Last one"
    with pytest.raises(NodeError, match=r"node 5 \(Last one, Fail\): ValueError: bad level") as caught:
        execute(graph, table, host)
    assert isinstance(caught.value.__cause__, ValueError)
    assert (caught.value.node_id, caught.value.title, caught.value.class_type) == ("5", "Last one", "Fail")


@pytest.mark.parametrize(("kind", "words"), [("Short", "2 outputs but returned 1"), ("Expand", "expands")])
def test_a_return_value_that_breaks_the_contract(kind: str, words: str, table: NodeTable, host: HeadlessHost) -> None:
    graph = valid_graph(table, n1=(kind, {"name": "a", "count": 1}), n5=("Show", {"thing": ["1", 0]}))
    with pytest.raises(NodeError, match=words):
        execute(graph, table, host)


def test_an_interrupt_passes_through_and_leaves_the_host_usable(table: NodeTable, host: HeadlessHost) -> None:
    graph = valid_graph(table, n1=("Make", {"name": "a", "count": 1}), n5=("Stop", {"thing": ["1", 0]}))
    with pytest.raises(Interrupted):
        execute(graph, table, host)
    host.check_interrupted()
    host.interrupt()
    with pytest.raises(Interrupted):
        execute(graph, table, host)
    assert len([entry for entry in log if isinstance(entry, tuple)]) == 1, "interrupted before the start, no node runs"


def test_the_host_is_current_only_while_it_runs(table: NodeTable, host: HeadlessHost) -> None:
    before = host_package.current_host()
    graph = valid_graph(table, n1=("Make", {"name": "a", "count": 1}), n5=("Fail", {"thing": ["1", 0]}))
    with pytest.raises(NodeError):
        execute(graph, table, host)
    assert host_package.current_host() is before
    assert not torch.is_inference_mode_enabled()
