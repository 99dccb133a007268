"""Draws the workflows' pictures for ComfyUI's template browser, workflows/NAME.jpg: python docs/make_thumbnails.py

Above, the graph as it lies in the file; below, what happens to the sound: grey is a source, colour is made anew.
"""

from __future__ import annotations

import io
import json
import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from draw_workflow import COLOURS, DEFAULT_COLOUR
from PIL import Image, ImageDraw

from acestep_xl.nodes.load_audio import example

FOLDER = Path(__file__).parent.parent / "workflows"
SIZE, FINER = 512, 3  # pixels of the picture; drawn finer and made smaller, so that edges are smooth
EDGE, GRAPH, SOUND = 36, (44, 226), (262, 476)
GROUND, NODE, TITLE, GREY, REGION = "#16171b", "#33363d", "#4a4e58", "#767b85", "#232a38"
RAINBOW = ("#5aa9ff", "#a78bfa", "#f472b6")
BAR, BETWEEN = 3.2, 1.8
EXTENDED = 0.25  # share of the picture for the music before a source, and after it
QUALITY = 88

Outline = Callable[[float], float]  # place in the lane, 0 to 1, to loudness, 0 to 1


@dataclass(frozen=True)
class CopyStream:
    """One song: how it sounds, what of it is new and how that sounds, and where it lies. Places from 0 to 1."""

    outline: Outline
    new: tuple[tuple[float, float], ...] = ((0.0, 1.0),)
    start: float = 0.0
    end: float = 1.0
    made: Outline | None = None


def melody(place: float) -> float:
    """The outline of the example melody."""
    return float(_MELODY[min(int(place * len(_MELODY)), len(_MELODY) - 1)])


def framed(place: float) -> float:
    """The melody with room for new music before and after it."""
    return melody(min(max(place - EXTENDED, 0) / (1 - 2 * EXTENDED), 1))


def levels(place: float) -> float:
    """Noise levels of a run, from noise to clean."""
    return (1 - place) ** 2.2 * (1 - 0.25 * ((place * 20) % 1))


def song(seed: float) -> Outline:
    """The outline of a song that nobody has made: beats, bars, a quiet start and a louder middle."""

    def outline(place: float) -> float:
        beat = 1 - 0.65 * ((place * 24) % 1)
        bar = 0.75 + 0.25 * math.sin(2 * math.pi * (6 * place + 0.37 * seed))
        form = 0.45 + 0.55 * math.sin(math.pi * min(1, 0.12 + 1.05 * place)) ** 2
        grain = 0.8 + 0.2 * math.sin(997 * place * (1 + 0.1 * seed) + seed)
        return beat * bar * form * grain

    return outline


def _outline_of(samples: np.ndarray, columns: int) -> np.ndarray:
    loud = abs(samples[: len(samples) // columns * columns].reshape(columns, -1)).max(axis=1)
    return loud / loud.max()


_MELODY = _outline_of(example()[0, 0].numpy(), 200)
NOTHING: tuple[tuple[float, float], ...] = ()
LANES: dict[str, tuple[CopyStream, ...]] = {
    "batch": (CopyStream(song(1)), CopyStream(song(5))),
    "chain": (CopyStream(song(2)), CopyStream(song(2), ((0.4, 0.62),), made=song(11)), CopyStream(song(9))),
    "core_nodes": (CopyStream(song(8)),),
    "cover": (CopyStream(melody, NOTHING), CopyStream(song(4))),
    "extend": (CopyStream(framed, ((0.0, EXTENDED), (1 - EXTENDED, 1.0)), made=song(5)),),
    "fast": (CopyStream(song(10)),),
    "plot": (CopyStream(levels, NOTHING), CopyStream(song(10))),
    "repaint": (CopyStream(melody, ((0.38, 0.63),), made=song(5)),),
    "repaint_regions": (CopyStream(melody, ((0.12, 0.28), (0.46, 0.6), (0.78, 0.92)), made=song(5)),),
    "scheduler": (CopyStream(levels, NOTHING), CopyStream(song(6))),
    "text_to_music": (CopyStream(song(3)),),
    "timbre_reference": (CopyStream(melody, NOTHING, 0.3, 0.7), CopyStream(song(7))),
    "variations": (CopyStream(song(3)), CopyStream(song(3.25))),
}


def picture(workflow: dict[str, Any], lanes: tuple[CopyStream, ...]) -> Image.Image:
    canvas = Image.new("RGB", (SIZE * FINER, SIZE * FINER), GROUND)
    pen = ImageDraw.Draw(canvas)
    _draw_graph(pen, workflow)
    height = (SOUND[1] - SOUND[0]) / len(lanes)
    for place, lane in enumerate(lanes):
        _draw_lane(pen, lane, SOUND[0] + place * height, height * 0.92)
    return canvas.resize((SIZE, SIZE), Image.Resampling.LANCZOS)


def _draw_graph(pen: ImageDraw.ImageDraw, workflow: dict[str, Any]) -> None:
    nodes = {node["id"]: node for node in workflow["nodes"] if node["type"] != "MarkdownNote"}
    left, top = (min(node["pos"][axis] for node in nodes.values()) for axis in (0, 1))
    right, bottom = (max(node["pos"][axis] + node["size"][axis] for node in nodes.values()) for axis in (0, 1))
    scale = min((SIZE - 2 * EDGE) / (right - left), (GRAPH[1] - GRAPH[0]) / (bottom - top))
    # In the middle of its room.
    dx = (SIZE - (right - left) * scale) / 2 - left * scale
    dy = (GRAPH[0] + GRAPH[1] - (bottom - top) * scale) / 2 - top * scale
    for _, start, _, end, _, kind in workflow["links"]:
        a, b = nodes[start], nodes[end]
        points = _curve((a["pos"][0] + a["size"][0], a["pos"][1] + 20), (b["pos"][0], b["pos"][1] + b["size"][1] / 3))
        placed = [((x * scale + dx) * FINER, (y * scale + dy) * FINER) for x, y in points]
        pen.line(placed, fill=COLOURS.get(kind, DEFAULT_COLOUR), width=round(1.3 * FINER), joint="curve")
    for node in nodes.values():
        (x, y), (width, height) = node["pos"], node["size"]
        box = [v * FINER for v in (x * scale + dx, (y - 26) * scale + dy)]
        box += [v * FINER for v in ((x + width) * scale + dx, (y + height) * scale + dy)]
        pen.rounded_rectangle(box, 4 * FINER, fill=NODE)
        pen.rounded_rectangle([*box[:3], box[1] + 30 * scale * FINER], 4 * FINER, fill=TITLE)
        for row in range(60, int(height) - 10, 60):
            line = (y + row) * scale + dy
            ends = [v * FINER for v in ((x + 30) * scale + dx, line, (x + width - 30) * scale + dx, line)]
            pen.line(ends, fill=TITLE, width=FINER)


def _curve(start: tuple[float, float], end: tuple[float, float]) -> list[tuple[float, float]]:
    bend = max(60.0, abs(end[0] - start[0]) * 0.45)
    corners = (start, (start[0] + bend, start[1]), (end[0] - bend, end[1]), end)
    weights = [((1 - t) ** 3, 3 * t * (1 - t) ** 2, 3 * t**2 * (1 - t), t**3) for t in np.linspace(0, 1, 40)]
    xs, ys = ([sum(w * c[axis] for w, c in zip(row, corners, strict=True)) for row in weights] for axis in (0, 1))
    return list(zip(xs, ys, strict=True))


def _draw_lane(pen: ImageDraw.ImageDraw, lane: CopyStream, top: float, height: float) -> None:
    width = SIZE - 2 * EDGE
    middle = top + height / 2
    for start, end in lane.new if lane.new != CopyStream.new else NOTHING:
        box = [EDGE + start * width - 3, top, EDGE + end * width + 1, top + height]
        pen.rounded_rectangle([v * FINER for v in box], 5 * FINER, fill=REGION)
    for index in range(int(width // (BAR + BETWEEN))):
        place = index * (BAR + BETWEEN) / width
        if not lane.start <= place < lane.end:
            continue
        new = any(start <= place < end for start, end in lane.new)
        outline = lane.made if new and lane.made else lane.outline
        loud = max(outline((place - lane.start) / (lane.end - lane.start)), 0.03) * height * 0.46
        x = EDGE + place * width
        box = [v * FINER for v in (x, middle - loud, x + BAR, middle + loud)]
        pen.rounded_rectangle(box, BAR * FINER / 2, fill=_rainbow(place) if new else GREY)


def _rainbow(place: float) -> tuple[int, int, int]:
    reach = place * (len(RAINBOW) - 1)
    index = min(int(reach), len(RAINBOW) - 2)
    share = reach - index
    a, b = (tuple(bytes.fromhex(colour[1:])) for colour in RAINBOW[index : index + 2])
    red, green, blue = (round(x + (y - x) * share) for x, y in zip(a, b, strict=True))
    return red, green, blue


def files() -> dict[Path, bytes]:
    """The picture of every workflow. Raises KeyError for one that LANES does not know."""
    made = {}
    for path in sorted(FOLDER.glob("*.json")):
        buffer = io.BytesIO()
        picture(json.loads(path.read_text("utf-8")), LANES[path.stem]).save(buffer, "JPEG", quality=QUALITY)
        made[path.with_suffix(".jpg")] = buffer.getvalue()
    return made


def main() -> None:
    for path, content in files().items():
        path.write_bytes(content)


if __name__ == "__main__":
    main()
