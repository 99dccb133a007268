"""Both workflow formats read as the same graph."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from saved_workflows import SIMPLE_API, Polish, Source, api_of, node, saved_file, slot
from toy_nodes import Sample

from acestep_xl.runner.graph import WorkflowError
from acestep_xl.runner.node_table import NodeTable
from acestep_xl.runner.validate import validate
from acestep_xl.runner.workflow.api_format import to_api
from acestep_xl.runner.workflow.foreign_classes import headline
from acestep_xl.runner.workflow.read import load_json, read_workflow


def test_saved_file_equals_its_api_export(simple: dict[str, Any], table: NodeTable) -> None:
    assert api_of(simple, table) == SIMPLE_API


def test_api_round_trip(table: NodeTable) -> None:
    assert api_of(SIMPLE_API, table) == SIMPLE_API
    assert api_of({"prompt": SIMPLE_API, "client_id": "x"}, table) == SIMPLE_API


def test_list_values_are_wrapped_as_comfyui_does(table: NodeTable) -> None:
    api = {"1": {"class_type": "Source", "inputs": {"name": {"__value__": ["a", "b"]}}, "_meta": {"title": "t"}}}
    workflow = read_workflow(api, table)
    assert workflow.graph["1"].inputs["name"] == ["a", "b"]
    assert to_api(workflow.graph) == api


def test_a_workflow_keeps_the_saved_file_for_metadata(simple: dict[str, Any], table: NodeTable) -> None:
    assert read_workflow(simple, table).saved == simple
    assert read_workflow(SIMPLE_API, table).saved is None


def test_notes_and_unused_nodes(simple: dict[str, Any], table: NodeTable) -> None:
    simple["nodes"] += [node(70, "Note", [], [], ["hello"]), node(71, "MarkdownNote", [], [], ["# hi"])]
    assert api_of(simple, table) == SIMPLE_API


@pytest.mark.parametrize("damage", [{"nodes": [{"id": 1}]}, {"nodes": [3]}, {"links": [[1, 2]]}, {"links": 5}])
def test_damaged_files_are_reported_as_problems(
    damage: dict[str, Any], simple: dict[str, Any], table: NodeTable
) -> None:
    assert "damaged" in str(read_workflow(simple | damage, table).problems[0])


@pytest.mark.parametrize("data", [{}, {"a": 1}, {"last_node_id": 3}])
def test_other_json_is_not_a_workflow(data: dict[str, Any], table: NodeTable) -> None:
    with pytest.raises(WorkflowError, match="workflow"):
        read_workflow(data, table)


def test_api_nodes_without_class_and_malformed_links(table: NodeTable) -> None:
    api = {"1": {"class_type": "Source", "inputs": {"name": ["2"]}}, "2": {"inputs": {}}, "3": 5}
    texts = [str(problem) for problem in read_workflow(api, table).problems]
    assert len(texts) == 3
    assert "['2'] is not a link" in texts[0]
    assert "node 2" in texts[1] and "class_type" in texts[1]


def test_files_that_cannot_be_read(tmp_path: Any) -> None:
    with pytest.raises(WorkflowError, match="cannot read"):
        load_json(tmp_path / "none.json")
    (tmp_path / "bad.json").write_text('{"a": ')
    with pytest.raises(WorkflowError, match="not JSON"):
        load_json(tmp_path / "bad.json")
    (tmp_path / "list.json").write_text("[]")
    with pytest.raises(WorkflowError, match="JSON object"):
        load_json(tmp_path / "list.json")
    (tmp_path / "bom.json").write_bytes(b"\xef\xbb\xbf" + json.dumps(SIMPLE_API).encode())
    assert load_json(tmp_path / "bom.json") == SIMPLE_API


@st.composite
def graphs(draw: st.DrawFn) -> dict[str, Any]:
    """Random chains of samplers and polish nodes as API exports."""
    api: dict[str, Any] = {"1": {"inputs": {"name": "a.safetensors", "precision": "y"}, "class_type": "Source"}}
    floats = st.floats(-100, 100).map(lambda x: round(x, 3))
    feeds: list[list[Any]] = []
    for number in range(2, 2 + draw(st.integers(1, 5))):
        inputs: dict[str, Any] = {
            "model": ["1", 0],
            "seed": draw(st.integers(0, 2**64 - 1)),
            "steps": draw(st.integers(1, 100)),
            "scale": draw(st.sampled_from([*feeds, draw(floats)])) if feeds else draw(floats),
            "text": draw(st.text(max_size=10)),
            "flag": draw(st.booleans()),
        }
        api[str(number)] = {"inputs": inputs, "class_type": "Sample"}
        polish = {"amount": draw(floats), "latent": [str(number), 0]}
        api[str(100 + number)] = {"inputs": polish, "class_type": "Polish"}
        feeds.append([str(100 + number), 1])
    for name, call in api.items():
        call["_meta"] = {"title": f"node {name}"}
    return api


def as_saved(api: dict[str, Any], controls: list[str]) -> dict[str, Any]:
    """An API graph as the editor would save it, without the reader's code."""
    classes = {"Source": Source, "Sample": Sample, "Polish": Polish}
    nodes, links = [], []
    for name, call in api.items():
        groups = classes[call["class_type"]].INPUT_TYPES()
        entries = groups["required"] | groups.get("optional", {})
        slots, values = [], []
        for key, entry in entries.items():
            value = call["inputs"].get(key)
            widget = entry[0] in ("INT", "FLOAT", "STRING", "BOOLEAN", "COMBO") or isinstance(entry[0], list)
            widget = widget and not (len(entry) > 1 and entry[1].get("forceInput"))
            link = None
            if isinstance(value, list):
                link = len(links) + 1
                links.append([link, int(value[0]), value[1], int(name), len(slots), "X"])
            if widget:
                values.append(3.5 if link else value)
                values += [controls[len(values) % len(controls)]] if key == "seed" else []
            slots.append(slot(key, "COMBO" if isinstance(entry[0], list) else entry[0], link, widget))
        outputs = [(kind, []) for kind in classes[call["class_type"]].RETURN_TYPES]
        nodes.append(node(int(name), call["class_type"], slots, outputs, values, title=call["_meta"]["title"]))
    return saved_file(nodes, links)


@settings(max_examples=60, deadline=None)
@given(api=graphs(), controls=st.permutations(["fixed", "randomize", "increment", "decrement"]))
def test_any_graph_survives_saving(api: dict[str, Any], controls: list[str]) -> None:
    table = NodeTable({"Source": Source, "Sample": Sample, "Polish": Polish})
    assert api_of(json.loads(json.dumps(as_saved(api, controls))), table) == api


JUNK = st.sampled_from([None, True, -1, 1e300, "", "x", "\ud800", [], [None], [1, 0], ["1", 0], {}, {"a": 1}])


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_a_damaged_place_never_raises(data: st.DataObject, simple: dict[str, Any], table: NodeTable) -> None:
    """Whatever stands in any one place of a saved file or an API export, the file is read or refused in words."""
    file = copy.deepcopy(data.draw(st.sampled_from([simple, SIMPLE_API])))
    parent, key = data.draw(st.sampled_from(list(places(file))))
    parent[key] = data.draw(JUNK)
    try:
        workflow = read_workflow(file, table)
    except WorkflowError:
        return
    assert all(str(problem) for problem in [*workflow.problems, *validate(workflow.graph, table)])
    headline(workflow.graph, table)


def places(data: Any) -> Iterator[tuple[Any, Any]]:
    """Every list or object in the data with each of its indices or keys."""
    keys = data if isinstance(data, dict) else range(len(data)) if isinstance(data, list) else ()
    for key in keys:
        yield data, key
        yield from places(data[key])
