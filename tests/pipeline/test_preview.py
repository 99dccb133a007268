"""Live previews of a latent: what they show, and how often they are drawn."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import graphs
import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from acestep_xl.host.headless import HeadlessHost
from acestep_xl.pipeline import preview
from acestep_xl.pipeline.preview import LivePreview, draw_latents

QUIET = torch.linspace(-1, 1, 64)


def song(seconds: float, loud: slice = slice(0, 0), songs: int = 1) -> Tensor:
    """Silence ``[b t 64]`` with one loud part; loud is in frames."""
    latents = QUIET.expand(songs, round(seconds * 25), 64).clone()
    latents[:, loud] += 3 * torch.randn(latents[:, loud].shape, generator=torch.Generator().manual_seed(0))
    return latents


def pixels(image: Image.Image) -> np.ndarray:
    return np.asarray(image).astype(float)


def body(image: Image.Image) -> np.ndarray:
    """The rows above the ruler."""
    return pixels(image)[: -preview.RULER]


def test_silence_is_dark_and_music_bright_where_it_is() -> None:
    shown = body(draw_latents(song(40, slice(250, 500)), QUIET, None, 0.5, 512))
    brightness = shown.mean(axis=(0, 2))
    assert brightness[140:240].min() > 2 * brightness[:120].max()
    assert brightness[270:].max() < 1.2 * np.mean(preview.INK) * 3


def test_a_faint_latent_stays_dark() -> None:
    """Brightness is absolute: scaled to a faint early estimate, a picture would show noise as music."""
    faint = QUIET + 0.03 * torch.randn(1, 500, 64)
    early = body(draw_latents(faint, QUIET, None, 0.1, 512)).mean()
    late = body(draw_latents(song(20, slice(0, 500)), QUIET, None, 1.0, 512)).mean()
    assert early < 0.6 * late


def test_frames_outside_the_region_are_grey() -> None:
    region = torch.zeros(1, 1000, 1)
    region[:, 250:500] = 1
    shown = body(draw_latents(song(40, slice(0, 1000)), QUIET, region, 0.5, 512))
    colour = (shown.max(axis=2) - shown.min(axis=2)).mean(axis=0)
    assert colour[140:240].min() > 2 * max(colour[:120].max(), colour[270:].max())
    assert tuple(shown[0, 190]) == preview.ACCENT and tuple(shown[0, 30]) != preview.ACCENT


@pytest.mark.parametrize("songs", [1, 2, 4])
@pytest.mark.parametrize("size", [128, 512, 1024])
@pytest.mark.parametrize("seconds", [1.0, 5.12, 60.0, 600.0])
def test_every_length_and_batch_has_a_picture_of_that_width(seconds: float, size: int, songs: int) -> None:
    image = draw_latents(song(seconds, slice(0, 10), songs), QUIET, None, 1.0, size)
    assert image.width == size and 0.3 * size < image.height < 0.6 * size and image.mode == "RGB"


def test_songs_of_a_batch_are_stacked() -> None:
    latents = torch.cat([song(20), song(20, slice(0, 500))])
    shown = body(draw_latents(latents, QUIET, None, 1.0, 512))
    half = len(shown) // 2
    assert shown[half:].mean() > 3 * shown[:half].mean()


def test_the_bottom_line_shows_the_progress() -> None:
    ends = []
    for progress in (0.0, 0.25, 1.0):
        line = pixels(draw_latents(song(20), QUIET, None, progress, 512))[-1]
        ends.append(int((np.abs(line - preview.ACCENT).max(axis=1) < 1).sum()))
    assert ends[0] <= 2 and abs(ends[1] - 128) <= 2 and ends[2] >= 511


class Clock:
    """A clock that the test advances; drawing a picture takes `drawing` seconds."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, drawing: float) -> None:
        self.now = 0.0
        draw = preview.draw_latents

        def slow(*arguments: Any) -> Image.Image:
            self.now += drawing
            return draw(*arguments)

        monkeypatch.setattr(preview, "draw_latents", slow)

    def __call__(self) -> float:
        return self.now


def shown_steps(clock: Clock, steps: int, seconds_per_step: float) -> list[int]:
    """The steps that show a picture."""
    live, shown = LivePreview(64, QUIET, None, 50, clock), []
    for step in range(1, steps + 1):
        clock.now += seconds_per_step
        if live.show(step, steps, song(2)) is not None:
            shown.append(step)
    return shown


def test_at_most_four_pictures_per_second_and_always_the_last(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock(monkeypatch, drawing=0.001)
    steps = shown_steps(clock, 101, 0.01)
    assert steps[-1] == 101 and 3 <= len(steps) <= 5
    assert shown_steps(Clock(monkeypatch, 0.001), 3, 0.01) == [3]
    assert shown_steps(Clock(monkeypatch, 0.001), 5, 2.0) == [1, 2, 3, 4, 5]


def test_slow_pictures_are_drawn_less_often(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock(monkeypatch, drawing=0.1)
    steps = shown_steps(clock, 200, 0.2)
    assert 0.1 * (len(steps) - 2) <= preview.TIME_SHARE * clock.now
    assert len(steps) >= 5


def test_no_size_no_picture() -> None:
    assert LivePreview(None, QUIET, None, 50).show(1, 1, song(2)) is None


def test_the_padding_of_a_short_song_is_not_shown() -> None:
    """The network runs on at least five seconds."""
    live = LivePreview(512, QUIET, torch.ones(1, 128, 1), 25)
    shown = live.show(1, 1, song(5.12, slice(25, 128)))
    assert shown is not None
    kind, image, size = shown
    assert (kind, size) == ("JPEG", 512)
    assert body(image).mean() < 1.1 * np.mean(preview.INK), "the loud padding is not in the picture"


class PreviewHost(HeadlessHost):
    """A host that records the updates of its progress bars."""

    updates: list[tuple[int, Any]]

    def preview_size(self) -> int | None:
        return 200

    def progress(self, total: int) -> Any:
        host = self

        class Bar:
            def update(self, value: int, preview: object | None = None) -> None:
                host.updates.append((value, preview))

            def close(self) -> None: ...

            def __enter__(self) -> Bar:
                return self

            def __exit__(self, *_: object) -> None: ...

        return Bar()


@pytest.mark.parametrize("songs", [1, 2])
def test_the_sampler_passes_pictures_to_the_progress_bar(songs: int, tmp_path: Path) -> None:
    host = PreviewHost([], tmp_path, device="cpu")
    host.updates = []
    graphs.run(tmp_path, {"empty.batch_size": songs}, host=host)
    pictures = [(value, picture) for value, picture in host.updates if picture is not None]
    assert pictures and pictures[-1][0] == 3
    kind, image, size = pictures[-1][1]
    assert (kind, image.width, size) == ("JPEG", 200, 200)
