"""Time of a step and of the decoder, this project against diffusers, with the same weights, in turns, in one run:

    python benchmarks/speed.py [--tiny] [--one-thread] [--layers N] [--sizes NAME ...] [--durations SECONDS ...]
                                [--report FOLDER]

Runs on a GPU if there is one (bf16, all layers, also against compiled diffusers), else on the CPU (float32, two layers
of each size, because a step of all layers takes minutes). On a machine with other load, --one-thread measures the
processor time of one thread, which other load does not lengthen. Writes `speed-cpu.md` or `speed-cuda.md` and a chart
(`../images/speed.png`, relative to the report). Needs Linux, matplotlib and diffusers; no model files.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace

import reports
import torch
from machine import in_turn, matrix_rate, seconds
from rivals import SIZES, Rivals, Song, VAEs, diffusers_operations, make_rivals, make_vaes, required_operations
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
TARGET_SIZE = "XL"  # the size with targets
LONG = 200.0  # seconds


@dataclass(frozen=True)
class Plan:
    """What is measured. layers: None for all."""

    sizes: tuple[str, ...]
    layers: int | None
    songs: tuple[tuple[float, int], ...]  # seconds and batch
    targets: tuple[float, ...]  # durations with a target
    rounds: int  # for songs below LONG; for longer ones a third, at least one, without a warm-up
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
    """Measure every song of the plan, guided and unguided."""
    rows = []
    for duration, batch in plan.songs:
        song = Song(pair, duration, batch)
        tokens = -(-song.x.shape[1] // pair.config.patch_size)
        for guided in (True, False):
            contestants: dict[str, Callable[[], object]] = {
                "ours": lambda song=song, guided=guided: song.step_ours(guided),
                "theirs": lambda song=song, guided=guided: song.step_diffusers(guided),
            }
            is_short = duration < LONG
            rounds = plan.rounds if is_short else max(1, plan.rounds // 3)
            best = in_turn(contestants, rounds, device, warm_up=is_short)
            compiled = _time_compiled(song, guided, plan.rounds, device) if device.type == "cuda" else None
            limit = required_operations(pair.config, tokens, batch, guided) / rate
            difference = _difference(song.step_ours(guided), song.step_diffusers(guided))
            rows.append(Row(size, duration, batch, guided, best["ours"], best["theirs"], compiled, limit, difference))
            print(line(rows[-1]), flush=True)
    return rows


def _time_compiled(song: Song, guided: bool, rounds: int, device: torch.device) -> float:
    eager = song.pair.theirs.forward
    song.pair.theirs.forward = torch.compile(eager)  # on this instance only
    try:
        return in_turn({"compiled": lambda: song.step_diffusers(guided)}, rounds, device)["compiled"]
    finally:
        song.pair.theirs.forward = eager


def _difference(ours: tuple[Tensor, Tensor | None], theirs: tuple[Tensor, Tensor | None]) -> float:
    pairs = [(a, b) for a, b in zip(ours, theirs, strict=True) if a is not None and b is not None]
    return max(float((a - b).abs().max() / b.abs().max()) for a, b in pairs)


def products_share(song: Song, device: torch.device) -> dict[str, float]:
    """Shares of a guided step's time by kind of work: matrix products, attention, everything else."""
    from torch.profiler import ProfilerActivity, profile

    song.step_ours(True)
    kinds = [ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if device.type == "cuda" else [])]
    with profile(activities=kinds) as profiler:
        seconds(lambda: song.step_ours(True), device)
    attribute = "self_device_time_total" if device.type == "cuda" else "self_cpu_time_total"
    shares = {"matrix products": 0.0, "attention": 0.0, "everything else": 0.0}
    for event in profiler.key_averages():
        name = event.key.lower()
        kind = "attention" if any(word in name for word in ("attention", "flash", "fmha")) else "everything else"
        if kind == "everything else" and any(word in name for word in PRODUCTS):
            kind = "matrix products"
        shares[kind] += getattr(event, attribute)
    total = sum(shares.values())
    return {kind: value / total for kind, value in shares.items()}


def interval_ratio(song: Song, steps: int, device: torch.device) -> float:
    """Time of a run guided in its first half, over one guided throughout."""

    def run(end: float) -> Callable[[], Tensor]:
        guidance = Guidance("apg", 7.0, 0.0, end, -0.75, 2.5, 0.0, 0.5, "standard")
        # With shift 1 progress is the fraction of the steps.
        return lambda: denoise(song.predictor, song.x.float(), linear(steps, 1.0), guidance=guidance, solver=euler)

    best = in_turn({"half": run(0.5), "full": run(1.0)}, 1, device, warm_up=False)
    return best["half"] / best["full"]


def growth(size: str, plan: Plan, dtype: torch.dtype, device: torch.device) -> float:
    """Time per token of a sliding layer in the longest song, over that in a song of a minute."""
    pair = make_rivals(size, 1, dtype, device)
    durations = (min(60.0, plan.songs[-1][0] / 2), plan.songs[-1][0])
    songs = {duration: Song(pair, duration, 1) for duration in durations}
    best = in_turn(
        {str(duration): lambda song=song: song.step_ours(False) for duration, song in songs.items()},
        plan.rounds,
        device,
    )
    short, long = (best[str(duration)] / songs[duration].x.shape[1] for duration in durations)
    return long / short


def time_vaes(vaes: VAEs, duration: float, device: torch.device) -> tuple[float, float]:
    """Seconds to decode, ours and diffusers'."""
    weight = next(vaes.ours.parameters())
    latents = torch.randn(1, 64, max(4, round(25 * duration)), device=device, dtype=weight.dtype)
    with torch.no_grad():
        best = in_turn(
            {"ours": lambda: vaes.ours.decode(latents), "theirs": lambda: vaes.theirs.decode(latents)}, 1, device
        )
    return best["ours"], best["theirs"]


def measure(plan: Plan, device: torch.device) -> tuple[list[Row], dict[str, str]]:
    """All rows, and a verdict in words for each target."""
    dtype = torch.bfloat16 if device.type == "cuda" else torch.float32
    rows: list[Row] = []
    verdicts: dict[str, str] = {}
    target_size = TARGET_SIZE if TARGET_SIZE in plan.sizes else plan.sizes[-1]
    for size in plan.sizes:
        pair = make_rivals(size, plan.layers, dtype, device)
        width = pair.config.decoder
        rate = matrix_rate(1500, width.hidden, width.intermediate, dtype, device)
        verdicts[f"matrix products, {size}"] = f"{rate / 1e9:.0f} GFLOP/s measured"
        rows += steps_of(pair, size, plan, rate, device)
        if size == target_size:
            verdicts |= _target_verdicts(pair, plan, rows, device)
        del pair
    ratio = growth(target_size, plan, dtype, device)
    verdicts["time per token of a sliding layer, longest song over a minute"] = _judge(
        ratio, GROWTH_TARGET, least=False
    )
    ours, theirs = time_vaes(make_vaes(dtype, device), plan.vae_seconds, device)
    verdicts[f"VAE, {plan.vae_seconds:g} s decoded"] = (
        f"ours {ours:.2f} s, diffusers {theirs:.2f} s: {theirs / ours:.2f}"
    )
    return rows, verdicts


def _target_verdicts(pair: Rivals, plan: Plan, rows: list[Row], device: torch.device) -> dict[str, str]:
    verdicts = {}
    for row in rows:
        if row.size == TARGET_SIZE and row.guided and row.batch == 1 and row.duration in plan.targets:
            verdicts[f"guided step, {row.duration:g} s, diffusers over ours"] = _judge(row.ratio, TARGET, least=True)
            verdicts[f"the same by count of arithmetic, {row.duration:g} s"] = _count(
                pair.config, row.duration, _diffusers_over_required
            )
    song = Song(pair, plan.run_seconds, 1)
    shares = products_share(song, device)
    verdicts["where a guided step's time goes"] = ", ".join(f"{kind} {share:.1%}" for kind, share in shares.items())
    overhead = 1 / (1 - shares["everything else"])
    verdicts["step over its matrix products and attention alone"] = _judge(overhead, SHARE_TARGET, least=False)
    ratio = interval_ratio(song, plan.run_steps, device)
    verdicts["run guided in its first half over guided throughout"] = _judge(ratio, INTERVAL_TARGET, least=False)
    verdicts["the same by count of arithmetic, exactly half of the steps"] = _count(
        pair.config, plan.run_seconds, _half_guided_over_guided
    )
    return verdicts


def _count(config: Config, duration: float, ratio: Callable[[Config, int], float]) -> str:
    """A ratio of operations, with the measured number of layers and with all of them."""
    tokens = -(-round(FRAME_RATE * duration) // config.patch_size)
    depths = (config.decoder_layers, SIZES[TARGET_SIZE]["num_hidden_layers"])
    return ", ".join(f"{ratio(replace(config, decoder_layers=n), tokens):.3f} with {n} layers" for n in depths)


def _diffusers_over_required(config: Config, tokens: int) -> float:
    """Operations of diffusers in a guided step over those required."""
    return diffusers_operations(config, tokens, 1, True) / required_operations(config, tokens, 1, True)


def _half_guided_over_guided(config: Config, tokens: int) -> float:
    """Operations of a run with half of its steps guided over one with all of them guided."""
    return (1 + required_operations(config, tokens, 1, False) / required_operations(config, tokens, 1, True)) / 2


def _judge(value: float, target: float, least: bool) -> str:
    met = value >= target if least else value <= target
    return f"{value:.3f}, target at {'least' if least else 'most'} {target}: {'met' if met else 'MISSED'}"


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(description="This project against diffusers.")
    parser.add_argument("--tiny", action="store_true", help="test the benchmark; measures nothing")
    parser.add_argument("--one-thread", action="store_true", help="for a CPU with other load")
    parser.add_argument("--layers", type=int, help="decoder layers of each size")
    parser.add_argument("--sizes", nargs="+", choices=sorted(SIZES), help="only these")
    parser.add_argument("--durations", nargs="+", type=float, help="only the plan's songs of these lengths, in seconds")
    reports.add_option(parser)
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
    chart(rows, options.report.parent / "images" / "speed.png")
    reports.write(options.report, f"speed-{device.type}", report(rows, verdicts, plan.rounds, plan.layers, device))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
