"""Nodes that exist only in the editor: reroutes, values set and read by name, notes, and switches of other nodes."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

import pytest
from saved_workflows import SIMPLE_API, api_of, linked_steps, node, slot

from acestep_xl.runner.node_table import NodeTable
from acestep_xl.runner.workflow.foreign_classes import explanation
from acestep_xl.runner.workflow.read import read_workflow

SUBGRAPH = "8bf3a1c9-0000-4000-8000-000000000001"


def setter(node_id: int, name: str, link: int | None, kind: str = "SetNode", mode: int = 0) -> dict[str, Any]:
    return node(node_id, kind, [slot("VAE", "VAE", link)], [("*", [])], [name], mode, title=f"Set_{name}")


def getter(node_id: int, name: str, links: list[int], kind: str = "GetNode", mode: int = 0) -> dict[str, Any]:
    return node(node_id, kind, [], [("VAE", links)], [name], mode, title=f"Get_{name}")


def through(simple: dict[str, Any], nodes: list[Any], last: int, links: Sequence[Any] = ()) -> dict[str, Any]:
    """The simple graph with the VAE going into the first node (link 11) and from the last into the save node (50)."""
    simple["nodes"][2]["inputs"][1]["link"] = 50
    simple["nodes"] += nodes
    simple["links"][1][3:5] = [nodes[0]["id"], 0]
    simple["links"] += [*links, [50, last, 0, 3, 1, "VAE"]]
    return simple


def problems_of(data: dict[str, Any], table: NodeTable) -> list[str]:
    return [str(problem) for problem in read_workflow(copy.deepcopy(data), table).problems]


@pytest.mark.parametrize(("set_kind", "get_kind"), [("SetNode", "GetNode"), ("easy setNode", "easy getNode")])
@pytest.mark.parametrize("mode", [0, 2])
def test_a_value_set_and_read_by_name_is_a_link(
    set_kind: str, get_kind: str, mode: int, simple: dict[str, Any], table: NodeTable
) -> None:
    nodes = [setter(60, "the vae", 11, set_kind, mode), getter(61, "the vae", [50], get_kind, mode)]
    assert api_of(through(simple, nodes, 61), table) == SIMPLE_API


def test_the_output_of_a_set_node_passes_its_input_on(simple: dict[str, Any], table: NodeTable) -> None:
    assert api_of(through(simple, [setter(60, "VAE", 11)], 60), table) == SIMPLE_API


def test_names_read_through_reroutes_and_other_names(simple: dict[str, Any], table: NodeTable) -> None:
    reroute = node(62, "Reroute (rgthree)", [{"name": "", "type": "*", "link": 51}], [("*", [52])], None)
    nodes = [setter(60, "a", 11), getter(61, "a", [51]), reroute, setter(63, "b", 52), getter(64, "b", [50])]
    links = [[51, 61, 0, 62, 0, "*"], [52, 62, 0, 63, 0, "*"]]
    assert api_of(through(simple, nodes, 64, links), table) == SIMPLE_API


def test_a_name_that_nothing_sets_is_refused(simple: dict[str, Any], table: NodeTable) -> None:
    nodes = [setter(60, "vae", 11), getter(61, "VAE", [50])]
    (problem,) = problems_of(through(simple, nodes, 61), table)
    assert "node 3 (Save): input vae" in problem and "'VAE'" in problem and "no SetNode sets" in problem


def test_a_name_that_two_nodes_set_is_refused(simple: dict[str, Any], table: NodeTable) -> None:
    nodes = [setter(60, "VAE", 11), setter(62, "VAE", None), getter(61, "VAE", [50])]
    (problem,) = problems_of(through(simple, nodes, 61), table)
    assert "nodes 60 and 62 set" in problem and "different names" in problem


def test_a_set_node_without_input_leaves_the_reader_unconnected(simple: dict[str, Any], table: NodeTable) -> None:
    data = linked_steps(simple, 61, [setter(60, "steps", None), getter(61, "steps", [20])], [])
    assert api_of(data, table) == SIMPLE_API, "the widget's value applies"


def test_names_that_lead_to_themselves_are_refused(simple: dict[str, Any], table: NodeTable) -> None:
    nodes = [setter(60, "a", 51), getter(61, "a", [51, 50])]
    data = through(simple, nodes, 61, [[51, 61, 0, 60, 0, "VAE"]])
    assert "back to itself" in problems_of(data, table)[0]


def in_subgraph(simple: dict[str, Any], inner: list[Any], links: list[Any], outer: list[Any]) -> dict[str, Any]:
    """The simple graph whose VAE comes out of a subgraph with these nodes."""
    simple["nodes"] += [*outer, node(70, SUBGRAPH, [], [("VAE", [50])], [])]
    simple["nodes"][2]["inputs"][1]["link"] = 50
    simple["links"].append([50, 70, 0, 3, 1, "VAE"])
    output = {"id": "o", "name": "VAE", "type": "VAE", "linkIds": [1]}
    simple["definitions"] = {
        "subgraphs": [
            {"id": SUBGRAPH, "name": "sub", "nodes": inner, "links": links, "inputs": [], "outputs": [output]}
        ]
    }
    return simple


def test_a_subgraph_reads_what_the_graph_around_it_sets(simple: dict[str, Any], table: NodeTable) -> None:
    simple["links"][1][3:5] = [60, 0]
    link = {"id": 1, "origin_id": 5, "origin_slot": 0, "target_id": -20, "target_slot": 0, "type": "VAE"}
    data = in_subgraph(simple, [getter(5, "VAE", [1])], [link], [setter(60, "VAE", 11)])
    assert api_of(data, table) == SIMPLE_API


def test_what_a_subgraph_sets_is_not_read_outside(simple: dict[str, Any], table: NodeTable) -> None:
    simple["nodes"].append(getter(61, "VAE", [50]))
    simple["nodes"][2]["inputs"][1]["link"] = 50
    simple["nodes"].append(node(70, SUBGRAPH, [], [], []))
    simple["links"].append([50, 61, 0, 3, 1, "VAE"])
    simple["definitions"] = {
        "subgraphs": [{"id": SUBGRAPH, "nodes": [setter(60, "VAE", None)], "links": [], "inputs": [], "outputs": []}]
    }
    assert "no SetNode sets" in problems_of(simple, table)[0]


@pytest.mark.parametrize("kind", ["Reroute", "Reroute (rgthree)", "ReroutePrimitive|pysssss", "RerouteMTB"])
def test_reroutes_of_any_pack_pass_on(kind: str, simple: dict[str, Any], table: NodeTable) -> None:
    reroute = node(60, kind, [{"name": "", "type": "*", "link": 11}], [("VAE", [50])], None)
    assert api_of(through(simple, [reroute], 60), table) == SIMPLE_API


@pytest.mark.parametrize(
    "kind",
    ["Note", "MarkdownNote", "Label (rgthree)", "Bookmark (rgthree)", "Fast Groups Muter (rgthree)", "Note+ (mtb)"],
)
def test_notes_labels_and_bookmarks_are_no_nodes(kind: str, simple: dict[str, Any], table: NodeTable) -> None:
    simple["nodes"].append(node(60, kind, [], [("*", [])], ["a text"], title="A label"))
    workflow = read_workflow(simple, table)
    assert (workflow.problems, workflow.notices) == ([], []) and "60" not in workflow.graph


def test_switches_connected_to_other_nodes_are_no_nodes(simple: dict[str, Any], table: NodeTable) -> None:
    muter = node(60, "Fast Muter (rgthree)", [slot("My sampler", "*", 51)], [("*", [52])], [], title="Muter")
    relay = node(61, "Mute / Bypass Repeater (rgthree)", [slot("", "*", 52)], [("*", [])], [])
    simple["nodes"] += [muter, relay]
    simple["links"] += [[51, 2, 0, 60, 0, "*"], [52, 60, 0, 61, 0, "*"]]
    assert api_of(simple, table) == SIMPLE_API


def test_a_long_chain_of_reroutes_is_refused_in_words(simple: dict[str, Any], table: NodeTable) -> None:
    count = 5000
    chain = [node(100 + i, "Reroute", [slot("", "*", 1000 + i)], [("*", [])], None) for i in range(count)]
    links = [[1000 + i, 99 + i, 0, 100 + i, 0, "*"] for i in range(1, count)]
    data = through(simple, chain, 99 + count, links)
    simple["links"][1][0] = 1000
    problems = problems_of(data, table)
    assert problems == [] or "too many nodes" in problems[0]


def broadcast(simple: dict[str, Any]) -> dict[str, Any]:
    """The simple graph whose VAE comes from node 1 through a node that feeds every open VAE input."""
    simple["nodes"][2]["inputs"][1]["link"] = None
    simple["nodes"].append(node(60, "Anything Everywhere", [slot("anything", "VAE", 11)], [], []))
    simple["links"][1][3:5] = [60, 0]
    return simple


def test_what_is_broadcast_is_a_link(simple: dict[str, Any], table: NodeTable) -> None:
    data = broadcast(simple)
    link = {"downstream": 3, "downstream_slot": 1, "upstream": "1", "upstream_slot": 1, "controller": 60, "type": "VAE"}
    data["extra"]["ue_links"] = [link]
    assert api_of(data, table) == SIMPLE_API


def test_a_broadcast_that_the_file_does_not_spell_out_is_refused(simple: dict[str, Any], table: NodeTable) -> None:
    graph = read_workflow(broadcast(simple), table).graph
    assert "60" in graph and "vae" not in graph["3"].inputs
    assert "converts its links to real ones" in explanation(graph["60"], graph)
