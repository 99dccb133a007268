"""Nodes that only hold a value, in both formats."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from saved_workflows import SIMPLE_API, api_of, linked_steps, node, slot

from acestep_xl.runner.node_table import NodeTable
from acestep_xl.runner.workflow.read import read_workflow

PRIMITIVES = {
    "PrimitiveInt": ("steps", 33),
    "PrimitiveFloat": ("scale", 2.5),
    "PrimitiveString": ("text", "a song"),
    "PrimitiveStringMultiline": ("text", "a\nsong"),
    "PrimitiveBoolean": ("flag", True),
    "INTConstant": ("steps", 21),
}


def expected(name: str, value: Any) -> dict[str, Any]:
    api = copy.deepcopy(SIMPLE_API)
    api["2"]["inputs"][name] = value
    return api


@pytest.mark.parametrize("kind", PRIMITIVES)
def test_in_an_api_export(kind: str, table: NodeTable) -> None:
    name, value = PRIMITIVES[kind]
    api = expected(name, ["9", 0]) | {"9": {"class_type": kind, "inputs": {"value": value}}}
    assert api_of(api, table) == expected(name, value)


@pytest.mark.parametrize("stored", [[33, "fixed"], [33], {"value": 33}])
def test_in_a_saved_file(stored: Any, simple: dict[str, Any], table: NodeTable) -> None:
    primitive = node(60, "PrimitiveInt", [slot("value", "INT", None, True)], [("INT", [20])], stored)
    assert api_of(linked_steps(simple, 60, [primitive], []), table) == expected("steps", 33)


def test_a_value_handed_from_one_to_the_next(simple: dict[str, Any], table: NodeTable) -> None:
    first = node(60, "PrimitiveInt", [slot("value", "INT", None, True)], [("INT", [21])], [44, "randomize"])
    second = node(61, "PrimitiveInt", [slot("value", "INT", 21, True)], [("INT", [20])], [1, "fixed"])
    data = linked_steps(simple, 61, [first, second], [[21, 60, 0, 61, 0, "INT"]])
    assert api_of(data, table) == expected("steps", 44)


def test_a_value_through_a_name(simple: dict[str, Any], table: NodeTable) -> None:
    nodes = [
        node(60, "PrimitiveInt", [slot("value", "INT", None, True)], [("INT", [21])], [55, "fixed"]),
        node(61, "SetNode", [slot("INT", "INT", 21)], [("*", [])], ["steps"]),
        node(62, "GetNode", [], [("INT", [20])], ["steps"]),
    ]
    data = linked_steps(simple, 62, nodes, [[21, 60, 0, 61, 0, "INT"]])
    assert api_of(data, table) == expected("steps", 55)


def test_values_that_lead_to_each_other_are_no_values(table: NodeTable) -> None:
    holders = {str(n): {"class_type": "PrimitiveInt", "inputs": {"value": [str(m), 0]}} for n, m in ((8, 9), (9, 8))}
    graph = read_workflow(expected("steps", ["9", 0]) | holders, table).graph
    assert "9" in graph, "the unknown node is reported"


def test_a_class_of_the_table_is_left_to_it(table: NodeTable) -> None:
    table = NodeTable({**table.classes, "PrimitiveInt": table.classes["Source"]})
    api = expected("steps", ["9", 0]) | {"9": {"class_type": "PrimitiveInt", "inputs": {"value": 3}}}
    assert "9" in read_workflow(api, table).graph
