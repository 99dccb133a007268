"""The widget values of a saved file, by position and by name."""

from __future__ import annotations

from typing import Any

from saved_workflows import SIMPLE_API, api_of, node, slot

from acestep_xl.runner.node_table import NodeTable
from acestep_xl.runner.workflow.read import read_workflow


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


def test_a_linked_widget_keeps_its_position(simple: dict[str, Any], table: NodeTable) -> None:
    polish = node(60, "Polish", [slot("latent", "LATENT", 12)], [("LATENT", []), ("FLOAT", [23])], [0.25])
    simple["nodes"].append(polish)
    simple["nodes"][1]["inputs"].append(slot("scale", "FLOAT", 23, True))
    simple["links"] += [[23, 60, 1, 2, 4, "FLOAT"]]
    inputs = api_of(simple, table)["2"]["inputs"]
    assert inputs["scale"] == ["60", 1]
    assert (inputs["steps"], inputs["text"], inputs["flag"]) == (8, "a\nsong", False)
