"""Subgraphs of a saved file, expanded into their nodes."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from saved_workflows import api_of, node, saved_file, slot

from acestep_xl.runner.node_table import NodeTable
from acestep_xl.runner.workflow.read import read_workflow


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
    return saved_file([simple["nodes"][0], use, simple["nodes"][2]], links, definitions={"subgraphs": [inside]})


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


def test_subgraphs_that_multiply_are_refused_at_once(table: NodeTable) -> None:
    definitions = [
        {
            "id": f"s{i}",
            "nodes": [node(1, f"s{i + 1}", [], [], []), node(2, f"s{i + 1}", [], [], [])],
            "links": [],
            "inputs": [],
            "outputs": [],
        }
        for i in range(60)
    ]
    data = saved_file([node(1, "s0", [], [], [])], [], definitions={"subgraphs": definitions})
    assert "subgraphs in subgraphs" in str(read_workflow(data, table).problems[0])
