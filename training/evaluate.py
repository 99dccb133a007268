"""What a demo checkpoint can do, in numbers: writes a page with tables.

Every measure is set on composed songs, and its accuracy on other composed songs stands beside the checkpoint's. Chance
is the same songs held against the prompts of other songs.
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
from .generate import STEPS, Checkpoint, decoded
from .measure import Measured, Thresholds

PROMPTS, SONGS, REPAINTS, CLIPS = 60, 3, 30, 40
SECONDS = 10
CALIBRATION = 7_500_000_000
SURE = 0.05  # luck explains a gain that is called clear no more often than this
TARGETS = {"tempo": 80, "key": 60, "drums": 90, "loud or soft": 80, "bright or dark": 80}


@dataclass(frozen=True)
class Sizes:
    """How much is measured. songs: of each prompt."""

    prompts: int = PROMPTS
    songs: int = SONGS
    repaints: int = REPAINTS
    clips: int = CLIPS
    calibration: int = 100


def reconstruction(checkpoint: Checkpoint, clips: int) -> dict[str, float]:
    """Signal-to-distortion ratio (dB) and spectral convergence of held-out clips."""
    ratios, distances = [], []
    for i in range(clips):
        wave = torch.tensor(composer.song(composer.draw(held_out.FIRST + 10_000 + i, SECONDS)))[None]
        again = checkpoint.vae.decode(checkpoint.vae.encode(wave))
        ratios.append(10 * float(torch.log10(wave.square().sum() / (wave - again).square().sum())))
        distances.append(spectral_convergence(wave, again))
    return {
        "SDR, mean (dB)": float(np.mean(ratios)),
        "SDR, lowest (dB)": min(ratios),
        "spectral convergence, mean": float(np.mean(distances)),
    }


def spectral_convergence(wave: Tensor, again: Tensor) -> float:
    """Distance of magnitudes over the size of the original's, mean of three resolutions (arXiv 1808.06719)."""
    found = []
    for size in (512, 1024, 2048):
        window = torch.hann_window(size)
        a, b = (torch.stft(x[0], size, size // 4, window=window, return_complex=True).abs() for x in (wave, again))
        found.append(float((a - b).norm() / a.norm()))
    return float(np.mean(found))


def texts(checkpoint: Checkpoint, cases: Sequence[tuple[Plan, Prompt]], scale: float, seed: int = 11) -> list[Measured]:
    """Songs of the prompts, measured."""
    found: list[Measured] = []
    for start in range(0, len(cases), 12):
        prompts = [prompt for _, prompt in cases[start : start + 12]]
        frames = SECONDS * sounds.RATE // sounds.HOP
        latents = generate.songs(checkpoint, prompts, frames, scale=scale, steps=STEPS, seed=seed + start)
        found += [measure.measure(wave) for wave in decoded(checkpoint, latents)]
    return found


def percent(found: Sequence[Measured], plans: Sequence[Plan], limits: Thresholds) -> dict[str, float]:
    """Share of the songs that fulfil each wish."""
    obeyed = [measure.obeyed(m, plan, limits) for m, plan in zip(found, plans, strict=True)]
    return {name: 100 * sum(o[name] for o in obeyed) / len(obeyed) for name in TARGETS}


def gain(more: Sequence[float], less: Sequence[float]) -> tuple[float, float]:
    """How many percent more often a wish is fulfilled, and the probability of as much by luck. more, less: for every
    prompt the share of its songs.

    Exact one-sided sign test over the prompts that differ (McNemar 1947, Psychometrika 12).
    """
    pairs = list(zip(more, less, strict=True))
    up, differ = sum(a > b for a, b in pairs), sum(a != b for a, b in pairs)
    luck = float(binomtest(up, differ, alternative="greater").pvalue) if differ else 1.0
    return 100 * (sum(more) - sum(less)) / len(pairs), luck


def gains(
    found: dict[float, list[Measured]], plans: Sequence[Plan], limits: Thresholds, prompts: int
) -> dict[str, str]:
    """For every wish what guidance 7 gains over guidance 1, in words. Every prompts songs the prompts come again."""

    def shares(scale: float, name: str) -> list[float]:
        obeyed = [measure.obeyed(m, p, limits)[name] for m, p in zip(found[scale], plans, strict=True)]
        return [float(np.mean(obeyed[i::prompts])) for i in range(prompts)]

    said = {}
    for name in TARGETS:
        points, luck = gain(shares(7.0, name), shares(1.0, name))
        said[name] = f"{points:+.0f}, {'clear' if luck < SURE else 'not clear'} (p {luck:.2g})"
    return said


def chance(found: Sequence[Measured], plans: Sequence[Plan], limits: Thresholds) -> dict[str, float]:
    """The same songs against the plans of others, over every rotation."""
    turns = [percent(found, [*plans[i:], *plans[:i]], limits) for i in range(1, len(plans))]
    return {name: float(np.mean([turn[name] for turn in turns])) for name in TARGETS}


def seconds_of(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def timings(checkpoint: Checkpoint) -> dict[str, float]:
    """Seconds of whole runs, decoding included, on two threads."""
    torch.set_num_threads(2)
    plan, prompt = held_out.cases(1, SECONDS)[0]

    def run(seconds: int, steps: int) -> None:
        wanted = replace(
            prompt, metadata=captions.prompt(replace(plan, seconds=seconds), np.random.default_rng(0)).metadata
        )
        frames = seconds * sounds.RATE // sounds.HOP
        latents = generate.songs(checkpoint, [wanted], frames, scale=7.0, steps=steps, seed=1)
        checkpoint.vae.decode(latents.transpose(1, 2))

    run(SECONDS, 2)
    return {
        "20 s of music, 30 steps, guidance 7": seconds_of(lambda: run(20, 30)),
        "60 s of music, 50 steps, guidance 7": seconds_of(lambda: run(60, 50)),
    }


def report(checkpoint: Checkpoint, sizes: Sizes, say: Callable[[str], None]) -> str:
    """The page, in markdown."""
    limits = measure.calibrate(CALIBRATION, sizes.calibration, SECONDS)
    prompts = held_out.cases(sizes.prompts, SECONDS)
    drawn, cases = [plan for plan, _ in prompts], prompts * sizes.songs
    plans = [plan for plan, _ in cases]
    composed = percent([measure.measure(composer.song(plan)) for plan in drawn], drawn, limits)
    say(f"composed songs: {composed}")
    found = {scale: texts(checkpoint, cases, scale) for scale in (7.0, 1.0)}
    obeys = {scale: percent(songs, plans, limits) for scale, songs in found.items()}
    gained = gains(found, plans, limits, sizes.prompts)
    say(f"guidance 7: {obeys[7.0]}; guidance 1: {obeys[1.0]}; gain: {gained}")
    random = chance(found[7.0][: len(drawn)], drawn, limits)
    rows = [
        f"| {name} | {target} % | {obeys[7.0][name]:.0f} % | {obeys[1.0][name]:.0f} % | {gained[name]} | "
        f"{random[name]:.0f} % | {composed[name]:.0f} % | {verdict(obeys[7.0][name], target)} |"
        for name, target in TARGETS.items()
    ]
    codec = reconstruction(checkpoint, sizes.clips)
    say(f"VAE: {codec}")
    edits = evaluate_edits.edited(checkpoint, sizes.repaints, 7.0)
    say(f"repaint: {edits}")
    appended = evaluate_edits.extended(checkpoint, sizes.repaints, 7.0)
    say(f"extend: {appended}")
    covers = evaluate_edits.covered(checkpoint, sizes.repaints, 7.0)
    say(f"cover: {covers}")
    speed = timings(checkpoint)
    say(f"seconds: {speed}")
    return (
        (Path(__file__).parent / "evaluation_page.md")
        .read_text("utf-8")
        .format(
            date=datetime.date.today().isoformat(),
            prompts=sizes.prompts,
            songs=sizes.songs,
            sure=SURE,
            seconds=SECONDS,
            steps=STEPS,
            rows="\n".join(rows),
            codec=_table(codec),
            clips=sizes.clips,
            codec_verdict=verdict(codec["SDR, mean (dB)"], 10),
            repaints=sizes.repaints,
            edits=_table(edits),
            edit_verdict=verdict(edits["both agree (%)"], 70),
            appended=_table(appended),
            covers=_table(covers),
            speed=_table(speed),
            speed_verdict="met" if speed["20 s of music, 30 steps, guidance 7"] < 20 else "missed",
            calibration=sizes.calibration,
            machine=f"{platform.machine()}, Python {platform.python_version()}, torch {torch.__version__}",
            region=evaluate_edits.REGION_TOLD,
            extend=evaluate_edits.EXTEND_TOLD,
            cover=evaluate_edits.COVER_TOLD,
        )
    )


def verdict(value: float, target: float) -> str:
    return "met" if value >= target else f"missed by {target - value:.1f}"


def _table(values: dict[str, float]) -> str:
    return "\n".join(f"| {name} | {value:.3g} |" for name, value in values.items())


def write(page: str, folder: Path) -> Path:
    """Put the page among the benchmarks, under its date."""
    path = folder / f"{datetime.date.today().isoformat()}-demo-model.md"
    unfinished = path.with_suffix(".part")
    unfinished.write_text(page, encoding="utf-8")
    unfinished.replace(path)
    return path
