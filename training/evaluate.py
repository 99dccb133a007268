"""Measures a demo checkpoint and writes a page with the results.

Every measure is calibrated on composed songs, and its accuracy on other composed songs is reported beside the
checkpoint's. Chance is the same songs compared with the prompts of other songs.
"""

from __future__ import annotations

import datetime
import platform
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from scipy.stats import binomtest
from torch import Tensor

from acestep_xl.model.prompt import Prompt

from . import captions, composer, evaluate_edits, generate, held_out, measure, sounds
from .composer import Plan
from .generate import STEPS, Checkpoint, decode
from .measure import Measurement, Thresholds

PROMPTS, SONGS, REPAINTS, CLIPS = 60, 3, 30, 40
SECONDS = 10
CALIBRATION = 7_500_000_000
SIGNIFICANCE = 0.05  # a gain is called clear if chance explains it with at most this probability
TARGETS = {"tempo": 80, "key": 60, "drums": 90, "loud or soft": 80, "bright or dark": 80}


@dataclass(frozen=True)
class Sizes:
    """How much to measure. songs: per prompt."""

    prompts: int = PROMPTS
    songs: int = SONGS
    repaints: int = REPAINTS
    clips: int = CLIPS
    calibration: int = 100


def reconstruction(checkpoint: Checkpoint, clips: int) -> dict[str, float]:
    """Signal-to-distortion ratio (dB) and spectral convergence on held-out clips."""
    ratios, distances = [], []
    for i in range(clips):
        wave = torch.tensor(composer.render_song(composer.draw_plan(held_out.FIRST + 10_000 + i, SECONDS)))[None]
        decoded = checkpoint.vae.decode(checkpoint.vae.encode(wave))
        ratios.append(10 * float(torch.log10(wave.square().sum() / (wave - decoded).square().sum())))
        distances.append(spectral_convergence(wave, decoded))
    return {
        "SDR, mean (dB)": float(np.mean(ratios)),
        "SDR, lowest (dB)": min(ratios),
        "spectral convergence, mean": float(np.mean(distances)),
    }


def spectral_convergence(wave: Tensor, decoded: Tensor) -> float:
    """Distance of the magnitudes over the norm of the original's, mean of three resolutions (arXiv 1808.06719)."""
    ratios = []
    for size in (512, 1024, 2048):
        window = torch.hann_window(size)
        a, b = (torch.stft(x[0], size, size // 4, window=window, return_complex=True).abs() for x in (wave, decoded))
        ratios.append(float((a - b).norm() / a.norm()))
    return float(np.mean(ratios))


def measure_songs(
    checkpoint: Checkpoint, cases: Sequence[tuple[Plan, Prompt]], scale: float, seed: int = 11
) -> list[Measurement]:
    """Generate a song for each prompt and measure it."""
    measurements: list[Measurement] = []
    for start in range(0, len(cases), 12):
        prompts = [prompt for _, prompt in cases[start : start + 12]]
        frames = SECONDS * sounds.RATE // sounds.HOP
        latents = generate.songs(checkpoint, prompts, frames, scale=scale, steps=STEPS, seed=seed + start)
        measurements += [measure.measure(wave) for wave in decode(checkpoint, latents)]
    return measurements


def fulfilled_percent(songs: Sequence[Measurement], plans: Sequence[Plan], limits: Thresholds) -> dict[str, float]:
    """Percentage of the songs that fulfil each wish."""
    fulfilled = [measure.fulfilled(song, plan, limits) for song, plan in zip(songs, plans, strict=True)]
    return {name: 100 * sum(wishes[name] for wishes in fulfilled) / len(fulfilled) for name in TARGETS}


def gain(more: Sequence[float], less: Sequence[float]) -> tuple[float, float]:
    """How many percentage points more often a wish is fulfilled, and the probability of that by chance.

    more, less: the share of songs for each prompt. Exact one-sided sign test over the prompts that differ (McNemar
    1947, Psychometrika 12).
    """
    pairs = list(zip(more, less, strict=True))
    better, different = sum(a > b for a, b in pairs), sum(a != b for a, b in pairs)
    p = float(binomtest(better, different, alternative="greater").pvalue) if different else 1.0
    return 100 * (sum(more) - sum(less)) / len(pairs), p


def gains(
    songs: dict[float, list[Measurement]], plans: Sequence[Plan], limits: Thresholds, prompts: int
) -> dict[str, str]:
    """The gain of guidance 7 over guidance 1 for each wish, in words.

    songs: by guidance scale, in the order of plans, which repeat after every ``prompts`` songs.
    """

    def shares(scale: float, name: str) -> list[float]:
        fulfilled = [measure.fulfilled(s, p, limits)[name] for s, p in zip(songs[scale], plans, strict=True)]
        return [float(np.mean(fulfilled[i::prompts])) for i in range(prompts)]

    gained = {}
    for name in TARGETS:
        points, p = gain(shares(7.0, name), shares(1.0, name))
        gained[name] = f"{points:+.0f}, {'clear' if p < SIGNIFICANCE else 'not clear'} (p {p:.2g})"
    return gained


def chance(songs: Sequence[Measurement], plans: Sequence[Plan], limits: Thresholds) -> dict[str, float]:
    """The same songs compared with the plans of others, averaged over every rotation."""
    rotations = [fulfilled_percent(songs, [*plans[i:], *plans[:i]], limits) for i in range(1, len(plans))]
    return {name: float(np.mean([rotation[name] for rotation in rotations])) for name in TARGETS}


def seconds_of(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def timings(checkpoint: Checkpoint) -> dict[str, float]:
    """Seconds of complete runs, including decoding, on two threads."""
    torch.set_num_threads(2)
    plan, prompt = held_out.cases(1, SECONDS)[0]

    def run(seconds: int, steps: int) -> None:
        longer = replace(
            prompt, metadata=captions.prompt(replace(plan, seconds=seconds), np.random.default_rng(0)).metadata
        )
        frames = seconds * sounds.RATE // sounds.HOP
        latents = generate.songs(checkpoint, [longer], frames, scale=7.0, steps=steps, seed=1)
        checkpoint.vae.decode(latents.transpose(1, 2))

    run(SECONDS, 2)
    return {
        "20 s of music, 30 steps, guidance 7": seconds_of(lambda: run(20, 30)),
        "60 s of music, 50 steps, guidance 7": seconds_of(lambda: run(60, 50)),
    }


def report(checkpoint: Checkpoint, sizes: Sizes, say: Callable[[str], None]) -> str:
    """The page, in Markdown. say: called with each result as it is measured."""
    limits = measure.calibrate(CALIBRATION, sizes.calibration, SECONDS)
    rows = _prompt_rows(checkpoint, limits, sizes, say)
    codec = reconstruction(checkpoint, sizes.clips)
    say(f"VAE: {codec}")
    repaints = evaluate_edits.measure_repaints(checkpoint, sizes.repaints, 7.0)
    say(f"repaint: {repaints}")
    extensions = evaluate_edits.measure_extensions(checkpoint, sizes.repaints, 7.0)
    say(f"extend: {extensions}")
    covers = evaluate_edits.measure_covers(checkpoint, sizes.repaints, 7.0)
    say(f"cover: {covers}")
    speed = timings(checkpoint)
    say(f"seconds: {speed}")
    template = (Path(__file__).parent / "evaluation_page.md").read_text("utf-8")
    return template.format(
        date=datetime.date.today().isoformat(),
        prompts=sizes.prompts,
        songs=sizes.songs,
        significance=SIGNIFICANCE,
        seconds=SECONDS,
        steps=STEPS,
        rows=rows,
        codec=_table(codec),
        clips=sizes.clips,
        codec_verdict=verdict(codec["SDR, mean (dB)"], 10),
        edits=sizes.repaints,
        repaints=_table(repaints),
        repaint_verdict=verdict(repaints["both agree (%)"], 70),
        extensions=_table(extensions),
        covers=_table(covers),
        speed=_table(speed),
        speed_verdict="met" if speed["20 s of music, 30 steps, guidance 7"] < 20 else "missed",
        calibration=sizes.calibration,
        machine=f"{platform.machine()}, Python {platform.python_version()}, torch {torch.__version__}",
        region=evaluate_edits.REPAINT_TEXT,
        extend=evaluate_edits.EXTEND_TEXT,
        cover=evaluate_edits.COVER_TEXT,
    )


def _prompt_rows(checkpoint: Checkpoint, limits: Thresholds, sizes: Sizes, say: Callable[[str], None]) -> str:
    """How often songs fulfil each wish of their prompt, as rows of a table."""
    prompts = held_out.cases(sizes.prompts, SECONDS)
    prompt_plans, cases = [plan for plan, _ in prompts], prompts * sizes.songs
    plans = [plan for plan, _ in cases]
    renderings = [measure.measure(composer.render_song(plan)) for plan in prompt_plans]
    composed = fulfilled_percent(renderings, prompt_plans, limits)
    say(f"composed songs: {composed}")
    songs = {scale: measure_songs(checkpoint, cases, scale) for scale in (7.0, 1.0)}
    guided, unguided = (fulfilled_percent(songs[scale], plans, limits) for scale in (7.0, 1.0))
    gained = gains(songs, plans, limits, sizes.prompts)
    say(f"guidance 7: {guided}; guidance 1: {unguided}; gain: {gained}")
    random = chance(songs[7.0][: len(prompt_plans)], prompt_plans, limits)
    return "\n".join(
        f"| {name} | {target} % | {guided[name]:.0f} % | {unguided[name]:.0f} % | {gained[name]} | "
        f"{random[name]:.0f} % | {composed[name]:.0f} % | {verdict(guided[name], target)} |"
        for name, target in TARGETS.items()
    )


def verdict(value: float, target: float) -> str:
    return "met" if value >= target else f"missed by {target - value:.1f}"


def _table(values: dict[str, float]) -> str:
    return "\n".join(f"| {name} | {value:.3g} |" for name, value in values.items())


def write_page(page: str, folder: Path) -> Path:
    """Write the page into the folder of benchmark reports, replacing an earlier one."""
    path = folder / "demo-model.md"
    part = path.with_suffix(".part")
    part.write_text(page, encoding="utf-8")
    part.replace(path)
    return path
