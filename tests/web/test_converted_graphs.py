"""A converted file opened in ComfyUI's editor, in each frontend and renderer."""

from __future__ import annotations

import itertools
from typing import Any

import native_songs
import pytest
from comfy_server import ComfyServer, needs_comfyui, table_of
from comfyui_page import open_workflow, save_screenshot

from acestep_xl.host import use
from acestep_xl.host.headless import HeadlessHost
from acestep_xl.runner.convert.editor_file import to_editor
from acestep_xl.runner.convert.replacements import convert
from acestep_xl.runner.convert.source import read_source
from acestep_xl.runner.node_table import NodeTable
from acestep_xl.runner.workflow.api_format import to_api
from acestep_xl.runner.workflow.read import read_workflow

pytestmark = [needs_comfyui, pytest.mark.slow]

QUEUED = "app.graphToPrompt().then((prompt) => arguments[0](prompt.output))"
BOXES = "return app.graph._nodes.map((node) => [...node.pos, ...node.size])"
TITLE = 30


def converted(graph: dict[str, Any]) -> dict[str, Any]:
    with use(HeadlessHost([], None, device="cpu")):
        table = NodeTable.shipped()
        source = read_source(graph, table)
        return to_editor(convert(source.graph, table, "cfg", {}), source)


@pytest.mark.parametrize(
    "graph", [native_songs.split(), native_songs.custom("heun", "normal")], ids=["split", "custom"]
)
def test_the_editor_queues_what_was_written(graph: dict[str, Any], ui: Any, comfy: ComfyServer) -> None:
    data = converted(graph)
    open_workflow(ui, data)
    queued = ui.execute_async_script(QUEUED)
    expected = to_api(read_workflow(data, table_of(comfy)).graph)
    assert queued.keys() == expected.keys()
    for node_id, entry in expected.items():
        assert queued[node_id]["class_type"] == entry["class_type"]
        for name, value in entry["inputs"].items():
            assert queued[node_id]["inputs"].get(name) == value, (entry["class_type"], name)
    save_screenshot(ui, "converted")
    for a, b in itertools.combinations(ui.execute_script(BOXES), 2):
        beside = a[0] >= b[0] + b[2] or b[0] >= a[0] + a[2]
        below = a[1] - TITLE >= b[1] + b[3] or b[1] - TITLE >= a[1] + a[3]
        assert beside or below, "nodes overlap once the editor has given them its sizes"
