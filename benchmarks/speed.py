"""Time and memory of a step and of the decoder, this project against diffusers, same weights, in turn, in one run:

    python benchmarks/speed.py [--tiny] [--one-thread] [--layers N] [--sizes NAME ...] [--durations SECONDS ...]
                                [--report FOLDER]

Runs on a GPU where there is one (bf16, all layers, also against diffusers compiled), else on the CPU (float32, two
layers of each size, because a step of all of them takes minutes). On a machine that does other things too, --one-thread
counts the processor time of one thread, which does not lengthen with what else runs. Writes a dated report and a chart
(`../images/speed.png`, seen from the report). Needs Linux, matplotlib and diffusers; no model files.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path

import torch
from machine import in_turn, matrix_rate, seconds
from rivals import SIZES, Rivals, Song, VAEs, done_by_diffusers, needed, rivals, vaes
from speed_page import Row, chart, line, report
from torch import Tensor

from acestep_xl.model.config import Config
from acestep_xl.parameters import FRAME_RATE
from acestep_xl.sampler.denoise import denoise
from acestep_xl.sampler.guidance import Guidance
from acestep_xl.sampler.schedule import linear
from acestep_xl.sampler.solver import euler

PRODUCTS = ("mm", "addmm", "bmm", "attention", "convolution", "gemm", "cutlass", "nvjet", "flash", "fmha")
TARGET, SHARE_TARGET, INTERVAL_TARGET, GROWTH_TARGET = 1.25, 1.1, 0.8, 1.25
SHARP = "XL"  # the size that the targets are about
LONG = 200.0  # seconds


@dataclass(frozen=True)
class Plan:
    """What is measured. layers: None for all."""

    sizes: tuple[str, ...]
    layers: int | None
    songs: tuple[tuple[float, int], ...]  # seconds and batch
    targets: tuple[float, ...]  # durations that the target is about
    rounds: int  # of songs below LONG; of longer ones a third, at least one, without a warm-up
    run_seconds: float
    run_steps: int
    vae_seconds: float


TINY_PLAN = Plan(("tiny",), 2, ((10.0, 1), (30.0, 2)), (30.0,), 1, 10.0, 4, 0.2)
CPU_PLAN = Plan(
    ("tiny", "2B", "XL"),
    2,
    ((10.0, 1), (60.0, 1), (60.0, 4), (240.0, 1), (600.0, 1)),
    (60.0, 240.0, 600.0),
    3,
    60.0,
    8,
    4.0,
)
ONE_THREAD_PLAN = replace(CPU_PLAN, sizes=("tiny", "XL"), rounds=2)
GPU_PLAN = Plan(
    ("tiny", "2B", "XL"), None, ((10.0, 1), (60.0, 1), (60.0, 4), (240.0, 1), (600.0, 1)), (60.0,), 10, 60.0, 50, 60.0
)


def steps_of(pair: Rivals, size: str, plan: Plan, rate: float, device: torch.device) -> list[Row]:
    """Every song of the plan, guided and not."""
    rows = []
    for duration, batch in plan.songs:
        song = Song(pair, duration, batch)
        tokens = -(-song.x.shape[1] // pair.config.patch_size)
        for guided in (True, False):
            contestants: dict[str, Callable[[], object]] = {
                "ours": lambda song=song, guided=guided: song.ours(guided),
                "theirs": lambda song=song, guided=guided: song.theirs(guided),
            }
            short = duration < LONG
            best = in_turn(contestants, plan.rounds if short else max(1, plan.rounds // 3), device, warm_up=short)
            compiled = _compiled(song, guided, plan.rounds, device) if device.type == "cuda" else None
            limit = needed(pair.config, tokens, batch, guided) / rate
            apart = _apart(song.ours(guided), song.theirs(guided))
            rows.append(Row(size, duration, batch, guided, best["ours"], best["theirs"], compiled, limit, apart))
            print(line(rows[-1]), flush=True)
    return rows


def _compiled(song: Song, guided: bool, rounds: int, device: torch.device) -> float:
    plain = song.pair.theirs.forward
    song.pair.theirs.forward = torch.compile(plain)  # its own method, of this one object
    try:
        return in_turn({"compiled": lambda: song.theirs(guided)}, rounds, device)["compiled"]
    finally:
        song.pair.theirs.forward = plain


def _apart(ours: tuple[Tensor, Tensor | None], theirs: tuple[Tensor, Tensor | None]) -> float:
    pairs = [(a, b) for a, b in zip(ours, theirs, strict=True) if a is not None and b is not None]
    return max(float((a - b).abs().max() / b.abs().max()) for a, b in pairs)


def products_share(song: Song, device: torch.device) -> dict[str, float]:
    """A guided step's time by kind of work, as shares of the whole: matrix products, attention, the rest."""
    from torch.profiler import ProfilerActivity, profile

    song.ours(True)
    kinds = [ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if device.type == "cuda" else [])]
    with profile(activities=kinds) as seen:
        seconds(lambda: song.ours(True), device)
    own = "self_device_time_total" if device.type == "cuda" else "self_cpu_time_total"
    shares = {"matrix products": 0.0, "attention": 0.0, "everything else": 0.0}
    for event in seen.key_averages():
        name = event.key.lower()
        kind = "attention" if any(word in name for word in ("attention", "flash", "fmha")) else "everything else"
        if kind == "everything else" and any(word in name for word in PRODUCTS):
            kind = "matrix products"
        shares[kind] += getattr(event, own)
    total = sum(shares.values())
    return {kind: value / total for kind, value in shares.items()}


def interval_ratio(song: Song, steps: int, device: torch.device) -> float:
    """A whole guided run with guidance only in its first half of progress, over one with guidance throughout."""

    def run(end: float) -> Callable[[], Tensor]:
        guidance = Guidance("apg", 7.0, 0.0, end, -0.75, 2.5, 0.0, 0.5, "standard")
        # Shift 1: progress is the share of the steps.
        return lambda: denoise(song.predictor, song.x.float(), linear(steps, 1.0), guidance=guidance, solver=euler)

    best = in_turn({"half": run(0.5), "whole": run(1.0)}, 1, device, warm_up=False)
    return best["half"] / best["whole"]


def growth(size: str, plan: Plan, dtype: torch.dtype, device: torch.device) -> float:
    """Time per token of a layer with a sliding window in the longest song, over that in a song of a minute."""
    pair = rivals(size, 1, dtype, device)
    durations = (min(60.0, plan.songs[-1][0] / 2), plan.songs[-1][0])
    songs = {duration: Song(pair, duration, 1) for duration in durations}
    best = in_turn(
        {str(duration): lambda song=song: song.ours(False) for duration, song in songs.items()}, plan.rounds, device
    )
    short, long = (best[str(duration)] / songs[duration].x.shape[1] for duration in durations)
    return long / short


def vae_ratio(both: VAEs, duration: float, device: torch.device) -> tuple[float, float]:
    """Seconds to decode, ours and theirs."""
    weight = next(both.ours.parameters())
    latents = torch.randn(1, 64, max(4, round(25 * duration)), device=device, dtype=weight.dtype)
    with torch.no_grad():
        best = in_turn(
            {"ours": lambda: both.ours.decode(latents), "theirs": lambda: both.theirs.decode(latents)}, 1, device
        )
    return best["ours"], best["theirs"]


def measure(plan: Plan, device: torch.device) -> tuple[list[Row], dict[str, str]]:
    """All rows, and the verdicts on the targets in words."""
    dtype = torch.bfloat16 if device.type == "cuda" else torch.float32
    rows: list[Row] = []
    verdicts: dict[str, str] = {}
    sharp = SHARP if SHARP in plan.sizes else plan.sizes[-1]
    for size in plan.sizes:
        pair = rivals(size, plan.layers, dtype, device)
        width = pair.config.decoder
        rate = matrix_rate(1500, width.hidden, width.intermediate, dtype, device)
        verdicts[f"matrix products, {size}"] = f"{rate / 1e9:.0f} GFLOP/s measured"
        rows += steps_of(pair, size, plan, rate, device)
        if size == sharp:
            verdicts |= _sharp_verdicts(pair, plan, rows, device)
        del pair
    change = growth(sharp, plan, dtype, device)
    verdicts["time per token of a sliding layer, longest song over a minute"] = _judge(
        change, GROWTH_TARGET, least=False
    )
    ours, theirs = vae_ratio(vaes(dtype, device), plan.vae_seconds, device)
    verdicts[f"VAE, {plan.vae_seconds:g} s decoded"] = (
        f"ours {ours:.2f} s, diffusers {theirs:.2f} s: {theirs / ours:.2f}"
    )
    return rows, verdicts


def _sharp_verdicts(pair: Rivals, plan: Plan, rows: list[Row], device: torch.device) -> dict[str, str]:
    told = {}
    for row in rows:
        if row.size == SHARP and row.guided and row.batch == 1 and row.duration in plan.targets:
            told[f"guided step, {row.duration:g} s, diffusers over ours"] = _judge(row.ratio, TARGET, least=True)
            told[f"the same by count of arithmetic, {row.duration:g} s"] = _counted(pair.config, row.duration, _spared)
    song = Song(pair, plan.run_seconds, 1)
    shares = products_share(song, device)
    told["where a guided step's time goes"] = ", ".join(f"{kind} {share:.1%}" for kind, share in shares.items())
    whole = 1 / (1 - shares["everything else"])
    told["step over its matrix products and attention alone"] = _judge(whole, SHARE_TARGET, least=False)
    ratio = interval_ratio(song, plan.run_steps, device)
    told["run guided in its first half over guided throughout"] = _judge(ratio, INTERVAL_TARGET, least=False)
    told["the same by count of arithmetic, exactly half of the steps"] = _counted(pair.config, plan.run_seconds, _half)
    return told


def _counted(config: Config, duration: float, ratio: Callable[[Config, int], float]) -> str:
    """A ratio of arithmetic, of a network and its tokens, with the layers measured and with all of them."""
    tokens = -(-round(FRAME_RATE * duration) // config.patch_size)
    depths = (config.decoder_layers, SIZES[SHARP]["num_hidden_layers"])
    return ", ".join(f"{ratio(replace(config, decoder_layers=n), tokens):.3f} with {n} layers" for n in depths)


def _spared(config: Config, tokens: int) -> float:
    """What diffusers computes in a guided step over what is needed."""
    return done_by_diffusers(config, tokens, 1, True) / needed(config, tokens, 1, True)


def _half(config: Config, tokens: int) -> float:
    """A run of which half the steps are guided over one of which all are."""
    return (1 + needed(config, tokens, 1, False) / needed(config, tokens, 1, True)) / 2


def _judge(value: float, target: float, least: bool) -> str:
    met = value >= target if least else value <= target
    return f"{value:.3f}, target at {'least' if least else 'most'} {target}: {'met' if met else 'MISSED'}"


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(description="This project against diffusers.")
    parser.add_argument("--tiny", action="store_true", help="tests this benchmark and measures nothing")
    parser.add_argument("--one-thread", action="store_true", help="for a CPU that other programs use too")
    parser.add_argument("--layers", type=int, help="decoder layers of each size")
    parser.add_argument("--sizes", nargs="+", choices=sorted(SIZES), help="only these")
    parser.add_argument("--durations", nargs="+", type=float, help="only the plan's songs of these seconds")
    parser.add_argument("--report", type=Path, default=Path(__file__).parents[1] / "docs" / "benchmarks")
    options = parser.parse_args(arguments)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    plan = GPU_PLAN if device.type == "cuda" else ONE_THREAD_PLAN if options.one_thread else CPU_PLAN
    plan = TINY_PLAN if options.tiny else plan
    if options.one_thread:
        torch.set_num_threads(1)
    if options.layers is not None:
        plan = replace(plan, layers=options.layers)
    plan = replace(plan, sizes=tuple(options.sizes or plan.sizes))
    if options.durations is not None:
        songs = tuple(song for song in plan.songs if song[0] in options.durations)
        if not songs:
            parser.error(f"--durations: choose among {', '.join(f'{s:g}' for s, _ in plan.songs)}")
        plan = replace(plan, songs=songs)
    rows, verdicts = measure(plan, device)
    options.report.mkdir(parents=True, exist_ok=True)
    chart(rows, options.report.parent / "images" / "speed.png")
    path = options.report / f"{date.today()}-speed-{device.type}.md"
    path.write_text(report(rows, verdicts, plan.rounds, plan.layers, device))
    print(f"report: {path}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
