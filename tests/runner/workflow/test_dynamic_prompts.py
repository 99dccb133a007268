"""Texts that the editor rewrites when it queues a graph."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from saved_workflows import node, saved_file

from acestep_xl.runner.node_table import NodeTable
from acestep_xl.runner.workflow.dynamic_prompts import rewrite
from acestep_xl.runner.workflow.read import read_workflow


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("slow {waltz|march}", "slow march"),
        ("{a|{b|c} d} e", "c d e"),
        ("la // a comment\nla", "la \nla"),
        ("la /* one\ntwo */la", "la la"),
        (r"\{as it is\|\}", "{as it is|}"),
        (r"{a\|b}", "a|b"),
        ("never {closed|ever", "never ever"),
        ("closed} never", "closed} never"),
        ("{}", ""),
        ("[Verse]\nla (la)", "[Verse]\nla (la)"),
        ("ends in \\", "ends in \\"),
    ],
)
def test_the_last_alternative(text: str, expected: str) -> None:
    assert rewrite(text, lambda alternatives: alternatives[-1]) == expected


@given(st.text(alphabet="ab{}|\\/*\n", max_size=30))
def test_any_text_can_be_rewritten(text: str) -> None:
    assert isinstance(rewrite(text), str)


class Text:
    RETURN_TYPES = ()
    FUNCTION = "run"
    OUTPUT_NODE = True

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        return {"required": {"tags": ("STRING", {"dynamicPrompts": True}), "plain": ("STRING", {})}}


@pytest.mark.parametrize("values", [["{a}", "{a}"], {"tags": "{a}", "plain": "{a}"}])
def test_only_widgets_that_say_so_in_saved_files(values: Any) -> None:
    table = NodeTable({"Text": Text})
    graph = read_workflow(saved_file([node(1, "Text", [], [], values)], []), table).graph
    assert graph["1"].inputs == {"tags": "a", "plain": "{a}"}
    api = {"1": {"class_type": "Text", "inputs": {"tags": "{a}", "plain": "{a}"}}}
    assert read_workflow(api, table).graph["1"].inputs["tags"] == "{a}", "an export is what was queued"
