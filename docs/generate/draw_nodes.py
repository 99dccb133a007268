"""Draws each node with the nodes it usually connects to, narrow enough for ComfyUI's side panel."""

from __future__ import annotations

import json
from collections.abc import Iterator
from html import escape
from typing import Any

import definitions
import draw_workflow
from draw_workflow import BODY, COLOURS, DEFAULT_COLOUR, FONT, GAP, ROW, SLOT, SQUEEZE, STRETCH, Socket, dot, rect, text

from acestep_xl.parameters import ids
from acestep_xl.runner.shipped import SHIPPED

# For a node in no shipped workflow: what feeds its optional inputs.
USUAL = {ids.TRACKS: {"audio": ids.LOAD_AUDIO, "vae": ids.LOADER}}
WIDTH, GUTTER, MARGIN, TITLE = 340, 34, 10, draw_workflow.TITLE
PILL, PILLS = 28, 9  # height of a neighbour's label, and the space below it
SEVERAL_LINES = 4 * draw_workflow.LINE
OUTLINE = 90  # height of the waveform on nodes that have one
SPREAD = 5  # between links that run side by side

NodesById = dict[str, definitions.Node]
Ends = dict[str, str]  # input or output name -> title of the node at the other end


def picture(node: definitions.Node, by_id: NodesById) -> str:
    """The SVG of a node."""
    sources, targets = _usual(node, by_id)
    above, below = list(dict.fromkeys(sources.values())), list(dict.fromkeys(targets.values()))
    box = draw_workflow.Node(_as_saved(node, sources, len(above) * (PILL + PILLS) + TITLE), node.title)
    bottom = box.y + box.height + PILLS + 4
    height = bottom + len(below) * (PILL + PILLS) + MARGIN
    inputs = {entry.name: socket for entry, socket in zip(node.inputs, box.inputs, strict=True)}
    outputs = {entry.name: socket for entry, socket in zip(node.outputs, box.outputs, strict=True)}
    incoming = [(_beside(inputs[name], 0, above.index(other)), inputs[name]) for name, other in sources.items()]
    outgoing = [(outputs[name], _beside(outputs[name], bottom, below.index(other))) for name, other in targets.items()]
    parts = [
        *_head(node.title, WIDTH + 2 * GUTTER, height + MARGIN),
        *_bundle(incoming, -1),
        *_bundle(outgoing, 1),
        *box.draw(),
        *(part for index, other in enumerate(above) for part in _pill(other, index * (PILL + PILLS))),
        *(part for index, other in enumerate(below) for part in _pill(other, bottom + index * (PILL + PILLS))),
        *(dot(end, filled=True) for end in (*(start for start, _ in incoming), *(end for _, end in outgoing))),
        *(dot(socket, filled=name in sources) for name, socket in inputs.items() if _shows(node, name, sources)),
        *(dot(socket, filled=True) for socket in outputs.values()),
        "</svg>",
    ]
    return "\n".join(parts) + "\n"


def _head(title: str, width: float, height: float) -> Iterator[str]:
    yield (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="{-GUTTER} {-MARGIN} {width:g} {height:g}" '
        f'width="{width:g}" height="{height:g}" font-family="{FONT}" role="img">'
    )
    yield f"<title>{escape(title)}</title>"
    yield rect(-GUTTER, -MARGIN, width, height, 12, "#1a1b1f")


def _as_saved(node: definitions.Node, sources: Ends, top: float) -> dict[str, Any]:
    """The node with its defaults, as a workflow stores it."""
    inputs = [
        {"name": entry.name, "type": entry.kind, "link": 1 if entry.name in sources else None}
        | ({"widget": {}} if entry.is_value else {})
        for entry in node.inputs
    ]
    values = [value for entry in node.inputs if entry.is_value for value in _with_control(entry)]
    sockets = max(sum(not entry.is_value for entry in node.inputs), len(node.outputs))
    lines = sum(SEVERAL_LINES - ROW for entry in node.inputs if entry.name in draw_workflow.MULTILINE)
    extra = OUTLINE if node.id in draw_workflow.WITH_WAVEFORM else 0
    height = 8 + sockets * SLOT + GAP + len(values) * (ROW + GAP) + lines + extra + 8
    return {
        "id": node.id,
        "type": node.id,
        "pos": [0, top / STRETCH],
        "size": [WIDTH / SQUEEZE, height / STRETCH],
        "inputs": inputs,
        "outputs": [{"name": output.name, "type": output.kind} for output in node.outputs],
        "widgets_values": values,
    }


def _with_control(entry: definitions.Input) -> list[Any]:
    return [entry.default, "randomize"] if entry.seed else [entry.default]


def _shows(node: definitions.Node, name: str, sources: Ends) -> bool:
    entry = next(entry for entry in node.inputs if entry.name == name)
    return not entry.is_value or name in sources


def _beside(end: Socket, top: float, index: int) -> Socket:
    """The link's end at the neighbour: on the side of the node where its socket is."""
    return Socket(end.type, end.x, top + index * (PILL + PILLS) + PILL / 2)


def _pill(title: str, y: float) -> Iterator[str]:
    yield rect(0, y, WIDTH, PILL, 8, "#3d4048")
    yield text(14, y + PILL / 2 + 5, title, BODY, "#d6d7db")


def _bundle(links: list[tuple[Socket, Socket]], side: int) -> Iterator[str]:
    """Links running beside the node, the longest outermost. side: -1 left, 1 right."""
    longest = sorted(links, key=lambda ends: ends[0].y - ends[1].y)
    for rank, (start, end) in enumerate(longest):
        x = start.x + side * (GUTTER - 8 - SPREAD * rank)
        path = f"M{start.x:g} {start.y:g} C{x:g} {start.y:g} {x:g} {start.y:g} {x:g} {start.y + 14:g}"
        path += f" V{end.y - 14:g} C{x:g} {end.y:g} {x:g} {end.y:g} {end.x:g} {end.y:g}"
        colour = COLOURS.get(start.type, DEFAULT_COLOUR)
        yield f'<path d="{path}" fill="none" stroke="{colour}" stroke-width="2.4"/>'


def _usual(node: definitions.Node, by_id: NodesById) -> tuple[Ends, Ends]:
    """Titles of the nodes that feed the inputs and take the outputs, in a shipped workflow or else by type."""
    for workflow in _simplest_first():
        if any(entry["type"] == node.id for entry in workflow["nodes"]):
            return _in_workflow(node, workflow, by_id)
    return _by_type(node, by_id)


def _simplest_first() -> list[dict[str, Any]]:
    """The first workflow has the usual connections."""
    first, *others = (json.loads(path.read_text("utf-8")) for path in SHIPPED.values())
    return [first, *sorted(others, key=lambda workflow: len(workflow["nodes"]))]


def _in_workflow(node: definitions.Node, workflow: dict[str, Any], by_id: NodesById) -> tuple[Ends, Ends]:
    kinds = {entry["id"]: entry["type"] for entry in workflow["nodes"]}
    this = next(entry for entry in workflow["nodes"] if entry["type"] == node.id)
    sources, targets = Ends(), Ends()
    for _, origin, output, target, slot, _ in workflow["links"]:
        if target == this["id"] and kinds[origin] in by_id:
            sources[this["inputs"][slot]["name"]] = by_id[kinds[origin]].title
        elif origin == this["id"] and kinds[target] in by_id:
            targets.setdefault(node.outputs[output].name, by_id[kinds[target]].title)
    order = [entry.name for entry in node.inputs]
    return {name: sources[name] for name in order if name in sources}, targets


def _by_type(node: definitions.Node, by_id: NodesById) -> tuple[Ends, Ends]:
    """For each required socket the first node that outputs its type, for each output the first that accepts it."""
    others = [other for other in by_id.values() if other.id != node.id]
    sources = {name: by_id[other].title for name, other in USUAL.get(node.id, {}).items()}
    for entry in node.inputs:
        if not entry.is_value and not entry.optional:
            producer = next(other for other in others if any(output.kind == entry.kind for output in other.outputs))
            sources[entry.name] = producer.title
    targets = Ends()
    for output in node.outputs:
        consumers = [(entry.optional, other) for other in others for entry in other.inputs if entry.kind == output.kind]
        if consumers and output.kind not in definitions.VALUES:
            targets[output.name] = min(consumers, key=lambda consumer: consumer[0])[1].title
    return sources, targets
