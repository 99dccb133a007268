"""Time and peak memory of decoding a long song at full size: `python benchmarks/decode.py [--tiny] [--one-thread]`.

This project's node against diffusers with its tiling, a song of a minute and the same random weights, in float32 on the
CPU, each in a fresh process, because a peak never falls; then ten minutes with the node. Writes `decode.md`. Needs
Linux (memory is read from /proc), diffusers, and half an hour of one core.
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
import reports
import torch
from machine import describe, is_single_threaded, memory, seconds
from rivals import make_vaes
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


def measure_ours(duration: float, threads: int) -> Decoded:
    """Decode as the node does, in a process that did nothing else."""
    torch.set_num_threads(threads)
    vae = AudioVAE(make_vaes(torch.float32, CPU).ours)
    with host.use(HeadlessHost([], Path(), device="cpu")):
        return _run_decode("ours", duration, vae.decode)


def measure_diffusers(duration: float, threads: int) -> Decoded:
    """Decode as diffusers does with tiling: up to 20 seconds at once, in tiles of 512 frames beyond."""
    torch.set_num_threads(threads)
    vae = make_vaes(torch.float32, CPU).theirs
    vae.enable_tiling()
    return _run_decode("diffusers", duration, lambda latents: vae.decode(latents).sample)


def _run_decode(name: str, duration: float, decode: Callable[[Tensor], Tensor]) -> Decoded:
    latents = torch.randn(1, 64, round(FRAME_RATE * duration), generator=torch.Generator().manual_seed(1))
    waveforms: list[Tensor] = []
    with torch.no_grad():
        decode(latents[..., :8])  # loads the kernels
        before = memory()["VmRSS"]
        Path("/proc/self/clear_refs").write_text("5")  # resets the peak to what is resident now
        elapsed = seconds(lambda: waveforms.append(decode(latents)), CPU)
    waveform = sum(wave.numel() * wave.element_size() for wave in waveforms)
    return Decoded(name, duration, elapsed, memory()["VmHWM"] - before - waveform)


def measure(short: float, long: float, threads: int) -> list[Decoded]:
    """Both decoders on a short song, and ours on a long one."""
    rows = []
    for decoder, duration in ((measure_ours, short), (measure_diffusers, short), (measure_ours, long)):
        with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
            rows.append(pool.submit(decoder, duration, threads).result())
        print(_line(rows[-1]), flush=True)
    return rows


def _line(row: Decoded) -> str:
    return f"| {row.name} | {row.duration:g} s | {row.seconds:.1f} | {row.peak / GIB:.2f} |"


def report(rows: Sequence[Decoded], clock: str, tiny: bool) -> str:
    """The report as Markdown."""
    ours, theirs, long = rows
    peak, ratio = long.peak / GIB, theirs.seconds / ours.seconds
    growth = (long.seconds / long.duration) / (ours.seconds / ours.duration)
    verdicts = (
        f"- {long.duration:g} s decoded, peak beside weights and waveform: {peak:.2f} GiB, target below {TARGET:g}: "
        f"{'met' if peak < TARGET else 'MISSED'}\n"
        f"- {ours.duration:g} s decoded, diffusers' time over ours: {ratio:.2f}, target above 1: "
        f"{'met' if ratio > 1 else 'MISSED'}\n"
        f"- time per second of music, {long.duration:g} s over {ours.duration:g} s: {growth:.2f}"
    )
    if tiny:
        verdicts = "- none: the songs are too short to measure anything; this run tests the benchmark"
    table = "\n".join(map(_line, rows))
    return f"""# Decoding, {date.today()}

The VAE at full size, random weights, float32 on a CPU, each run in a fresh process, {clock}:
this project's node, and diffusers {diffusers.__version__} with tiling, which decodes a song in tiles of 20 seconds, so
its time per second and its memory do not depend on the length either.

{verdicts}

| decoder | song | seconds | peak GiB |
|---|---|---|---|
{table}

"Peak" is the largest resident set (VmHWM) while decoding, minus what was resident before (Python, torch and the
weights) and minus the returned waveform.

{describe(diffusers)}
"""


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(description="Time and peak memory of decoding a long song.")
    parser.add_argument("--tiny", action="store_true", help="test the benchmark; measures nothing")
    parser.add_argument("--one-thread", action="store_true", help="for a CPU with other load")
    reports.add_option(parser)
    options = parser.parse_args(arguments)
    threads = 1 if options.one_thread else torch.get_num_threads()
    torch.set_num_threads(threads)
    clock = "processor time of one thread" if is_single_threaded(CPU) else "wall time"
    rows = measure(*((TINY, TINY) if options.tiny else (SHORT, LONG)), threads)
    reports.write(options.report, "decode", report(rows, clock, options.tiny))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
