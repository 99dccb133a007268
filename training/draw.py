"""Draws songs of the demo checkpoint for `docs/demo-model.md`: `python -m training.draw`. Needs matplotlib."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from acestep_xl.model import demo

from . import composer, evaluate, evaluate_edits, generate, held_out, sounds
from .generate import Checkpoint

IMAGES = Path(__file__).parent.parent / "docs" / "images"
SONGS, SEED = 3, 500
FLOOR = -70.0  # decibels; black in a spectrogram
SIZE = 2048


def decibels(wave: np.ndarray) -> np.ndarray:
    """The spectrogram `[frequencies frames]` of the mid channel of `[2 n]`, relative to its peak."""
    window = torch.hann_window(SIZE)
    spectrum = torch.stft(torch.tensor(wave.mean(axis=0)), SIZE, 480, window=window, return_complex=True).abs()
    return (20 * torch.log10(spectrum / spectrum.max() + 1e-9)).clamp_min(FLOOR).numpy()


def picture(waves: Sequence[tuple[str, np.ndarray]], path: Path, mark: tuple[float, float] | None = None) -> None:
    """Draw titled waveforms `[2 n]` with their spectrograms; mark: start and end of the repainted seconds."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 3.4 * len(waves)), layout="constrained")
    axes = figure.subplots(2 * len(waves), 1, height_ratios=[1, 2] * len(waves))
    for number, (title, wave) in enumerate(waves):
        above, below = axes[2 * number], axes[2 * number + 1]
        seconds = wave.shape[1] / sounds.RATE
        above.plot(np.linspace(0, seconds, wave.shape[1])[::24], wave.mean(axis=0)[::24], linewidth=0.3)
        above.set(xlim=(0, seconds), ylim=(-1, 1), xticks=[], title=title)
        spectrogram = decibels(wave)[: 12000 * SIZE // sounds.RATE]
        below.imshow(spectrogram, origin="lower", aspect="auto", extent=(0, seconds, 0, 12), cmap="magma")
        below.set(yscale="symlog", ylim=(0.04, 12), yticks=(0.1, 0.3, 1, 3, 10), ylabel="kHz")
        below.set_yticklabels(["0.1", "0.3", "1", "3", "10"])
        for second in mark or ():
            for axis in (above, below):
                axis.axvline(second, color="tab:green")
    axes[-1].set_xlabel("seconds")
    figure.savefig(path, dpi=80)


def main() -> None:
    checkpoint = Checkpoint(*demo.load())
    cases = held_out.cases(SONGS, evaluate.SECONDS, first=held_out.FIRST + SEED)
    frames = evaluate.SECONDS * sounds.RATE // sounds.HOP
    latents = generate.songs(
        checkpoint, [prompt for _, prompt in cases], frames, scale=7.0, steps=generate.STEPS, seed=SEED
    )
    titles = [f"{plan.bpm} bpm, {plan.key}: {prompt.caption}" for plan, prompt in cases]
    picture(list(zip(titles, generate.decode(checkpoint, latents), strict=True)), IMAGES / "demo_songs.png")

    ((plan, prompt),) = held_out.cases(1, evaluate_edits.REPAINT_SECONDS, "repaint", held_out.FIRST + 20_000)
    source, mask = evaluate_edits.sources(checkpoint, [plan]), torch.zeros(1, plan.frames, 1)
    first, last = evaluate_edits.REGION
    mask[:, first * sounds.RATE // sounds.HOP : last * sounds.RATE // sounds.HOP] = 1
    repainted = generate.repaints(checkpoint, [prompt], source, mask, scale=7.0, steps=generate.STEPS, seed=SEED)
    after = generate.decode(checkpoint, repainted)[0]
    waves = [("the source", composer.render_song(plan)), ("repainted between the lines", after)]
    picture(waves, IMAGES / "demo_repaint.png", evaluate_edits.REGION)


if __name__ == "__main__":
    main()
