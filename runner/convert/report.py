"""What a conversion did, as lines to print and as JSON."""

from __future__ import annotations

import re
from dataclasses import asdict
from typing import Any

from .rewrite import Rewrite

_TOKEN = re.compile(r"%([^%.\s]+)\.[^%]+%")  # a value of a node, in a file name


def lines(rewrite: Rewrite, notices: list[str]) -> list[str]:
    """What changed and what each change does to the sound, what stays and why, and what was left out."""
    printed = ["Changed:"]
    for change in sorted(rewrite.changes, key=lambda change: _key(change.node)):
        became = ", ".join(change.becomes)
        printed.append(f"  {_name(change.node, change.class_type, change.title)} -> {became}")
        printed += [f"    sound: {effect}" for effect in change.effects]
    if rewrite.kept:
        printed.append("Kept:")
        kept = sorted(rewrite.kept, key=lambda kept: _key(kept.node))
        printed += [f"  {_name(node.node, node.class_type, node.title)}: {node.reason}" for node in kept]
    return printed + [f"Note: {notice}" for notice in notices]


def as_json(rewrite: Rewrite, notices: list[str]) -> dict[str, Any]:
    """The same as data."""
    return {
        "changes": [asdict(change) for change in rewrite.changes],
        "kept": [asdict(kept) for kept in rewrite.kept],
        "notices": notices,
    }


def stale_tokens(rewrite: Rewrite) -> list[str]:
    """Values in file names that are those of nodes which are gone, in sentences."""
    gone = {change.class_type for change in rewrite.changes} - {call.class_type for call in rewrite.graph.values()}
    texts = [value for call in rewrite.graph.values() for value in call.inputs.values() if isinstance(value, str)]
    tokens = {match[0]: match[1] for text in texts for match in _TOKEN.finditer(text) if match[1] in gone}
    return [
        f"a file name holds {token}, and there is no {kind} any more: name the node that has the value now"
        for token, kind in tokens.items()
    ]


def _name(node_id: str, class_type: str, title: str) -> str:
    return f"node {node_id} ({class_type})" if title == class_type else f"node {node_id} ({class_type}, {title})"


def _key(node_id: str) -> tuple[int, str]:
    return (int(node_id) if node_id.isdecimal() else 0, node_id)
