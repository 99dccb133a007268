"""The result cache: what runs again and what does not, by ComfyUI's rule; what it holds on to, and for how long."""

from __future__ import annotations

import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from graphs import shipped_classes, text_to_music

from acestep_xl.host import use
from acestep_xl.host.headless import HeadlessHost, Interrupted
from acestep_xl.runner.execute import NodeError, execute
from acestep_xl.runner.graph import Graph
from acestep_xl.runner.node_table import NodeTable
from acestep_xl.runner.read import read_workflow
from acestep_xl.runner.result_cache import ResultCache
from acestep_xl.runner.validate import validate


class Thing:
    """A result whose end can be watched."""


ran: list[str] = []
made: list[weakref.ref[Thing]] = []
state: dict[str, Any] = {}


@pytest.fixture(autouse=True)
def fresh() -> Iterator[None]:
    ran.clear()
    made.clear()
    state.clear()
    yield


class Make:
    RETURN_TYPES = ("THING", "INT")
    FUNCTION = "make"

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        return {"required": {"name": ("STRING", {})}, "optional": {"after": ("THING",), "count": ("INT", {})}}

    def make(self, name: str, after: Any = None, count: int = 0) -> tuple[Thing, int]:
        ran.append(name)
        if name == state.get("fails"):
            raise ValueError("as told")
        thing = Thing()
        made.append(weakref.ref(thing))
        return thing, count


class Watch(Make):
    @classmethod
    def IS_CHANGED(cls, name: str, count: int = 0) -> Any:
        if isinstance(state["file"], Exception):
            raise state["file"]
        return state["file"]


class Own(Make):
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
        return {"ui": {"text": ["said"]}}


TABLE = NodeTable({c.__name__: c for c in (Make, Watch, Own, Anything, End)})


def graph_of(**nodes: tuple[str, dict[str, Any]]) -> Graph:
    api = {name: {"class_type": kind, "inputs": inputs} for name, (kind, inputs) in nodes.items()}
    graph = read_workflow(api, TABLE).graph
    assert validate(graph, TABLE) == []
    return graph


def chain(first: str = "a", second: str = "b", kind: str = "Make") -> Graph:
    return graph_of(
        one=(kind, {"name": first}),
        two=("Make", {"name": second, "after": ["one", 0]}),
        end=("End", {"thing": ["two", 0]}),
    )


@pytest.fixture
def host(tmp_path: Path) -> HeadlessHost:
    return HeadlessHost([], tmp_path, device="cpu")


def again(graph: Graph, host: HeadlessHost, cache: ResultCache) -> list[str]:
    """Run and return what ran."""
    ran.clear()
    shown = execute(graph, TABLE, host, cache=cache)
    assert shown["end"] == {"text": ["said"]}
    return list(ran)


def test_only_what_differs_and_what_hangs_on_it_runs(host: HeadlessHost) -> None:
    cache = ResultCache()
    assert again(chain(), host, cache) == ["a", "b", "end"]
    assert again(chain(), host, cache) == ["end"], "output nodes are there for what they do"
    assert again(chain(second="c"), host, cache) == ["c", "end"]
    assert again(chain(first="x", second="c"), host, cache) == ["x", "c", "end"]


def test_ids_titles_and_the_order_of_a_file_do_not_matter(host: HeadlessHost) -> None:
    cache = ResultCache()
    again(chain(), host, cache)
    other = graph_of(
        end=("End", {"thing": ["8", 0]}),
        **{"8": ("Make", {"after": ["7", 0], "name": "b"}), "7": ("Make", {"name": "a"})},
    )
    assert again(other, host, cache) == ["end"]


def test_the_same_value_in_another_spelling_is_the_same(host: HeadlessHost) -> None:
    cache = ResultCache()
    counted = lambda count: graph_of(one=("Make", {"name": "a", "count": count}), end=("End", {"thing": ["one", 0]}))  # noqa: E731
    again(counted(4), host, cache)
    assert again(counted("4"), host, cache) == ["end"]
    assert again(counted(1), host, cache) == ["a", "end"]
    free = lambda value: graph_of(one=("Anything", {"name": "a", "value": value}), end=("End", {"thing": ["one", 0]}))  # noqa: E731
    again(free(1), host, cache)
    assert again(free(True), host, cache) == ["a", "end"], "1 and true are equal to Python, not to a node"
    assert again(free("1"), host, cache) == ["a", "end"]


def test_which_output_feeds_an_input_counts(host: HeadlessHost) -> None:
    cache = ResultCache()
    linked = lambda slot: graph_of(  # noqa: E731
        one=("Make", {"name": "a"}),
        two=("Anything", {"name": "b", "value": ["one", slot]}),
        end=("End", {"thing": ["two", 0]}),
    )
    again(linked(0), host, cache)
    assert again(linked(1), host, cache) == ["b", "end"]


def test_is_changed_decides(host: HeadlessHost) -> None:
    cache = ResultCache()
    state["file"] = "first"
    assert again(chain(kind="Watch"), host, cache) == ["a", "b", "end"]
    assert again(chain(kind="Watch"), host, cache) == ["end"]
    state["file"] = "second"
    assert again(chain(kind="Watch"), host, cache) == ["a", "b", "end"]


@pytest.mark.parametrize("answer", [float("nan"), OSError("gone"), object()], ids=["NaN", "an error", "no JSON"])
def test_is_changed_that_cannot_be_compared_runs_each_time_with_all_below(answer: Any, host: HeadlessHost) -> None:
    cache = ResultCache()
    state["file"] = answer
    for _ in range(2):
        assert again(chain(kind="Watch"), host, cache) == ["a", "b", "end"]


def test_a_node_that_knows_its_id_is_kept_by_id(host: HeadlessHost) -> None:
    cache = ResultCache()
    named = lambda node: graph_of(**{node: ("Own", {"name": "a"}), "end": ("End", {"thing": [node, 0]})})  # noqa: E731
    again(named("one"), host, cache)
    assert again(named("one"), host, cache) == ["end"]
    assert again(named("two"), host, cache) == ["a@two", "end"]


def test_a_constant_that_is_no_json_is_never_kept(host: HeadlessHost) -> None:
    cache = ResultCache()
    graph = graph_of(one=("Anything", {"name": "a", "value": 1}), end=("End", {"thing": ["one", 0]}))
    graph["one"].inputs["value"] = object()
    for _ in range(2):
        assert again(graph, host, cache) == ["a", "end"]


def test_no_more_is_held_than_one_graph(host: HeadlessHost) -> None:
    cache = ResultCache()
    for number in range(5):
        again(chain(second=f"b{number}"), host, cache)
        assert sum(thing() is not None for thing in made) == 2
    cache.clear()
    assert not any(thing() for thing in made)


def test_old_results_go_before_new_ones_are_made(host: HeadlessHost) -> None:
    cache = ResultCache()
    again(chain(), host, cache)

    class Look(Make):
        def make(self, name: str, after: Any = None, count: int = 0) -> tuple[Thing, int]:
            state["alive"] = sum(thing() is not None for thing in made)
            return super().make(name)

    table = NodeTable({**TABLE.classes, "Look": Look})
    graph = read_workflow(
        {
            "1": {"class_type": "Look", "inputs": {"name": "x"}},
            "2": {"class_type": "End", "inputs": {"thing": ["1", 0]}},
        },
        table,
    ).graph
    execute(graph, table, host, cache=cache)
    assert state["alive"] == 0


def test_what_was_done_before_an_error_or_a_stop_is_not_done_again(host: HeadlessHost) -> None:
    cache = ResultCache()
    state["fails"] = "b"
    with pytest.raises(NodeError):
        execute(chain(), TABLE, host, cache=cache)
    state.clear()
    assert again(chain(), host, cache) == ["b", "end"]
    host.interrupt()
    with pytest.raises(Interrupted):
        execute(chain(first="c"), TABLE, host, cache=cache)
    assert again(chain(first="c"), host, cache) == ["c", "b", "end"]


def test_progress_counts_only_what_runs(host: HeadlessHost) -> None:
    cache = ResultCache()
    again(chain(), host, cache)
    events: list[Any] = []
    execute(chain(second="z"), TABLE, host, on_node=lambda *event: events.append(event), cache=cache)
    assert [(event[0], *event[2:]) for event in events] == [("two", 0, 2), ("end", 1, 2)]


def test_another_seed_runs_the_sampler_again_and_not_the_loader(tmp_path: Path) -> None:
    table, cache = NodeTable(shipped_classes()), ResultCache()
    host = HeadlessHost([], tmp_path, device="cpu")

    def run(seed: int, cached: ResultCache | None) -> tuple[list[str], bytes]:
        api = text_to_music()
        api["sample"]["inputs"]["seed"] = seed
        steps: list[str] = []
        with use(host):
            graph = read_workflow(api, table).graph
            assert validate(graph, table) == []
        shown = execute(graph, table, host, on_node=lambda name, *_: steps.append(name), cache=cached)
        return steps, (tmp_path / shown["save"]["audio"][0]["filename"]).read_bytes()[-4096:]

    assert run(1, cache)[0] == ["load", "empty", "text", "guider", "schedule", "sample", "decode", "save"]
    steps, sound = run(2, cache)
    assert steps == ["sample", "decode", "save"]
    assert sound == run(2, None)[1] != run(1, None)[1], "a song from kept results equals one made from the start"
    assert run(2, cache)[0] == ["save"]
