"""Time and peak memory of decoding a long song at full size: `python benchmarks/decode.py [--tiny] [--one-thread]`.

This project's node against diffusers with its tiling, a song of a minute and the same random weights, in float32 on the
CPU, each in a fresh process, because a peak never falls; then ten minutes with the node. Writes a dated report. Needs
Linux (memory is read from /proc) and diffusers, and half an hour of one core.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from datetime import date
from multiprocessing import get_context
from pathlib import Path

import diffusers
import torch
from machine import alone, described, memory, seconds
from rivals import vaes
from torch import Tensor

from acestep_xl import host
from acestep_xl.host.headless import HeadlessHost
from acestep_xl.parameters import FRAME_RATE
from acestep_xl.pipeline.vae_socket import AudioVAE

TARGET = 2.0  # GiB beside weights and waveform
GIB = 2**30
SHORT, LONG, TINY = 60.0, 600.0, 0.3  # seconds
CPU = torch.device("cpu")


@dataclass(frozen=True)
class Decoded:
    """One decode. peak: bytes beside weights and waveform."""

    name: str
    duration: float
    seconds: float
    peak: int


def ours(duration: float, threads: int) -> Decoded:
    """As the node decodes, in a process that did nothing else."""
    torch.set_num_threads(threads)
    vae = AudioVAE(vaes(torch.float32, CPU).ours)
    with host.use(HeadlessHost([], Path(), device="cpu")):
        return _taken("ours", duration, vae.decode)


def theirs(duration: float, threads: int) -> Decoded:
    """As diffusers decodes with tiling on: whole up to 20 seconds, tiles of 512 frames from there."""
    torch.set_num_threads(threads)
    vae = vaes(torch.float32, CPU).theirs
    vae.enable_tiling()
    return _taken("diffusers", duration, lambda latents: vae.decode(latents).sample)


def _taken(name: str, duration: float, decode: Callable[[Tensor], Tensor]) -> Decoded:
    latents = torch.randn(1, 64, round(FRAME_RATE * duration), generator=torch.Generator().manual_seed(1))
    kept: list[Tensor] = []
    with torch.no_grad():
        decode(latents[..., :8])  # kernels are loaded once
        before = memory()["VmRSS"]
        Path("/proc/self/clear_refs").write_text("5")  # sets the peak back to what is resident now
        took = seconds(lambda: kept.append(decode(latents)), CPU)
    waveform = sum(wave.numel() * wave.element_size() for wave in kept)
    return Decoded(name, duration, took, memory()["VmHWM"] - before - waveform)


def measure(short: float, long: float, threads: int) -> list[Decoded]:
    """Both a short song, and ours a long one."""
    rows = []
    for contestant, duration in ((ours, short), (theirs, short), (ours, long)):
        with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
            rows.append(pool.submit(contestant, duration, threads).result())
        print(_line(rows[-1]), flush=True)
    return rows


def _line(row: Decoded) -> str:
    return f"| {row.name} | {row.duration:g} s | {row.seconds:.1f} | {row.peak / GIB:.2f} |"


def report(rows: Sequence[Decoded], clock: str, tiny: bool) -> str:
    """The report as Markdown."""
    mine, other, long = rows
    peak, ratio = long.peak / GIB, other.seconds / mine.seconds
    lasting = (long.seconds / long.duration) / (mine.seconds / mine.duration)
    verdicts = (
        f"- {long.duration:g} s decoded, peak beside weights and waveform: {peak:.2f} GiB, target below {TARGET:g}: "
        f"{'met' if peak < TARGET else 'MISSED'}\n"
        f"- {mine.duration:g} s decoded, diffusers' time over ours: {ratio:.2f}, target above 1: "
        f"{'met' if ratio > 1 else 'MISSED'}\n"
        f"- time per second of music, {long.duration:g} s over {mine.duration:g} s: {lasting:.2f}"
    )
    if tiny:
        verdicts = "- none; short songs were decoded, which tests this benchmark and measures nothing"
    table = "\n".join(map(_line, rows))
    return f"""# Decoding, {date.today()}

The VAE at full size, random weights, float32 on a CPU, each run in a fresh process, {clock}:
this project's node and diffusers {diffusers.__version__} with tiling on. That goes through a song in tiles of
20 seconds, so that its time per second and its memory do not depend on the length either.

{verdicts}

| who | song | seconds | peak GiB |
|---|---|---|---|
{table}

"Peak" is the largest resident set (VmHWM) while decoding, less what was resident before it (Python, torch and the
weights) and less the waveform that is returned.

{described(diffusers)}
"""


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(description="Time and peak memory of decoding a long song.")
    parser.add_argument("--tiny", action="store_true", help="tests this benchmark and measures nothing")
    parser.add_argument("--one-thread", action="store_true", help="for a CPU that other programs use too")
    parser.add_argument("--report", type=Path, default=Path(__file__).parents[1] / "docs" / "benchmarks")
    options = parser.parse_args(arguments)
    threads = 1 if options.one_thread else torch.get_num_threads()
    torch.set_num_threads(threads)
    clock = "processor time of one thread" if alone(CPU) else "wall time"
    rows = measure(*((TINY, TINY) if options.tiny else (SHORT, LONG)), threads)
    options.report.mkdir(parents=True, exist_ok=True)
    path = options.report / f"{date.today()}-decode.md"
    path.write_text(report(rows, clock, options.tiny))
    print(f"report: {path}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
