"""Declarations of ComfyUI's nodes that run here."""

from __future__ import annotations

import inspect
from typing import Any

import pytest

from acestep_xl.nodes import table as own
from acestep_xl.nodes.native.table import NATIVE_CLASS_MAPPINGS, NATIVE_DISPLAY_NAME_MAPPINGS
from acestep_xl.parameters import native
from acestep_xl.runner import node_table
from acestep_xl.runner.node_table import NodeTable

NODES = NATIVE_CLASS_MAPPINGS.items()


@pytest.mark.parametrize(("name", "node"), NODES)
def test_inputs_equal_the_arguments_of_the_function(name: str, node: Any) -> None:
    declared = node.INPUT_TYPES()
    inputs = {**declared.get("required", {}), **declared.get("optional", {})}
    arguments = inspect.signature(getattr(node, node.FUNCTION)).parameters
    assert set(inputs) | set(declared.get("hidden", {})) == set(arguments) - {"self"}, name
    assert list(inputs) == list(native.INPUTS[name]), "the order is that of saved values"
    for required in declared.get("required", {}):
        assert arguments[required].default is inspect.Parameter.empty, required


def test_every_class_has_inputs_and_a_title() -> None:
    assert NATIVE_DISPLAY_NAME_MAPPINGS.keys() == NATIVE_CLASS_MAPPINGS.keys() == native.INPUTS.keys()
    assert len(set(NATIVE_CLASS_MAPPINGS.values())) == len(NATIVE_CLASS_MAPPINGS)
    assert native.OPTIONAL.keys() <= native.INPUTS.keys()


def test_an_unknown_class_is_named() -> None:
    with pytest.raises(KeyError, match=r"unknown native class 'Nothing'; known: .*EmptyAceStep1\.5LatentAudio"):
        native.input_types("Nothing")


def test_a_class_may_change_what_it_declares() -> None:
    native.input_types("SaveAudio")["required"]["filename_prefix"][1]["default"] = "other"
    assert native.input_types("SaveAudio")["required"]["filename_prefix"][1]["default"] == "audio/ComfyUI"


def test_they_run_only_without_comfyui(monkeypatch: pytest.MonkeyPatch) -> None:
    assert NodeTable.shipped().classes.keys() == own.NODE_CLASS_MAPPINGS.keys() | NATIVE_CLASS_MAPPINGS.keys()
    assert NodeTable.shipped().title("VAEDecodeAudioTiled") == "VAE Decode Audio (Tiled)"
    monkeypatch.setattr(node_table, "inside_comfyui", lambda: True)
    assert NodeTable.shipped().classes == own.NODE_CLASS_MAPPINGS


def test_no_class_is_both_ours_and_theirs() -> None:
    assert not own.NODE_CLASS_MAPPINGS.keys() & NATIVE_CLASS_MAPPINGS.keys()
