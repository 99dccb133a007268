"""Draws the icon and the banner of the registry page: python docs/generate/draw_icon.py

A song emerging from noise: scattered bars on the left settle into a wave on the right.
"""

from __future__ import annotations

import math
import random

from pages import DOCS
from PIL import Image, ImageDraw, ImageFont

IMAGES = DOCS / "images"
OVERSAMPLING = 4  # drawn larger and scaled down, for smooth edges
NIGHT, DAY = (18, 20, 38), (44, 30, 74)
COLD, WARM = (94, 129, 244), (255, 170, 92)

Colour = tuple[int, int, int]


def icon() -> Image.Image:
    """A square of 400 pixels."""
    image = _ground(400, 400)
    _bars(image, left=0.10, right=0.90, middle=0.53, height=0.62, count=13)
    return _finish(image)


def banner() -> Image.Image:
    """21:9, with the name."""
    image = _ground(1260, 540)
    _bars(image, left=0.06, right=0.94, middle=0.40, height=0.50, count=47)
    draw = ImageDraw.Draw(image)
    middle = image.width / 2
    draw.text((middle, image.height * 0.78), "ACE-Step 1.5 XL", (245, 245, 250), _font(58), anchor="mm")
    subtitle = "captions and lyrics to songs, covers and repaints"
    draw.text((middle, image.height * 0.89), subtitle, (176, 180, 204), _font(27), anchor="mm")
    return _finish(image)


def _ground(width: int, height: int) -> Image.Image:
    """Night at the top, a little lighter below."""
    column = Image.new("RGB", (1, 256))
    for y in range(256):
        column.putpixel((0, y), _between(NIGHT, DAY, y / 255))
    return column.resize((width * OVERSAMPLING, height * OVERSAMPLING), Image.Resampling.BILINEAR)


def _bars(image: Image.Image, *, left: float, right: float, middle: float, height: float, count: int) -> None:
    """Rounded bars across the picture; positions and sizes are fractions of it."""
    draw, dice = ImageDraw.Draw(image), random.Random(15)
    pitch = (right - left) * image.width / count
    for index in range(count):
        position = index / (count - 1)
        order = 1 / (1 + math.exp(-12 * (position - 0.42)))  # 0 is noise, 1 is song
        song = 0.30 + 0.70 * abs(math.sin(2.6 * math.pi * position + 0.5)) * (0.75 + 0.25 * math.cos(9 * position))
        size = height * image.height * (order * song + (1 - order) * dice.uniform(0.10, 0.75))
        shift = (1 - order) * dice.uniform(-0.16, 0.16) * image.height
        x, y, half = left * image.width + (index + 0.5) * pitch, middle * image.height + shift, 0.30 * pitch
        box = (x - half, y - max(size / 2, half), x + half, y + max(size / 2, half))
        draw.rounded_rectangle(box, radius=half, fill=_between(COLD, WARM, order))


def _between(a: Colour, b: Colour, fraction: float) -> Colour:
    red, green, blue = (round(x + (y - x) * fraction) for x, y in zip(a, b, strict=True))
    return red, green, blue


def _font(size: int) -> ImageFont.FreeTypeFont:
    from matplotlib import get_data_path

    return ImageFont.truetype(f"{get_data_path()}/fonts/ttf/DejaVuSans.ttf", size * OVERSAMPLING)


def _finish(image: Image.Image) -> Image.Image:
    return image.reduce(OVERSAMPLING)


if __name__ == "__main__":
    icon().save(IMAGES / "icon.png", optimize=True)
    banner().save(IMAGES / "banner.png", optimize=True)
