"""Nodes that exist only in ComfyUI's editor, its own and other packs': the server never receives them.

Sources: ComfyUI_frontend, ComfyUI-KJNodes, ComfyUI-Easy-Use, rgthree-comfy, comfy_mtb, cg-use-everywhere.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

Node = Mapping[str, Any]

PRIMITIVE = "PrimitiveNode"
# By the class that reads a named value, the class that sets it.
SETTERS = {"GetNode": "SetNode", "easy getNode": "easy setNode"}
# They feed every open input of a type; the editor saves which ones.
BROADCASTERS = frozenset({"Anything Everywhere", "Anything Everywhere?", "Anything Everywhere3", "Prompts Everywhere"})
# Texts, and switches of the modes of other nodes: what they set is saved with those nodes.
ANNOTATIONS = frozenset(
    {
        "Note",
        "MarkdownNote",
        "Note Plus (mtb)",
        "Note+ (mtb)",
        "Label (rgthree)",
        "Bookmark (rgthree)",
        "Fast Muter (rgthree)",
        "Fast Bypasser (rgthree)",
        "Fast Node Muter (rgthree)",
        "Fast Groups Muter (rgthree)",
        "Fast Groups Bypasser (rgthree)",
        "Fast Actions Button (rgthree)",
        "Mute / Bypass Relay (rgthree)",
        "Mute / Bypass Repeater (rgthree)",
        "Node Collector (rgthree)",
        "Random Unmuter (rgthree)",
        "Power Conductor (rgthree)",
    }
)


def is_reroute(node: Node) -> bool:
    """Whether a node only passes its one input on: the editor's Reroute, and those of other packs."""
    return "reroute" in str(node["type"]).lower() and len(node.get("inputs") or ()) <= 1


def is_editor_only(node: Node) -> bool:
    """Whether the editor leaves a node out when it queues the graph."""
    kind = node["type"]
    names = (*SETTERS, *SETTERS.values(), PRIMITIVE)
    return kind in ANNOTATIONS or kind in names or is_reroute(node)


def value_name(node: Node) -> str:
    """The name under which a node sets or reads a value."""
    values = node.get("widgets_values")
    if isinstance(values, dict):
        values = list(values.values())
    return str(values[0]) if values else ""


def broadcasts(content: Mapping[str, Any]) -> dict[tuple[str, int], tuple[str, int]] | None:
    """The output, as (node id, slot), that feeds an open input without a link; None if the file says nothing of it."""
    extra = content.get("extra")
    saved = extra.get("ue_links") if isinstance(extra, dict) else None
    if not isinstance(saved, list):
        return None
    return {
        (str(link["downstream"]), int(link["downstream_slot"])): (str(link["upstream"]), int(link["upstream_slot"]))
        for link in saved
    }
