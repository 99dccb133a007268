"""Both workflow formats read as the same graph.

The saved files are written by hand as ComfyUI's editor 1.43 writes them: widget values by position, the seed control
after the seed, links as [id, from, slot, to, slot, type].
"""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from toy_nodes import Sample, Save

from acestep_xl.runner.api_format import to_api
from acestep_xl.runner.graph import Link, WorkflowError
from acestep_xl.runner.node_table import NodeTable
from acestep_xl.runner.read import load_json, read_workflow


class Source:
    RETURN_TYPES = ("MODEL", "VAE")
    FUNCTION = "run"

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        return {
            "required": {
                "name": (["a.safetensors", "b.safetensors"], {}),
                "precision": ("COMBO", {"options": ["x", "y"]}),
            }
        }


class Polish:
    RETURN_TYPES = ("LATENT", "FLOAT")
    FUNCTION = "run"

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        return {"required": {"amount": ("FLOAT", {"default": 0.5}), "latent": ("LATENT",)}}


class SaveFile(Save):
    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        return {"required": {"latent": ("LATENT",), "vae": ("VAE",), "prefix": ("STRING", {"default": "out"})}}


@pytest.fixture
def table() -> NodeTable:
    classes = {"Source": Source, "Sample": Sample, "Polish": Polish, "Save": SaveFile}
    return NodeTable(classes, {"Source": "Load It", "Sample": "Sample It"})


def slot(name: str, kind: str, link: int | None = None, widget: bool = False) -> dict[str, Any]:
    entry: dict[str, Any] = {"localized_name": name, "name": name, "type": kind}
    if widget:
        entry["widget"] = {"name": name}
    return entry | {"link": link}


def node(
    node_id: int,
    kind: str,
    inputs: list[Any],
    outputs: list[tuple[str, list[int]]],
    values: Any,
    mode: int = 0,
    **extra: Any,
) -> dict[str, Any]:
    return {
        "id": node_id,
        "type": kind,
        "pos": [10.5, 20],
        "size": [270, 120],
        "flags": {},
        "order": 0,
        "mode": mode,
        "inputs": inputs,
        "outputs": [{"localized_name": t, "name": t, "type": t, "links": links or None} for t, links in outputs],
        "properties": {"cnr_id": "acestep-xl", "ver": "0.1.0", "Node name for S&R": kind},
        "widgets_values": values,
    } | extra


def saved(nodes: list[Any], links: list[list[Any]], **extra: Any) -> dict[str, Any]:
    return {
        "id": "88ac5dad-efd7-40bb-84fe-fbaefdee1fa9",
        "revision": 0,
        "last_node_id": 99,
        "last_link_id": 99,
        "nodes": nodes,
        "links": links,
        "groups": [],
        "config": {},
        "extra": {"ds": {"scale": 1, "offset": [0, 0]}, "frontendVersion": "1.43.18"},
        "version": 0.4,
    } | extra


@pytest.fixture
def simple() -> dict[str, Any]:
    """Loader 1 -> sampler 2 (seed linked away from its widget) -> save 3."""
    return saved(
        [
            node(1, "Source", [slot("name", "COMBO", None, True), slot("precision", "COMBO", None, True)],
                 [("MODEL", [10]), ("VAE", [11])], ["b.safetensors", "y"]),
            node(2, "Sample", [slot("model", "MODEL", 10), slot("fed", "FLOAT"), slot("seed", "INT", None, True),
                               slot("steps", "INT", None, True)],
                 [("LATENT", [12])], [123456789012345678, "randomize", 8, 4.5, "a\nsong", False], title="My sampler"),
            node(3, "Save", [slot("latent", "LATENT", 12), slot("vae", "VAE", 11),
                             slot("prefix", "STRING", None, True)], [], ["audio/x"]),
        ],
        [[10, 1, 0, 2, 0, "MODEL"], [11, 1, 1, 3, 1, "VAE"], [12, 2, 0, 3, 0, "LATENT"]],
    )  # fmt: skip


SIMPLE_API = {
    "1": {
        "inputs": {"name": "b.safetensors", "precision": "y"},
        "class_type": "Source",
        "_meta": {"title": "Load It"},
    },
    "2": {
        "inputs": {
            "seed": 123456789012345678,
            "steps": 8,
            "scale": 4.5,
            "text": "a\nsong",
            "flag": False,
            "model": ["1", 0],
        },
        "class_type": "Sample",
        "_meta": {"title": "My sampler"},
    },
    "3": {
        "inputs": {"prefix": "audio/x", "latent": ["2", 0], "vae": ["1", 1]},
        "class_type": "Save",
        "_meta": {"title": "Save"},
    },
}


def api_of(data: dict[str, Any], table: NodeTable) -> dict[str, Any]:
    workflow = read_workflow(copy.deepcopy(data), table)
    assert workflow.problems == []
    return to_api(workflow.graph)


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


def test_object_links_of_newer_files(simple: dict[str, Any], table: NodeTable) -> None:
    names = ("id", "origin_id", "origin_slot", "target_id", "target_slot", "type")
    simple["links"] = [dict(zip(names, link, strict=True)) for link in simple["links"]]
    assert api_of(simple, table) == SIMPLE_API


def test_unlinked_widget_slots_may_be_left_out(simple: dict[str, Any], table: NodeTable) -> None:
    for entry in simple["nodes"]:
        entry["inputs"] = [i for i in entry["inputs"] if not ("widget" in i and i["link"] is None)]
    assert api_of(simple, table) == SIMPLE_API


def test_widget_values_by_name(simple: dict[str, Any], table: NodeTable) -> None:
    simple["nodes"][1]["widgets_values"] = {
        "seed": 123456789012345678, "steps": 8, "scale": 4.5, "text": "a\nsong", "flag": False, "preview": {},
    }  # fmt: skip
    assert api_of(simple, table) == SIMPLE_API


def test_older_file_gets_defaults_for_newer_widgets(simple: dict[str, Any], table: NodeTable) -> None:
    simple["nodes"][1]["widgets_values"] = [5, "fixed", 8]
    simple["nodes"][0]["widgets_values"] = []
    api = api_of(simple, table)
    assert api["2"]["inputs"] == {"seed": 5, "steps": 8, "scale": 7.0, "text": "", "flag": True, "model": ["1", 0]}
    assert api["1"]["inputs"] == {"name": "a.safetensors", "precision": "x"}


def test_seed_without_stored_control(simple: dict[str, Any], table: NodeTable) -> None:
    simple["nodes"][1]["widgets_values"] = [5, 8, 1.5, "t", True]
    assert api_of(simple, table)["2"]["inputs"]["text"] == "t"


def test_values_of_browser_players_and_buttons_are_ignored(simple: dict[str, Any], table: NodeTable) -> None:
    simple["nodes"][2]["widgets_values"] += ["", None, {"name": "upload", "type": "button"}]
    assert api_of(simple, table) == SIMPLE_API


def test_surplus_numbers_are_a_problem(simple: dict[str, Any], table: NodeTable) -> None:
    simple["nodes"][2]["widgets_values"] += [3, 4]
    (problem,) = read_workflow(simple, table).problems
    assert problem.node == "3"
    assert "2 more widget values" in str(problem)


def linked_steps(simple: dict[str, Any], origin: int, nodes: list[Any], links: list[Any]) -> dict[str, Any]:
    """The simple graph with its steps fed by link 20 from another node."""
    simple["nodes"][1]["inputs"][3]["link"] = 20
    simple["nodes"] += nodes
    simple["links"] += [*links, [20, origin, 0, 2, 3, "INT"]]
    return simple


def test_a_primitive_node_is_a_literal_and_reroutes_pass_it_on(simple: dict[str, Any], table: NodeTable) -> None:
    primitive = node(50, "PrimitiveNode", [], [("INT", [21])], [33, "fixed"], title="steps")
    reroute = node(51, "Reroute", [{"name": "", "type": "*", "link": 21}], [("INT", [20])], None)
    data = linked_steps(simple, 51, [primitive, reroute], [[21, 50, 0, 51, 0, "*"]])
    expected = copy.deepcopy(SIMPLE_API)
    expected["2"]["inputs"]["steps"] = 33
    assert api_of(data, table) == expected


def test_reroute_keeps_a_link(simple: dict[str, Any], table: NodeTable) -> None:
    simple["nodes"].append(node(51, "Reroute", [{"name": "", "type": "*", "link": 10}], [("MODEL", [22])], []))
    simple["nodes"][1]["inputs"][0]["link"] = 22
    simple["links"] = [*simple["links"][1:], [10, 1, 0, 51, 0, "*"], [22, 51, 0, 2, 0, "MODEL"]]
    assert api_of(simple, table) == SIMPLE_API


def test_a_linked_widget_keeps_its_position(simple: dict[str, Any], table: NodeTable) -> None:
    polish = node(60, "Polish", [slot("latent", "LATENT", 12)], [("LATENT", []), ("FLOAT", [23])], [0.25])
    simple["nodes"].append(polish)
    simple["nodes"][1]["inputs"].append(slot("scale", "FLOAT", 23, True))
    simple["links"] += [[23, 60, 1, 2, 4, "FLOAT"]]
    inputs = api_of(simple, table)["2"]["inputs"]
    assert inputs["scale"] == ["60", 1]
    assert (inputs["steps"], inputs["text"], inputs["flag"]) == (8, "a\nsong", False)


def test_notes_and_unused_nodes(simple: dict[str, Any], table: NodeTable) -> None:
    simple["nodes"] += [node(70, "Note", [], [], ["hello"]), node(71, "MarkdownNote", [], [], ["# hi"])]
    assert api_of(simple, table) == SIMPLE_API


def with_polish(simple: dict[str, Any], mode: int) -> dict[str, Any]:
    """Sampler 2 -> polish 60 (in the given mode) -> save 3."""
    simple["nodes"].append(node(60, "Polish", [slot("amount", "FLOAT", None, True), slot("latent", "LATENT", 12)],
                                [("LATENT", [24]), ("FLOAT", [])], [0.25], mode))  # fmt: skip
    simple["nodes"][2]["inputs"][0]["link"] = 24
    simple["links"] = [*simple["links"][:2], [12, 2, 0, 60, 1, "LATENT"], [24, 60, 0, 3, 0, "LATENT"]]
    return simple


def test_a_bypassed_node_passes_on_its_input_of_that_type(simple: dict[str, Any], table: NodeTable) -> None:
    assert api_of(with_polish(simple, 4), table) == SIMPLE_API


def test_a_muted_node_drops_the_inputs_it_feeds(simple: dict[str, Any], table: NodeTable) -> None:
    api = api_of(with_polish(simple, 2), table)
    assert "60" not in api
    assert api["3"]["inputs"] == {"prefix": "audio/x", "vae": ["1", 1]}


def test_a_muted_node_drops_the_widget_value_it_replaces(simple: dict[str, Any], table: NodeTable) -> None:
    data = linked_steps(simple, 80, [node(80, "Source", [], [("INT", [20])], ["a.safetensors", "x"], 2)], [])
    assert "steps" not in api_of(data, table)["2"]["inputs"]


def test_bypass_prefers_the_exact_type(simple: dict[str, Any], table: NodeTable) -> None:
    inputs = [slot("any", "LATENT,IMAGE", 13), slot("vae", "VAE"), slot("latent", "LATENT", 12)]
    simple["nodes"].append(node(60, "Unheard", inputs, [("VAE", []), ("LATENT", [24])], [], 4))
    simple["nodes"].append(node(61, "Polish", [], [("LATENT", [13]), ("FLOAT", [])], []))
    simple["nodes"][2]["inputs"][0]["link"] = 24
    simple["links"] += [[13, 61, 0, 60, 0, "LATENT"], [24, 60, 1, 3, 0, "LATENT"]]
    assert api_of(simple, table)["3"]["inputs"]["latent"] == ["2", 0]


def test_bypass_without_a_matching_input_leaves_the_widget_value(simple: dict[str, Any], table: NodeTable) -> None:
    data = linked_steps(simple, 80, [node(80, "Source", [], [("INT", [20])], ["a.safetensors", "x"], 4)], [])
    assert api_of(data, table) == SIMPLE_API


def subgraph(simple: dict[str, Any]) -> dict[str, Any]:
    """The simple graph with sampler and polish inside a subgraph 9, which promotes the sampler's scale."""
    inside = {
        "id": "f2e2ae00-c892-4af3-81bd-68de1e31fa9b",
        "version": 1,
        "name": "Make",
        "inputNode": {"id": -10, "bounding": [0, 0, 1, 1]},
        "outputNode": {"id": -20, "bounding": [0, 0, 1, 1]},
        "inputs": [{"id": "i0", "name": "model", "type": "MODEL", "linkIds": [1]},
                   {"id": "i1", "name": "scale", "type": "FLOAT", "linkIds": [2, 5]}],
        "outputs": [{"id": "o0", "name": "LATENT", "type": "LATENT", "linkIds": [4]}],
        "widgets": [],
        "nodes": [
            node(2, "Sample", [slot("model", "MODEL", 1), slot("scale", "FLOAT", 2, True), slot("fed", "FLOAT", 5)],
                 [("LATENT", [3])], [1, "fixed", 8, 4.5, "t", True], title="Inner"),
            node(60, "Polish", [slot("latent", "LATENT", 3)], [("LATENT", [4]), ("FLOAT", [])], [0.25]),
        ],
        "links": [
            {"id": 1, "origin_id": -10, "origin_slot": 0, "target_id": 2, "target_slot": 0, "type": "MODEL"},
            {"id": 2, "origin_id": -10, "origin_slot": 1, "target_id": 2, "target_slot": 1, "type": "FLOAT"},
            {"id": 5, "origin_id": -10, "origin_slot": 1, "target_id": 2, "target_slot": 2, "type": "FLOAT"},
            {"id": 3, "origin_id": 2, "origin_slot": 0, "target_id": 60, "target_slot": 0, "type": "LATENT"},
            {"id": 4, "origin_id": 60, "origin_slot": 0, "target_id": -20, "target_slot": 0, "type": "LATENT"},
        ],
    }  # fmt: skip
    use = node(9, inside["id"], [slot("model", "MODEL", 10), slot("scale", "FLOAT", None, True)],
               [("LATENT", [12])], [])  # fmt: skip
    use["properties"] = {"proxyWidgets": [["2", "scale"], ["60", "amount"]]}
    links = [[10, 1, 0, 9, 0, "MODEL"], [11, 1, 1, 3, 1, "VAE"], [12, 9, 0, 3, 0, "LATENT"]]
    return saved([simple["nodes"][0], use, simple["nodes"][2]], links, definitions={"subgraphs": [inside]})


def test_a_subgraph_is_expanded(simple: dict[str, Any], table: NodeTable) -> None:
    api = api_of(subgraph(simple), table)
    assert list(api) == ["1", "9:2", "9:60", "3"]
    assert api["9:2"]["inputs"]["model"] == ["1", 0]
    assert api["9:2"]["inputs"]["scale"] == 4.5
    assert api["9:2"]["inputs"]["fed"] == 4.5, "a socket fed by a promoted widget gets its value"
    assert api["9:60"]["inputs"] == {"amount": 0.25, "latent": ["9:2", 0]}
    assert api["3"]["inputs"]["latent"] == ["9:60", 0]
    assert api["9:2"]["_meta"]["title"] == "Inner"


def test_a_promoted_value_stored_on_the_subgraph_node(simple: dict[str, Any], table: NodeTable) -> None:
    data = subgraph(simple)
    data["nodes"][1]["properties"]["proxyWidgets"] = [["60", "amount"], ["-1", "scale"]]
    data["nodes"][1]["widgets_values"] = [None, 6.5]
    assert api_of(data, table)["9:2"]["inputs"]["scale"] == 6.5


def test_a_subgraph_input_fed_from_outside(simple: dict[str, Any], table: NodeTable) -> None:
    data = subgraph(simple)
    data["nodes"].append(node(50, "PrimitiveNode", [], [("FLOAT", [30])], [2.5, "fixed"]))
    data["nodes"][1]["inputs"][1]["link"] = 30
    data["links"].append([30, 50, 0, 9, 1, "FLOAT"])
    assert api_of(data, table)["9:2"]["inputs"]["scale"] == 2.5


@pytest.mark.parametrize("mode", [2, 4])
def test_a_muted_or_bypassed_subgraph_runs_nothing(mode: int, simple: dict[str, Any], table: NodeTable) -> None:
    data = subgraph(simple)
    data["nodes"][1]["mode"] = mode
    api = api_of(data, table)
    assert list(api) == ["1", "3"]
    assert "latent" not in api["3"]["inputs"]


def test_two_instances_of_a_subgraph_are_two_sets_of_nodes(simple: dict[str, Any], table: NodeTable) -> None:
    data = subgraph(simple)
    second = copy.deepcopy(data["nodes"][1]) | {"id": 8}
    second["inputs"][0]["link"] = 31
    data["nodes"].append(second)
    data["links"].append([31, 1, 0, 8, 0, "MODEL"])
    assert set(api_of(data, table)) == {"1", "9:2", "9:60", "3", "8:2", "8:60"}


def test_a_subgraph_that_contains_itself_is_refused(simple: dict[str, Any], table: NodeTable) -> None:
    data = subgraph(simple)
    inside = data["definitions"]["subgraphs"][0]
    inside["nodes"].append(node(7, inside["id"], [], [], []))
    assert "contains itself" in str(read_workflow(data, table).problems[0])


def test_broken_links_are_reported_and_the_rest_is_read(simple: dict[str, Any], table: NodeTable) -> None:
    simple["nodes"][1]["inputs"][0]["link"] = 77
    simple["links"][1] = [11, 404, 1, 3, 1, "VAE"]
    workflow = read_workflow(simple, table)
    texts = [str(problem) for problem in workflow.problems]
    assert len(texts) == 2
    assert "node 2 (My sampler)" in texts[0] and "input model" in texts[0] and "77" in texts[0]
    assert "node 3 (Save)" in texts[1] and "404" in texts[1]
    assert workflow.graph["3"].inputs["latent"] == Link("2", 0)


def test_a_cycle_of_reroutes_is_refused(simple: dict[str, Any], table: NodeTable) -> None:
    reroutes = [node(51, "Reroute", [{"name": "", "type": "*", "link": 41}], [("*", [42, 20])], []),
            node(52, "Reroute", [{"name": "", "type": "*", "link": 42}], [("*", [41])], [])]  # fmt: skip
    data = linked_steps(simple, 51, reroutes, [[41, 52, 0, 51, 0, "*"], [42, 51, 0, 52, 0, "*"]])
    assert "back to itself" in str(read_workflow(data, table).problems[0])


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
    """An API graph as the editor would save it, written independently of the reader."""
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
    return saved(nodes, links)


@settings(max_examples=60, deadline=None)
@given(api=graphs(), controls=st.permutations(["fixed", "randomize", "increment", "decrement"]))
def test_any_graph_survives_saving(api: dict[str, Any], controls: list[str]) -> None:
    table = NodeTable({"Source": Source, "Sample": Sample, "Polish": Polish})
    assert api_of(json.loads(json.dumps(as_saved(api, controls))), table) == api
