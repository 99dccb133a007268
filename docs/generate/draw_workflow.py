"""Draws workflows as SVG, and the README's picture of text to music: python docs/generate/draw_workflow.py

The output is deterministic, so that a test can detect a stale picture.
"""

from __future__ import annotations

import json
import math
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

from pages import DOCS, write

from acestep_xl.nodes.table import NODE_DISPLAY_NAME_MAPPINGS
from acestep_xl.parameters import ids
from acestep_xl.runner.shipped import SHIPPED

WORKFLOW = SHIPPED["text_to_music"]
PICTURE = DOCS / "images" / "text_to_music.svg"

TITLE, SLOT, ROW, GAP, LINE, MARGIN = 36, 23, 25, 4, 19, 32
# A README shows the picture at about half size, so text is larger than on the canvas, nodes narrower and taller.
SQUEEZE, STRETCH = 0.8, 1.16
HEAD, BODY = 16, 15
FONT = "Inter, 'Segoe UI', Roboto, 'Helvetica Neue', 'DejaVu Sans', Arial, sans-serif"
CHARACTER = 8.1  # average width of a BODY letter in the widest of these fonts
# ComfyUI's own colours where it has one for the type.
COLOURS = {
    "MODEL": "#b39ddb",
    "CLIP": "#ffd500",
    "VAE": "#ff6e6e",
    "CONDITIONING": "#ffa931",
    "LATENT": "#ff9cf9",
    "SIGMAS": "#b8f2b0",
    "GUIDER": "#66e0e0",
    "NOISE": "#b0b0b0",
    "AUDIO": "#6cb8ff",
    "FLOAT": "#9adf7b",
    "MASK": "#81c784",
    "IMAGE": "#64b5f6",
    "SAMPLER": "#ecb4b4",
    "ACESTEP_ENCODED_AUDIO": "#8fd3c8",
}
DEFAULT_COLOUR = "#9a9a9a"
MULTILINE = {"caption", "lyrics", "recipe", "urls", "fields"}
# Nodes that show a waveform below their inputs.
WITH_WAVEFORM = {ids.LOAD_AUDIO, ids.PREVIEW, ids.REPAINT, ids.SAVE, ids.SAVE_ENCODED}
CAPTION = "The text to music workflow: eight nodes from the loader to the saved file"


@dataclass(frozen=True)
class Socket:
    """The end of a link: its type and position."""

    type: str
    x: float
    y: float


class Node:
    """One node of a workflow file, in ComfyUI's layout."""

    def __init__(self, data: dict[str, Any], title: str) -> None:
        self.id: int = data["id"]
        self.has_waveform = data["type"] in WITH_WAVEFORM
        self.title = title
        self.x, self.y = data["pos"][0] * SQUEEZE, data["pos"][1] * STRETCH
        self.width, self.height = data["size"][0] * SQUEEZE, data["size"][1] * STRETCH
        slots = [entry for entry in data["inputs"] if "widget" not in entry]
        widgets = [entry for entry in data["inputs"] if "widget" in entry]
        self.rows = list(self._rows(widgets, data["widgets_values"], max(len(slots), len(data["outputs"]))))
        heights = {entry["name"]: self._slot_y(i) for i, entry in enumerate(slots)}
        heights |= {name: y + height / 2 for name, _, y, height in self.rows}
        self.inputs = [Socket(entry["type"], self.x, heights[entry["name"]]) for entry in data["inputs"]]
        self.outputs = [
            Socket(entry["type"], self.x + self.width, self._slot_y(i)) for i, entry in enumerate(data["outputs"])
        ]
        self.labels = [(entry["name"], heights[entry["name"]], entry["link"] is not None) for entry in slots]
        self.results = [entry["name"] for entry in data["outputs"]]
        self.driven = {entry["name"] for entry in widgets if entry["link"] is not None}

    def _slot_y(self, index: float) -> float:
        return self.y + 8 + SLOT * (index + 0.5)

    def _rows(self, widgets: list[Any], values: list[Any], slots: int) -> Iterator[tuple[str, Any, float, float]]:
        """Name, value, top and height of each widget; ComfyUI adds one below a seed."""
        names = [name for entry in widgets for name in _with_control(entry["name"])]
        top = self.y + 8 + slots * SLOT + GAP
        lines = {name: len(self._lines(values[names.index(name)])) + 0.6 for name in names if name in MULTILINE}
        spare = self.y + self.height - 12 - top - len(names) * (ROW + GAP) + len(lines) * ROW
        for name, value in zip(names, values, strict=True):
            height = spare * lines[name] / sum(lines.values()) if name in MULTILINE else ROW
            yield name, value, top, height
            top += height + GAP

    def _lines(self, value: str) -> list[str]:
        return [row for line in value.split("\n") for row in textwrap.wrap(line, _letters(self.width - 28)) or [""]]

    def draw(self) -> Iterator[str]:
        x, y, width = self.x, self.y, self.width
        yield f'<g id="node{self.id}">'
        height = self.height + TITLE
        for spread in (2, 4, 6):  # a shadow; not every viewer knows the filter that would do it
            edges = (x - spread, y - TITLE - spread + 3, width + 2 * spread, height + 2 * spread)
            yield rect(*edges, 9 + spread, "#000", 'fill-opacity="0.15"')
        yield rect(x, y - TITLE, width, height, 9, "#2f3136")
        yield f'<path d="M{x} {y} v{9 - TITLE} q0 -9 9 -9 h{width - 18} q9 0 9 9 v{TITLE - 9} z" fill="#3d4048"/>'
        yield text(x + 14, y - TITLE / 2 + 6, self.title, HEAD, "#f2f2f4", 'font-weight="600"')
        for name, value, top, height in self.rows:
            yield from self._widget(name, value, top, height)
        if self.has_waveform:
            yield from self._waveform()
        for name, at, linked in self.labels:
            yield text(x + 14, at + 5, name, BODY, "#d6d7db" if linked else "#8d9099")
        for name, socket in zip(self.results, self.outputs, strict=True):
            yield text(x + width - 14, socket.y + 5, name, BODY, "#d6d7db", 'text-anchor="end"')
        yield "</g>"

    def _widget(self, name: str, value: Any, top: float, height: float) -> Iterator[str]:
        left, width = self.x + 14, self.width - 28
        yield rect(left, top, width, height, 6, "#1f2024", 'stroke="#44474f"')
        if name in MULTILINE:
            lines, room = self._lines(value), int((height - 8) // LINE)
            shown = lines if len(lines) <= room else [*lines[: room - 1], "…"]
            for i, line in enumerate(shown):
                yield text(left + 10, top + 20 + LINE * i, line, BODY, "#e3e4e8")
            return
        colour = "#6f727a" if name in self.driven else "#e3e4e8"
        yield text(left + 10, top + 18, name, BODY, "#9a9da6")
        room = _letters(width - CHARACTER * len(name) - 16)
        yield text(left + width - 10, top + 18, _shown(value, room), BODY, colour, 'text-anchor="end"')

    def _waveform(self) -> Iterator[str]:
        """An invented waveform in the space below the inputs."""
        bottoms = [top + height for _, _, top, height in self.rows] or [self._slot_y(len(self.labels) - 0.5)]
        left, top, width = self.x + 14, bottoms[-1] + 14, self.width - 28
        room = self.y + self.height - 14 - top
        if room < LINE:
            return
        yield rect(left, top, width, room, 6, "#1f2024")
        count = int(width // 4)
        for i in range(count):
            loud = 0.15 + 0.7 * abs(math.sin(0.31 * i) * math.sin(0.047 * i + 0.6)) ** 0.7
            bar = round(room * loud, 1)
            yield rect(round(left + 4 * i + 1, 1), round(top + (room - bar) / 2, 1), 2.5, bar, 1, "#6b7079")


def _with_control(name: str) -> tuple[str, ...]:
    return (name, "control after generate") if name.endswith("seed") else (name,)


def _letters(width: float) -> int:
    return int((width - 20) / CHARACTER)


def _shown(value: Any, room: int) -> str:
    label = f"{value:.2f}" if isinstance(value, float) else str(value)
    label = label.lower() if isinstance(value, bool) else label
    return label if len(label) <= room else label[: room - 1] + "…"


def rect(x: float, y: float, width: float, height: float, radius: int, fill: str, attributes: str = "") -> str:
    return f'<rect x="{x:g}" y="{y:g}" width="{width:g}" height="{height:g}" rx="{radius}" fill="{fill}" {attributes}/>'


def text(x: float, y: float, words: str, size: int, fill: str, attributes: str = "") -> str:
    return f'<text x="{x:g}" y="{y:g}" font-size="{size}" fill="{fill}" {attributes}>{escape(words)}</text>'


def _link(start: Socket, end: Socket) -> str:
    bend = max(50.0, abs(end.x - start.x) * 0.45)
    curve = f"M{start.x:g} {start.y:g} C{start.x + bend:g} {start.y:g} {end.x - bend:g} {end.y:g} {end.x:g} {end.y:g}"
    shape = f'<path d="{curve}" fill="none" stroke-linecap="round"'
    colour = COLOURS.get(start.type, DEFAULT_COLOUR)
    return f'{shape} stroke="#101114" stroke-width="6"/>{shape} stroke="{colour}" stroke-width="2.6"/>'


def _dots(nodes: list[Node], links: list[list[Any]]) -> Iterator[str]:
    """Sockets: filled if linked, hollow otherwise. A widget's socket shows only if linked."""
    ends = {(link[3], link[4]) for link in links}
    for node in nodes:
        slots = {y for _, y, _ in node.labels}
        for index, socket in enumerate(node.inputs):
            linked = (node.id, index) in ends
            if linked or socket.y in slots:
                yield dot(socket, filled=linked)
        for socket in node.outputs:
            yield dot(socket, filled=True)


def dot(socket: Socket, filled: bool) -> str:
    colour = COLOURS.get(socket.type, DEFAULT_COLOUR)
    inside = colour if filled else "#1f2024"
    return f'<circle cx="{socket.x:g}" cy="{socket.y:g}" r="5" fill="{inside}" stroke="{colour}" stroke-width="2"/>'


def draw(workflow: dict[str, Any], titles: dict[str, str], caption: str = CAPTION) -> str:
    """The SVG of a workflow as ComfyUI saves it. titles: by node class; other nodes, such as notes, are left out.
    caption: for screen readers."""
    nodes = [
        Node(data, data.get("title") or titles[data["type"]]) for data in workflow["nodes"] if data["type"] in titles
    ]
    by_id = {node.id: node for node in nodes}
    left = min(node.x for node in nodes) - MARGIN
    top = min(node.y for node in nodes) - TITLE - MARGIN
    width = max(node.x + node.width for node in nodes) + MARGIN - left
    height = max(node.y + node.height for node in nodes) + MARGIN - top
    links = workflow["links"]
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="{left:g} {top:g} {width:g} {height:g}" '
        f'width="{width:g}" height="{height:g}" font-family="{FONT}" role="img">',
        f"<title>{escape(caption)}</title>",
        '<defs><pattern id="grid" width="20" height="20" patternUnits="userSpaceOnUse">'
        '<circle cx="10" cy="10" r="1" fill="#33353b"/></pattern></defs>',
        # A background of its own, for light and dark pages.
        rect(left, top, width, height, 16, "#1a1b1f"),
        rect(left, top, width, height, 16, "url(#grid)"),
        # Links run behind the nodes, as on ComfyUI's canvas, so that they cross no text.
        *(_link(by_id[a].outputs[i], by_id[b].inputs[j]) for _, a, i, b, j, _ in links),
        *(part for node in nodes for part in node.draw()),
        *_dots(nodes, links),
        "</svg>",
    ]
    return "\n".join(parts) + "\n"


def files() -> dict[Path, str]:
    """The README's picture by its path."""
    workflow = json.loads(WORKFLOW.read_text("utf-8"))
    return {PICTURE: draw(workflow, NODE_DISPLAY_NAME_MAPPINGS)}


if __name__ == "__main__":
    write(files())
