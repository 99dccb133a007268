"""Line charts as pixels, drawn with Pillow, which ComfyUI brings along."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from PIL import Image, ImageDraw, ImageFont

WIDTH, HEIGHT = 990, 374  # pixels of a panel
LEFT, RIGHT, TOP, BOTTOM = 70, 20, 56, 46  # its margins around the axes
FINER = 2  # drawn this much larger and reduced, which smooths the lines
GROUND, INK, FAINT, GRID = "#ffffff", "#222222", "#666666", "#e2e2e2"
TITLE, LABEL = 16, 13  # heights of letters in pixels

Font = ImageFont.ImageFont | ImageFont.FreeTypeFont


@dataclass(frozen=True)
class Series:
    """Values over x; NaN interrupts the line. stairs: every value holds until the next x. label: "" for none."""

    x: Sequence[float]
    y: Sequence[float]
    colour: str
    label: str = ""
    line: bool = True
    markers: bool = True
    stairs: bool = False


@dataclass(frozen=True)
class Panel:
    """One pair of axes. y_limits: None fits them to the values, from 0 on."""

    title: str
    x_label: str
    y_label: str
    series: Sequence[Series]
    y_limits: tuple[float, float] | None = None


def draw(panels: Sequence[Panel]) -> np.ndarray:
    """The panels below each other, as ``[height width 3]`` uint8."""
    image = Image.new("RGB", (WIDTH * FINER, HEIGHT * len(panels) * FINER), GROUND)
    pen = ImageDraw.Draw(image)
    for row, panel in enumerate(panels):
        _Axes(pen, panel, row * HEIGHT).draw()
    return np.asarray(image.resize((WIDTH, HEIGHT * len(panels)), Image.Resampling.LANCZOS)).copy()


class _Axes:
    """Draws one panel, whose top is at so many pixels."""

    def __init__(self, pen: ImageDraw.ImageDraw, panel: Panel, top: int) -> None:
        self._pen, self._panel = pen, panel
        xs = [x for series in panel.series for x in series.x]
        ys = [y for series in panel.series for y in series.y if math.isfinite(y)]
        self._x = _widened(min(xs, default=0), max(xs, default=1))
        self._y = panel.y_limits or _widened(min([0.0, *ys]), max(ys, default=1))
        self._box = (LEFT, top + TOP, WIDTH - RIGHT, top + HEIGHT - BOTTOM)

    def draw(self) -> None:
        left, top, right, bottom = self._box
        for x in ticks(*self._x):
            self._line([(self._at(x, 0)[0], top), (self._at(x, 0)[0], bottom)], GRID, 1)
            self._text((self._at(x, 0)[0], bottom + 6), f"{x:g}", "ma")
        for y in ticks(*self._y):
            self._line([(left, self._at(0, y)[1]), (right, self._at(0, y)[1])], GRID, 1)
            self._text((left - 8, self._at(0, y)[1]), f"{y:g}", "rm")
        self._line([(left, top), (left, bottom), (right, bottom)], FAINT, 1)
        self._text(((left + right) / 2, top - 46), self._panel.title, "ma", INK, TITLE)
        self._text((left, top - 22), self._panel.y_label, "la")
        self._text(((left + right) / 2, bottom + 24), self._panel.x_label, "ma")
        for series in self._panel.series:
            self._draw_series(series)
        self._draw_legend()

    def _draw_series(self, series: Series) -> None:
        points = [self._at(x, y) if math.isfinite(y) else None for x, y in zip(series.x, series.y, strict=True)]
        for start, end in pairwise(points):
            if series.line and start is not None and end is not None:
                self._line([start, (end[0], start[1]), end] if series.stairs else [start, end], series.colour, 1.5)
        for point in points:
            if series.markers and point is not None:
                self._dot(point, series.colour)

    def _draw_legend(self) -> None:
        _, top, right, _ = self._box
        x = right
        for series in reversed([series for series in self._panel.series if series.label]):
            x -= self._pen.textlength(series.label, _font(LABEL)) / FINER
            self._text((x, top - 22), series.label, "la")
            self._dot((x - 10, top - 14), series.colour)
            x -= 28

    def _at(self, x: float, y: float) -> tuple[float, float]:
        left, top, right, bottom = self._box
        (x0, x1), (y0, y1) = self._x, self._y
        return left + (x - x0) / (x1 - x0) * (right - left), bottom - (y - y0) / (y1 - y0) * (bottom - top)

    def _line(self, points: Sequence[tuple[float, float]], colour: str, width: float) -> None:
        self._pen.line([(x * FINER, y * FINER) for x, y in points], colour, round(width * FINER))

    def _dot(self, point: tuple[float, float], colour: str) -> None:
        x, y = point
        self._pen.ellipse([(x - 3) * FINER, (y - 3) * FINER, (x + 3) * FINER, (y + 3) * FINER], colour)

    def _text(
        self, point: tuple[float, float], text: str, anchor: str, colour: str = FAINT, height: int = LABEL
    ) -> None:
        x, y = point
        self._pen.text((x * FINER, y * FINER), text, colour, _font(height), anchor)


def ticks(low: float, high: float, most: int = 8) -> list[float]:
    """Round values between two bounds, at most so many, at steps of 1, 2 or 5 times a power of ten."""
    exponent = math.floor(math.log10((high - low) / most))
    step = next(s for s in (10.0**exponent * n for n in (1, 2, 5, 10, 20)) if (high - low) / s <= most - 1)
    return [round(step * i, 12) for i in range(math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9) + 1)]


def _widened(low: float, high: float) -> tuple[float, float]:
    """Bounds with a margin, so that marks at them are not cut; never empty."""
    margin = 0.03 * (high - low) or 0.5
    return low - margin, high + margin


def _font(height: int) -> Font:
    return ImageFont.load_default(height * FINER)
