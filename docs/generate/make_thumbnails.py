"""Draws the workflows' pictures for ComfyUI's template browser, workflows/*.jpg:
python docs/generate/make_thumbnails.py

Above, the graph; below, what happens to the audio: grey is source, colour is generated.
"""

from __future__ import annotations

import io
import json
import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from draw_workflow import COLOURS, DEFAULT_COLOUR
from pages import write
from PIL import Image, ImageDraw

from acestep_xl.nodes.load_audio import example
from acestep_xl.runner.shipped import SHIPPED

SIZE, FINER = 512, 3  # size in pixels, and the factor of oversampling for smooth edges
EDGE, GRAPH, AUDIO = 36, (44, 226), (262, 476)
GROUND, NODE, TITLE, GREY, REGION = "#16171b", "#33363d", "#4a4e58", "#767b85", "#232a38"
RAINBOW = ("#5aa9ff", "#a78bfa", "#f472b6")
BAR, BETWEEN = 3.2, 1.8
EXTENDED = 0.25  # share of the picture for the music before a source, and after it
QUALITY = 88
COLUMNS = 200  # of the melody's outline

Outline = Callable[[float], float]  # position in the strip, 0 to 1 -> loudness, 0 to 1


@dataclass(frozen=True)
class Strip:
    """One song: its outline, the spans that are generated and their outline, its start and end. Positions 0 to 1."""

    outline: Outline
    new: tuple[tuple[float, float], ...] = ((0.0, 1.0),)
    start: float = 0.0
    end: float = 1.0
    generated: Outline | None = None


def melody(position: float) -> float:
    """The outline of the example melody."""
    outline = _melody_outline()
    return float(outline[min(int(position * len(outline)), len(outline) - 1)])


def framed(position: float) -> float:
    """The melody with space for new music before and after it."""
    return melody(min(max(position - EXTENDED, 0) / (1 - 2 * EXTENDED), 1))


def levels(position: float) -> float:
    """Noise levels of a run, from noise to clean."""
    return (1 - position) ** 2.2 * (1 - 0.25 * ((position * 20) % 1))


def song(seed: float) -> Outline:
    """The outline of an invented song: beats, bars, a quiet start and a louder middle."""

    def outline(position: float) -> float:
        beat = 1 - 0.65 * ((position * 24) % 1)
        bar = 0.75 + 0.25 * math.sin(2 * math.pi * (6 * position + 0.37 * seed))
        form = 0.45 + 0.55 * math.sin(math.pi * min(1, 0.12 + 1.05 * position)) ** 2
        grain = 0.8 + 0.2 * math.sin(997 * position * (1 + 0.1 * seed) + seed)
        return beat * bar * form * grain

    return outline


@cache
def _melody_outline() -> np.ndarray:
    samples = example()[0, 0].numpy()
    peaks = abs(samples[: len(samples) // COLUMNS * COLUMNS].reshape(COLUMNS, -1)).max(axis=1)
    return peaks / peaks.max()


NOTHING: tuple[tuple[float, float], ...] = ()
STRIPS: dict[str, tuple[Strip, ...]] = {
    "adapter": (Strip(song(12)),),
    "batch": (Strip(song(1)), Strip(song(5))),
    "chain": (Strip(song(2)), Strip(song(2), ((0.4, 0.62),), generated=song(11)), Strip(song(9))),
    "core_nodes": (Strip(song(8)),),
    "cover": (Strip(melody, NOTHING), Strip(song(4))),
    "extend": (Strip(framed, ((0.0, EXTENDED), (1 - EXTENDED, 1.0)), generated=song(5)),),
    "fast": (Strip(song(10)),),
    "plot": (Strip(levels, NOTHING), Strip(song(10))),
    "repaint": (Strip(melody, ((0.38, 0.63),), generated=song(5)),),
    "repaint_regions": (Strip(melody, ((0.12, 0.28), (0.46, 0.6), (0.78, 0.92)), generated=song(5)),),
    "scheduler": (Strip(levels, NOTHING), Strip(song(6))),
    "text_to_music": (Strip(song(3)),),
    "text_to_music_app": (Strip(song(3)),),
    "timbre_reference": (Strip(melody, NOTHING, 0.3, 0.7), Strip(song(7))),
    "variations": (Strip(song(3)), Strip(song(3.25))),
}


def picture(workflow: dict[str, Any], strips: tuple[Strip, ...]) -> Image.Image:
    canvas = Image.new("RGB", (SIZE * FINER, SIZE * FINER), GROUND)
    pen = ImageDraw.Draw(canvas)
    _draw_graph(pen, workflow)
    height = (AUDIO[1] - AUDIO[0]) / len(strips)
    for index, strip in enumerate(strips):
        _draw_strip(pen, strip, AUDIO[0] + index * height, height * 0.92)
    return canvas.resize((SIZE, SIZE), Image.Resampling.LANCZOS)


def _draw_graph(pen: ImageDraw.ImageDraw, workflow: dict[str, Any]) -> None:
    nodes = {node["id"]: node for node in workflow["nodes"] if node["type"] != "MarkdownNote"}
    left, top = (min(node["pos"][axis] for node in nodes.values()) for axis in (0, 1))
    right, bottom = (max(node["pos"][axis] + node["size"][axis] for node in nodes.values()) for axis in (0, 1))
    scale = min((SIZE - 2 * EDGE) / (right - left), (GRAPH[1] - GRAPH[0]) / (bottom - top))
    # Centred in its box.
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


def _draw_strip(pen: ImageDraw.ImageDraw, strip: Strip, top: float, height: float) -> None:
    width = SIZE - 2 * EDGE
    middle = top + height / 2
    for start, end in strip.new if strip.new != Strip.new else NOTHING:
        box = [EDGE + start * width - 3, top, EDGE + end * width + 1, top + height]
        pen.rounded_rectangle([v * FINER for v in box], 5 * FINER, fill=REGION)
    for index in range(int(width // (BAR + BETWEEN))):
        position = index * (BAR + BETWEEN) / width
        if not strip.start <= position < strip.end:
            continue
        new = any(start <= position < end for start, end in strip.new)
        outline = strip.generated if new and strip.generated else strip.outline
        loud = max(outline((position - strip.start) / (strip.end - strip.start)), 0.03) * height * 0.46
        x = EDGE + position * width
        box = [v * FINER for v in (x, middle - loud, x + BAR, middle + loud)]
        pen.rounded_rectangle(box, BAR * FINER / 2, fill=_rainbow(position) if new else GREY)


def _rainbow(position: float) -> tuple[int, int, int]:
    reach = position * (len(RAINBOW) - 1)
    index = min(int(reach), len(RAINBOW) - 2)
    share = reach - index
    a, b = (tuple(bytes.fromhex(colour[1:])) for colour in RAINBOW[index : index + 2])
    red, green, blue = (round(x + (y - x) * share) for x, y in zip(a, b, strict=True))
    return red, green, blue


def files() -> dict[Path, bytes]:
    """The picture of every workflow. Raises KeyError for one without strips."""
    pictures = {}
    for name, path in SHIPPED.items():
        buffer = io.BytesIO()
        picture(json.loads(path.read_text("utf-8")), STRIPS[name]).save(buffer, "JPEG", quality=QUALITY)
        pictures[path.with_suffix(".jpg")] = buffer.getvalue()
    return pictures


if __name__ == "__main__":
    write(files())
