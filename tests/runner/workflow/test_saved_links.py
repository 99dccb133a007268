"""The links of a saved file: through reroutes, primitives, and bypassed and muted nodes."""

from __future__ import annotations

import copy
from typing import Any

from saved_workflows import SIMPLE_API, api_of, linked_steps, node, slot

from acestep_xl.runner.graph import Link
from acestep_xl.runner.node_table import NodeTable
from acestep_xl.runner.workflow.read import read_workflow


def test_object_links_of_newer_files(simple: dict[str, Any], table: NodeTable) -> None:
    names = ("id", "origin_id", "origin_slot", "target_id", "target_slot", "type")
    simple["links"] = [dict(zip(names, link, strict=True)) for link in simple["links"]]
    assert api_of(simple, table) == SIMPLE_API


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


def with_polish(simple: dict[str, Any], mode: int) -> dict[str, Any]:
    """Sampler 2 -> polish 60, in this mode -> save 3."""
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
    simple["nodes"].append(node(60, "UnknownNode", inputs, [("VAE", []), ("LATENT", [24])], [], 4))
    simple["nodes"].append(node(61, "Polish", [], [("LATENT", [13]), ("FLOAT", [])], []))
    simple["nodes"][2]["inputs"][0]["link"] = 24
    simple["links"] += [[13, 61, 0, 60, 0, "LATENT"], [24, 60, 1, 3, 0, "LATENT"]]
    assert api_of(simple, table)["3"]["inputs"]["latent"] == ["2", 0]


def test_bypass_without_a_matching_input_leaves_the_widget_value(simple: dict[str, Any], table: NodeTable) -> None:
    data = linked_steps(simple, 80, [node(80, "Source", [], [("INT", [20])], ["a.safetensors", "x"], 4)], [])
    assert api_of(data, table) == SIMPLE_API


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


def test_empty_links_of_older_editors_are_ignored(simple: dict[str, Any], table: NodeTable) -> None:
    simple["links"] = [None, [None] * 6, *simple["links"]]
    assert api_of(simple, table) == SIMPLE_API
