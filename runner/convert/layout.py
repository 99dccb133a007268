"""Where the nodes of a converted workflow stand."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ...parameters import ids
from ..graph import Graph
from ..order import execution_order, sources
from .rewrite import Rewrite
from .source import Point, Source, pair

WIDTH, TEXT_WIDTH = 330, 400
COLUMN = 460  # from one column to the next
GAP = 60  # from the bottom of a node to the next one, whose title is 30 pixels high
TITLE = 30
MARGIN = 20  # of a group around its nodes
SOCKET, ROW, REST, TEXT, SEED, PLAYER = 26, 35, 45, 140, 24, 165  # heights in pixels
PLAYERS = frozenset({ids.SAVE, ids.PREVIEW, ids.SAVE_ENCODED, ids.LOAD_AUDIO, ids.REPAINT, "LoadAudio", "SaveAudio"})


@dataclass
class Box:
    """A node's position and size in pixels."""

    x: float
    y: float
    width: float
    height: float

    def overlaps(self, other: Box) -> bool:
        """Whether the boxes, with their titles, overlap."""
        is_beside = self.x >= other.x + other.width or other.x >= self.x + self.width
        is_below = self.y - TITLE >= other.y + other.height or other.y - TITLE >= self.y + self.height
        return not (is_beside or is_below)


def lay_out(rewrite: Rewrite, source: Source) -> dict[str, Box]:
    """The box of every node.

    Nodes that stay keep theirs; a replaced node's successors stand in its place, moved down where they would overlap.
    Without positions nodes stand in columns, by how many nodes lead to them.
    """
    if not source.nodes:
        return _columns(rewrite)
    changed = {change.node for change in rewrite.changes} | rewrite.places.keys()
    boxes: dict[str, Box] = {}
    taken = [_saved_box(node.get("pos"), node.get("size")) for node in source.notes]
    movable: list[tuple[str, Box]] = []
    for node_id in rewrite.graph:
        saved = source.nodes[rewrite.places.get(node_id, node_id)]
        if node_id not in changed and not saved.is_inner:
            boxes[node_id] = Box(*saved.position, *saved.size)
            taken.append(boxes[node_id])
            continue
        width, height = size_of(rewrite, node_id)
        if node_id not in rewrite.places:
            width, height = max(width, saved.size[0]), max(height, saved.size[1] if node_id not in changed else 0)
        movable.append((node_id, Box(*saved.position, width, height)))
    for node_id, box in sorted(movable, key=lambda entry: (entry[1].x, entry[1].y)):
        boxes[node_id] = _settle(box, taken)
        taken.append(boxes[node_id])
    return boxes


def grown_groups(source: Source, boxes: dict[str, Box], rewrite: Rewrite) -> list[dict[str, Any]]:
    """The file's groups, each grown around what now stands for a node that it held."""
    groups = []
    for group in (source.saved or {}).get("groups") or []:
        x, y, width, height = (float(value) for value in group["bounding"])
        right, bottom = x + width, y + height
        for node_id, box in boxes.items():
            left, top = source.nodes[rewrite.places.get(node_id, node_id)].position
            if x <= left <= x + width and y <= top <= y + height:
                right = max(right, box.x + box.width + MARGIN)
                bottom = max(bottom, box.y + box.height + MARGIN)
        groups.append({**group, "bounding": [x, y, right - x, bottom - y]})
    return groups


def size_of(rewrite: Rewrite, node_id: str) -> Point:
    """Width and height that suit both of ComfyUI's renderers."""
    call = rewrite.graph[node_id]
    spec = rewrite.table.spec(call.class_type)
    if spec is None:
        return WIDTH, REST + ROW * max(len(call.inputs), 1)
    widgets = [entry for entry in spec.inputs.values() if entry.is_widget]
    texts = sum(bool(entry.options.get("multiline")) for entry in widgets)
    sockets = max(len(spec.inputs) - len(widgets), len(spec.returns))
    seeds = sum(bool(entry.control_values) for entry in widgets)
    height = REST + SOCKET * sockets + ROW * len(widgets) + TEXT * texts + SEED * seeds
    height += PLAYER if call.class_type in PLAYERS else 0
    return TEXT_WIDTH if texts else WIDTH, height


def _columns(rewrite: Rewrite) -> dict[str, Box]:
    depths = _depths(rewrite.graph)
    boxes: dict[str, Box] = {}
    bottoms: dict[int, float] = {}
    for node_id, depth in depths.items():
        width, height = size_of(rewrite, node_id)
        top = bottoms.get(depth, 0.0)
        boxes[node_id] = Box(depth * COLUMN, top, width, height)
        bottoms[depth] = top + height + GAP
    return boxes


def _depths(graph: Graph) -> dict[str, int]:
    """How many nodes lead to each node at most."""
    depths: dict[str, int] = {}
    for node_id in execution_order(graph, graph).nodes:
        depths[node_id] = max((depths.get(other, -1) for other in sources(graph, node_id)), default=-1) + 1
    return depths


def _settle(box: Box, taken: list[Box]) -> Box:
    """The box, moved down until it overlaps none."""
    while obstacle := next((other for other in taken if box.overlaps(other)), None):
        box = Box(box.x, obstacle.y + obstacle.height + GAP, box.width, box.height)
    return box


def _saved_box(position: Any, size: Any) -> Box:
    return Box(*pair(position, (0, 0)), *pair(size, (300, 200)))
