"""The live preview of a run: the latent over time, as it forms."""

from __future__ import annotations

import math
import time
from collections.abc import Callable

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor
from torch.nn import functional

from .. import parameters

# Shortest time between two pictures, and largest share of the run's time spent on them.
INTERVAL_SECONDS = 0.25
TIME_SHARE = 0.02
MOST_SONGS = 4
# Heights in pixels at full width: all songs' channel maps together, their envelopes, and the ruler.
FULL_WIDTH, MAPS, ENVELOPES, RULER = 512, 112, 72, 16
# Full brightness: deviations from silence are seldom larger, and an early latent stays dark.
LOUD = 1.0
TICKS = (1, 2, 5, 10, 15, 30, 60, 120, 300)
MOST_TICKS = 8
INK = (14, 12, 34)
TEXT, ACCENT, QUIET_TEXT = (226, 222, 240), (94, 214, 218), (120, 116, 150)
HEAT = (INK, (54, 24, 92), (122, 36, 122), (196, 64, 104), (243, 122, 74), (253, 198, 112), (254, 246, 218))

Preview = tuple[str, Image.Image, int]  # what ComfyUI takes: format, picture, longest side


class LivePreview:
    """Decides when a run shows a picture, so that previews stay cheap, and draws it.

    size: longest side in pixels, None for no pictures. quiet: ``[c]``, the latent of silence. region: ``[b t 1]`` or
    ``[1 t 1]``, 1 where music is made, or None. frames: of the song; a run may be longer.
    """

    def __init__(
        self,
        size: int | None,
        quiet: Tensor,
        region: Tensor | None,
        frames: int,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._size = size
        self._quiet = quiet
        self._region = region
        self._frames = frames
        self._clock = clock
        self._began = self._last = clock()
        self._spent = 0.0

    def show(self, step: int, total: int, x0: Tensor) -> Preview | None:
        """The picture after ``step`` of ``total`` steps, when one is due; the last step always has one.

        x0: ``[b t c]``, the estimate of the clean latent, on any device.
        """
        now = self._clock()
        is_due = now - self._last >= INTERVAL_SECONDS and self._spent <= TIME_SHARE * (now - self._began)
        if self._size is None or not (is_due or step == total):
            return None
        # Waiting for the device is part of the run; only the drawing counts as time spent on previews.
        latents = x0[:MOST_SONGS, : self._frames].float().cpu()
        began = self._clock()
        region = None if self._region is None else self._region[:MOST_SONGS, : self._frames].float().cpu()
        image = draw_latents(latents, self._quiet.float().cpu(), region, step / total, self._size)
        self._last = self._clock()
        self._spent += self._last - began
        return "JPEG", image, self._size


def draw_latents(latents: Tensor, quiet: Tensor, region: Tensor | None, progress: float, size: int) -> Image.Image:
    """Every song as a map of its channels over time, with its envelope below, and a ruler in seconds.

    latents: ``[b t c]``; quiet: ``[c]``, the latent of silence, which is dark; region: ``[b t 1]`` or ``[1 t 1]``;
    progress: 0..1; size: width in pixels.
    """
    songs, frames, _ = latents.shape
    deviation = (latents - quiet).abs()
    held = _over_time(torch.zeros(1, frames, 1) if region is None else 1 - region, size)[:, 0]
    maps = _over_time(deviation, size)
    maps = maps / max(float(np.quantile(maps[..., ::4], 0.98)), LOUD)
    loudness = _over_time(deviation.norm(dim=2, keepdim=True) / math.sqrt(deviation.shape[2]), size)[:, 0]
    loudness = loudness / max(float(loudness.max()), LOUD)
    scale = size / FULL_WIDTH
    map_height, envelope_height = (max(8, round(scale * height / songs)) for height in (MAPS, ENVELOPES))
    rows = []
    for song in range(songs):
        song_held = held[song % len(held)]
        rows += [_map(maps[song], map_height, song_held), _envelope(loudness[song], envelope_height, song_held)]
    ruler = max(11, round(scale * RULER))
    rows.append(np.full((ruler, size, 3), INK, np.uint8))
    image = Image.fromarray(np.concatenate(rows))
    _ruler(image, ruler, frames / parameters.FRAME_RATE, progress)
    return image


def _over_time(values: Tensor, width: int) -> np.ndarray:
    """``[b t c]`` as ``[b c width]``, averaged or repeated."""
    return functional.adaptive_avg_pool1d(values.transpose(1, 2).contiguous(), width).numpy()


def _colours(values: np.ndarray) -> np.ndarray:
    """Values 0..1 as ``[... 3]`` on the heat scale."""
    positions = np.linspace(0, 1, len(HEAT))
    channels = [np.interp(values, positions, [colour[i] for colour in HEAT]) for i in range(3)]
    return np.stack(channels, axis=-1)


def _dimmed(pixels: np.ndarray, held: np.ndarray) -> np.ndarray:
    """Grey and darker where the source is held; held ``[width]`` 0..1."""
    grey = pixels.mean(axis=2, keepdims=True) * 0.45 + np.array(INK) * 0.4
    share = held[None, :, None]
    return (pixels * (1 - share) + grey * share).clip(0, 255).astype(np.uint8)


def _map(values: np.ndarray, height: int, held: np.ndarray) -> np.ndarray:
    """``[c width]`` as ``[height width 3]``; the region's edge is marked on top."""
    brightness = np.sqrt(values.clip(0, 1))
    tall = Image.fromarray((brightness * 255).astype(np.uint8)).resize(
        (brightness.shape[1], height), Image.Resampling.BILINEAR
    )
    pixels = _dimmed(_colours(np.asarray(tall) / 255), held)
    if held.any():
        pixels[:2] = np.where((held < 0.5)[None, :, None], np.array(ACCENT), pixels[:2])
    return pixels


def _envelope(loudness: np.ndarray, height: int, held: np.ndarray) -> np.ndarray:
    """``[width]`` as a mirrored band ``[height width 3]``, soft at its edge."""
    middle = (height - 1) / 2
    distance = np.abs(np.arange(height) - middle)[:, None]
    reach = (0.5 + loudness.clip(0, 1) * (middle - 0.5))[None]
    cover = (reach - distance + 0.5).clip(0, 1)[..., None]
    band = _colours(np.broadcast_to(0.35 + 0.6 * loudness.clip(0, 1), (height, len(loudness))))
    return _dimmed(band * cover + np.array(INK) * (1 - cover), held)


def _ruler(image: Image.Image, height: int, seconds: float, progress: float) -> None:
    """Time along the bottom, and how far the run is."""
    draw, width, top = ImageDraw.Draw(image), image.width, image.height - height
    font = ImageFont.load_default()
    step = next((tick for tick in TICKS if seconds / tick <= MOST_TICKS), math.ceil(seconds / MOST_TICKS))
    for second in range(0, math.floor(seconds) + 1, step):
        x = min(round(second / seconds * width), width - 1)
        draw.line((x, top, x, top + 3), fill=QUIET_TEXT)
        label = f"{second // 60}:{second % 60:02d}"
        label_width = draw.textlength(label, font=font)
        if x + 3 + label_width <= width:
            draw.text((x + 3, top), label, fill=TEXT, font=font)
    draw.line((0, image.height - 1, round(progress * (width - 1)), image.height - 1), fill=ACCENT, width=2)
