"""Time and memory of loading a checkpoint: `python benchmarks/load.py [--tiny] [--report FOLDER]`.

Writes a full-size XL file of random weights, loads it in a fresh process for each case, deletes it and writes
`load.md`. Needs Linux (memory is read from /proc), 12 GB of disk and, for the fp16 case, 13 GB of free memory.
"""

from __future__ import annotations

import argparse
import math
import shutil
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from datetime import date
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import reports
import safetensors
import torch
from checkpoints import TINY, XL, drop_from_cache, shapes_of, weight_files, write_shards, write_split
from machine import GB, describe, memory

from acestep_xl.model.checkpoint import load_network
from acestep_xl.model.layouts import recognise
from acestep_xl.model.precision import DTYPES

TARGET = 1.15  # peak memory of a bf16 load over the size of its file
FEW_LAYERS = {"num_hidden_layers": 4}  # of 32: the complete XL network in float32 shards is 20 GB


@dataclass(frozen=True)
class Load:
    """One measured load, with memory in bytes.

    baseline: the peak before loading (Python, torch, this pack); peak: the largest resident set; mapped and copied: the
    resident memory at the end that is backed by files, and the rest.
    """

    parameters: int
    seconds: float
    baseline: int
    peak: int
    mapped: int
    copied: int


@dataclass(frozen=True)
class Case:
    """One way to load.

    device: where the network is to run; it stays in main memory. read: also read every weight once. cached: load from
    the page cache that the previous case left behind. has_target: whether the target applies.
    """

    name: str
    dtype: str
    device: str = "cuda"
    read: bool = True
    cached: bool = False
    has_target: bool = False


MAPPED = Case("bf16 for a GPU, not read", "bf16", read=False)
GPU = Case("bf16 for a GPU", "bf16", has_target=True)
CACHED = Case("bf16 for a GPU, file in the page cache", "bf16", cached=True, has_target=True)
CPU = Case("bf16 for the CPU", "bf16", device="cpu", has_target=True)
FP16 = Case("bf16 file as fp16 for a GPU", "fp16")
SHARDS = Case("float32 shards as bf16 for a GPU, 4 decoder layers", "bf16")


@dataclass(frozen=True)
class Row:
    """One line of the report. file: bytes on disk."""

    case: Case
    file: int
    load: Load

    @property
    def ratio(self) -> float:
        return self.load.peak / self.file


def measure(checkpoint: Path, case: Case) -> Load:
    """Load in this process, which must be fresh, because a peak never falls."""
    Path("/proc/self/oom_score_adj").write_text("1000")  # if memory runs out, the kernel kills this process first
    baseline = memory()["VmHWM"]
    start = time.perf_counter()
    network = load_network(recognise(checkpoint), DTYPES[case.dtype], torch.device(case.device))
    if case.read and not all(math.isfinite(float(value.sum())) for value in network.parameters()):
        raise ValueError(f"{checkpoint} was loaded with weights other than those written")
    seconds = time.perf_counter() - start
    now = memory()
    parameters = sum(value.numel() for value in network.parameters())
    return Load(parameters, seconds, baseline, now["VmHWM"], now["RssFile"], now["RssAnon"])


def measure_in_new_process(checkpoint: Path, case: Case) -> Load:
    """``measure`` in a new interpreter."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        return pool.submit(measure, checkpoint, case).result()


def run(config: Mapping[str, Any], folder: Path | None) -> list[Row]:
    """Every case, with one checkpoint on the disk at a time."""
    with tempfile.TemporaryDirectory(dir=folder) as temporary:
        rows = load_each(write_split(Path(temporary), config), (MAPPED, GPU, CACHED, CPU, FP16))
    with tempfile.TemporaryDirectory(dir=folder) as temporary:
        return rows + load_each(write_shards(Path(temporary), {**config, **FEW_LAYERS}), (SHARDS,))


def load_each(checkpoint: Path, cases: Sequence[Case]) -> list[Row]:
    """Load one checkpoint in several cases."""
    rows = []
    size = sum(path.stat().st_size for path in weight_files(checkpoint))
    for case in cases:
        if not case.cached:
            drop_from_cache(checkpoint)
        rows.append(Row(case, size, measure_in_new_process(checkpoint, case)))
        print(_line(rows[-1]), flush=True)
    return rows


def target_ratio(rows: Sequence[Row]) -> float:
    """The largest peak over file size among the cases with a target."""
    return max(row.ratio for row in rows if row.case.has_target)


def _line(row: Row) -> str:
    load = row.load
    sizes = (row.file, load.baseline, load.peak, load.mapped, load.copied)
    file, baseline, peak, mapped, copied = (f"{size / GB:.3f}" for size in sizes)
    cells = (row.case.name, f"{load.parameters:,}", file, f"{load.seconds:.1f}", baseline, peak, f"{row.ratio:.3f}")
    return f"| {' | '.join((*cells, mapped, copied))} |"


HEAD = """\
| case | parameters | file GB | seconds | baseline GB | peak GB | peak / file | mapped GB | copied GB |
|---|---|---|---|---|---|---|---|---|"""
EXPLANATION = """\
Unless stated otherwise, every case ran in a fresh process, with the file dropped from the page cache, and read every
weight once, so the seconds include the disk. "Baseline" is the peak of Python, torch and this pack before loading, and
is part of "peak", the largest resident set (VmHWM). "Mapped" is resident memory at the end that is backed by files, the
checkpoint's and the libraries', which the system reclaims when memory runs short; "copied" is the rest. 1 GB is 10^9
bytes. The weights are random, and the float32 shards hold 4 of the 32 decoder layers to save disk space. The machine
may have had other load, so the seconds are only a hint.

For a GPU, a bf16 file loaded as bf16 stays mapped and is never copied; moving it to the GPU is not included. For the
CPU every weight is copied to aligned memory, and for another dtype every weight is converted. fp16 keeps in float32
what would overflow, so its copy is larger than the bf16 file.
"""


def report(rows: Sequence[Row], tiny: bool) -> str:
    """The report as Markdown."""
    ratio = target_ratio(rows)
    verdict = f"{ratio:.3f}, target at most {TARGET}: {'met' if ratio <= TARGET else 'missed'}"
    if tiny:
        verdict = "none: a tiny network was loaded, which only tests the benchmark"
    table = "\n".join([HEAD, *map(_line, rows)])
    return f"""# Loading a checkpoint, {date.today()}

Peak memory of loading a bf16 XL file, over the size of the file: {verdict}.

{table}

{EXPLANATION}
{describe(safetensors)}
"""


def main(arguments: list[str]) -> int:
    """Exit status 1 if the target is missed."""
    parser = argparse.ArgumentParser(description="Time and peak memory of loading a checkpoint.")
    parser.add_argument("--tiny", action="store_true", help="test the benchmark with a 100 MB file")
    reports.add_option(parser)
    parser.add_argument("--folder", type=Path, help="where to write the checkpoint (the temporary folder)")
    options = parser.parse_args(arguments)
    config = TINY if options.tiny else XL
    needed = 1.1 * torch.bfloat16.itemsize * sum(map(math.prod, shapes_of(config).values()))
    free = shutil.disk_usage(options.folder or tempfile.gettempdir()).free
    if free < needed:
        parser.error(f"{free / GB:.1f} GB of disk are free, {needed / GB:.1f} are needed; name a --folder with more")
    rows = run(config, options.folder)
    reports.write(options.report, "load", report(rows, options.tiny))
    return int(not options.tiny and target_ratio(rows) > TARGET)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
