"""The result cache: what runs again by ComfyUI's rule, what the cache holds, and for how long."""

from __future__ import annotations

import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from graphs import shipped_classes, text_to_music
from toy_nodes import MakeThing, Thing, valid_graph

from acestep_xl.host import use
from acestep_xl.host.headless import HeadlessHost, Interrupted
from acestep_xl.runner.execute import NodeError, execute
from acestep_xl.runner.graph import Graph
from acestep_xl.runner.node_table import NodeTable
from acestep_xl.runner.result_cache import ResultCache
from acestep_xl.runner.validate import validate
from acestep_xl.runner.workflow.read import read_workflow

ran: list[str] = []
things: list[weakref.ref[Thing]] = []
state: dict[str, Any] = {}


@pytest.fixture(autouse=True)
def fresh() -> Iterator[None]:
    ran.clear()
    things.clear()
    state.clear()
    yield


class Make(MakeThing):
    """Logs its name and fails if a test says so."""

    def make(self, name: str, after: Any = None, count: int = 0) -> tuple[Thing, int]:
        ran.append(name)
        if name == state.get("fails"):
            raise ValueError("as the test says")
        thing, count = super().make(name, after, count)
        things.append(weakref.ref(thing))
        return thing, count


class Watch(Make):
    @classmethod
    def IS_CHANGED(cls, name: str, count: int = 0) -> Any:
        if isinstance(state["file"], Exception):
            raise state["file"]
        return state["file"]


class TakesId(Make):
    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        return {**super().INPUT_TYPES(), "hidden": {"me": "UNIQUE_ID"}}

    def make(self, name: str, after: Any = None, count: int = 0, me: str = "") -> tuple[Thing, int]:
        return super().make(f"{name}@{me}")


class Anything(Make):
    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        return {"required": {"name": ("STRING", {}), "value": ("*",)}}

    def make(self, name: str, value: Any) -> tuple[Thing, int]:  # type: ignore[override] # another node
        return super().make(name)


class End:
    RETURN_TYPES = ()
    FUNCTION = "end"
    OUTPUT_NODE = True

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        return {"required": {"thing": ("THING",)}}

    def end(self, thing: Thing) -> dict[str, Any]:
        ran.append("end")
        assert isinstance(thing, Thing)
        return {"ui": {"text": ["done"]}}


TABLE = NodeTable({c.__name__: c for c in (Make, Watch, TakesId, Anything, End)})


@pytest.fixture
def host(tmp_path: Path) -> HeadlessHost:
    return HeadlessHost([], tmp_path, device="cpu")


def chain(first: str = "a", second: str = "b", kind: str = "Make") -> Graph:
    return valid_graph(
        TABLE,
        one=(kind, {"name": first}),
        two=("Make", {"name": second, "after": ["one", 0]}),
        end=("End", {"thing": ["two", 0]}),
    )


def single(kind: str, node_id: str = "one", **inputs: Any) -> Graph:
    return valid_graph(TABLE, **{node_id: (kind, {"name": "a", **inputs}), "end": ("End", {"thing": [node_id, 0]})})


def run(graph: Graph, host: HeadlessHost, cache: ResultCache) -> list[str]:
    """Run a graph; returns the names of the nodes that ran."""
    ran.clear()
    ui_outputs = execute(graph, TABLE, host, cache=cache)
    assert ui_outputs["end"] == {"text": ["done"]}
    return list(ran)


def test_only_what_changed_and_what_depends_on_it_runs(host: HeadlessHost) -> None:
    cache = ResultCache()
    assert run(chain(), host, cache) == ["a", "b", "end"]
    assert run(chain(), host, cache) == ["end"], "output nodes run for their side effects"
    assert run(chain(second="c"), host, cache) == ["c", "end"]
    assert run(chain(first="x", second="c"), host, cache) == ["x", "c", "end"]


def test_ids_titles_and_the_order_of_a_file_do_not_matter(host: HeadlessHost) -> None:
    cache = ResultCache()
    run(chain(), host, cache)
    other = valid_graph(
        TABLE,
        end=("End", {"thing": ["8", 0]}),
        **{"8": ("Make", {"after": ["7", 0], "name": "b"}), "7": ("Make", {"name": "a"})},
    )
    assert run(other, host, cache) == ["end"]


def test_values_are_compared_after_conversion_to_the_type_of_the_input(host: HeadlessHost) -> None:
    cache = ResultCache()
    run(single("Make", count=4), host, cache)
    assert run(single("Make", count="4"), host, cache) == ["end"]
    assert run(single("Make", count=1), host, cache) == ["a", "end"]
    run(single("Anything", value=1), host, cache)
    assert run(single("Anything", value=True), host, cache) == ["a", "end"], "equal to Python, not to a node"
    assert run(single("Anything", value="1"), host, cache) == ["a", "end"]


def test_it_matters_which_output_feeds_an_input(host: HeadlessHost) -> None:
    def linked(slot: int) -> Graph:
        return valid_graph(
            TABLE,
            one=("Make", {"name": "a"}),
            two=("Anything", {"name": "b", "value": ["one", slot]}),
            end=("End", {"thing": ["two", 0]}),
        )

    cache = ResultCache()
    run(linked(0), host, cache)
    assert run(linked(1), host, cache) == ["b", "end"]


def test_is_changed_decides(host: HeadlessHost) -> None:
    cache = ResultCache()
    state["file"] = "first"
    assert run(chain(kind="Watch"), host, cache) == ["a", "b", "end"]
    assert run(chain(kind="Watch"), host, cache) == ["end"]
    state["file"] = "second"
    assert run(chain(kind="Watch"), host, cache) == ["a", "b", "end"]


@pytest.mark.parametrize("value", [float("nan"), OSError("gone"), object()], ids=["NaN", "an error", "no JSON"])
def test_is_changed_without_a_comparable_value_runs_the_node_and_its_dependents(value: Any, host: HeadlessHost) -> None:
    cache = ResultCache()
    state["file"] = value
    for _ in range(2):
        assert run(chain(kind="Watch"), host, cache) == ["a", "b", "end"]


def test_a_node_that_takes_its_id_is_cached_by_id(host: HeadlessHost) -> None:
    cache = ResultCache()
    run(single("TakesId", "one"), host, cache)
    assert run(single("TakesId", "one"), host, cache) == ["end"]
    assert run(single("TakesId", "two"), host, cache) == ["a@two", "end"]


def test_a_node_with_a_literal_that_is_not_json_is_never_cached(host: HeadlessHost) -> None:
    cache = ResultCache()
    graph = single("Anything", value=1)
    graph["one"].inputs["value"] = object()
    for _ in range(2):
        assert run(graph, host, cache) == ["a", "end"]


def test_the_cache_holds_the_results_of_one_graph(host: HeadlessHost) -> None:
    cache = ResultCache()
    for number in range(5):
        run(chain(second=f"b{number}"), host, cache)
        assert sum(thing() is not None for thing in things) == 2
    cache.clear()
    assert not any(thing() for thing in things)


def test_unused_results_are_evicted_before_new_ones_are_computed(host: HeadlessHost) -> None:
    cache = ResultCache()
    run(chain(), host, cache)

    class Count(Make):
        def make(self, name: str, after: Any = None, count: int = 0) -> tuple[Thing, int]:
            state["alive"] = sum(thing() is not None for thing in things)
            return super().make(name)

    table = NodeTable({**TABLE.classes, "Count": Count})
    graph = valid_graph(table, n1=("Count", {"name": "x"}), n2=("End", {"thing": ["1", 0]}))
    execute(graph, table, host, cache=cache)
    assert state["alive"] == 0


def test_results_from_before_an_error_or_an_interrupt_are_reused(host: HeadlessHost) -> None:
    cache = ResultCache()
    state["fails"] = "b"
    with pytest.raises(NodeError):
        execute(chain(), TABLE, host, cache=cache)
    state.clear()
    assert run(chain(), host, cache) == ["b", "end"]
    host.interrupt()
    with pytest.raises(Interrupted):
        execute(chain(first="c"), TABLE, host, cache=cache)
    assert run(chain(first="c"), host, cache) == ["c", "b", "end"]


def test_progress_counts_only_the_nodes_that_run(host: HeadlessHost) -> None:
    cache = ResultCache()
    run(chain(), host, cache)
    events: list[Any] = []
    execute(chain(second="z"), TABLE, host, on_node=lambda *event: events.append(event), cache=cache)
    assert [(event[0], *event[2:]) for event in events] == [("two", 0, 2), ("end", 1, 2)]


def test_another_seed_runs_the_sampler_again_and_not_the_loader(tmp_path: Path) -> None:
    table, cache = NodeTable(shipped_classes()), ResultCache()
    host = HeadlessHost([], tmp_path, device="cpu")

    def sing(seed: int, cache: ResultCache | None) -> tuple[list[str], bytes]:
        api = text_to_music()
        api["sample"]["inputs"]["seed"] = seed
        steps: list[str] = []
        with use(host):
            graph = read_workflow(api, table).graph
            assert validate(graph, table) == []
        ui_outputs = execute(graph, table, host, on_node=lambda name, *_: steps.append(name), cache=cache)
        return steps, (tmp_path / ui_outputs["save"]["audio"][0]["filename"]).read_bytes()[-4096:]

    assert sing(1, cache)[0] == ["load", "empty", "text", "guider", "schedule", "sample", "decode", "save"]
    steps, sound = sing(2, cache)
    assert steps == ["sample", "decode", "save"]
    assert sound == sing(2, None)[1] != sing(1, None)[1], "a song from cached results equals one computed from scratch"
    assert sing(2, cache)[0] == ["save"]
