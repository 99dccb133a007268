"""Declarations of the nodes: inputs, tooltips, names and parameters."""

from __future__ import annotations

import dataclasses
import inspect
from typing import Any

import graphs
import pytest

from acestep_xl import WEB_DIRECTORY, parameters
from acestep_xl.nodes.table import NODE_CLASS_MAPPINGS, NODE_DISPLAY_NAME_MAPPINGS
from acestep_xl.service.settings import ServiceSettings

NODES = NODE_CLASS_MAPPINGS.items()


def inputs(node: Any) -> dict[str, tuple[Any, dict[str, Any]]]:
    declared = node.INPUT_TYPES()
    return {**declared.get("required", {}), **declared.get("optional", {})}


@pytest.mark.parametrize(("name", "node"), NODES)
def test_inputs_equal_the_arguments_of_the_function(name: str, node: Any) -> None:
    declared = node.INPUT_TYPES()
    arguments = inspect.signature(getattr(node, node.FUNCTION)).parameters
    assert set(inputs(node)) | set(declared.get("hidden", {})) == set(arguments) - {"self"}, name
    for optional in {**declared.get("optional", {}), **declared.get("hidden", {})}:
        assert arguments[optional].default is not inspect.Parameter.empty, optional
    for required in declared["required"]:
        assert arguments[required].default is inspect.Parameter.empty, required


@pytest.mark.parametrize(("name", "node"), NODES)
def test_every_input_and_output_is_documented(name: str, node: Any) -> None:
    for key, (kind, options) in inputs(node).items():
        assert options["tooltip"].endswith("."), (name, key)
        default = options.get("default")
        if isinstance(kind, list):
            assert default is None or default in kind, (name, key)
        elif kind in ("INT", "FLOAT"):
            assert options["min"] <= default <= options["max"], (name, key)
            assert isinstance(default, int if kind == "INT" else float), (name, key)
    assert len(getattr(node, "RETURN_NAMES", ())) == len(node.RETURN_TYPES) == len(getattr(node, "OUTPUT_TOOLTIPS", ()))
    assert node.DESCRIPTION.endswith(".")
    assert node.CATEGORY.startswith("audio/ACE-Step XL")
    assert node.SEARCH_ALIASES


def test_every_node_has_a_name_and_a_prefix() -> None:
    assert NODE_DISPLAY_NAME_MAPPINGS.keys() == NODE_CLASS_MAPPINGS.keys()
    assert all(name.startswith("AceStepXL") for name in NODE_CLASS_MAPPINGS)
    assert len(set(NODE_CLASS_MAPPINGS.values())) == len(NODE_CLASS_MAPPINGS)
    assert WEB_DIRECTORY == "./web"


def test_every_parameter_of_the_table_is_used() -> None:
    """A range that no input uses would mislead."""
    shown = [options.get("tooltip") for node in NODE_CLASS_MAPPINGS.values() for _, options in inputs(node).values()]
    settings = {f"service_{field.name}" for field in dataclasses.fields(ServiceSettings)}
    unused = [name for name, entry in parameters.PARAMETERS.items() if entry.help not in shown and name not in settings]
    assert unused == []


def test_an_unknown_parameter_is_named() -> None:
    with pytest.raises(KeyError, match="unknown parameter 'tempo'; known: caption"):
        parameters.get("tempo")


def test_the_test_graph_states_every_required_input() -> None:
    for call in graphs.text_to_music().values():
        node: Any = NODE_CLASS_MAPPINGS[call["class_type"]]
        assert set(node.INPUT_TYPES()["required"]) <= set(call["inputs"])
