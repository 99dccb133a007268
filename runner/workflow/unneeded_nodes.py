"""Nodes of other packs that a run here can do without: previews, and nodes that nothing is connected to."""

from __future__ import annotations

from ..graph import Graph, Link, NodeCall
from ..node_table import NodeTable


def leave_out(graph: Graph, table: NodeTable, *, detached: bool) -> list[str]:
    """Remove the nodes that a run can do without, in place. Returns what to tell the user, one sentence per kind.

    detached: also remove nodes of unknown classes that nothing is connected to: a saved file holds texts and controls
    of the editor, which an API export does not. A workflow without any node of the table is left as it is.
    """
    if not any(call.class_type in table.classes for call in graph.values()):
        return []
    read = {value.node for call in graph.values() for value in call.inputs.values() if isinstance(value, Link)}
    unread = [n for n, call in graph.items() if call.class_type not in table.classes and n not in read]
    previews = [n for n in unread if graph[n].class_type in PREVIEWS]
    alone = [n for n in unread if detached and n not in previews and not _has_link(graph[n])]
    notices = []
    if previews:
        notices.append(f"left out: {_names(graph, previews)}, which only shows something in ComfyUI")
    if alone:
        notices.append(f"left out: {_names(graph, alone)}, unknown here, which nothing is connected to")
    for node_id in (*previews, *alone):
        del graph[node_id]
    return notices


def _has_link(call: NodeCall) -> bool:
    return any(isinstance(value, Link) for value in call.inputs.values())


def _names(graph: Graph, node_ids: list[str]) -> str:
    return ", ".join(f"node {node_id} ({graph[node_id].class_type})" for node_id in node_ids)


# They show a result in the browser and write no file that lasts.
PREVIEWS = frozenset(
    {
        "PreviewImage",
        "PreviewAny",
        "MaskPreview",
        "AceStepSFTPreviewAudio",
        "PreviewAudioCompare",
        "ShowText|pysssss",
        "Display Any (rgthree)",
        "easy showAnything",
    }
)
