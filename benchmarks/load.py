"""How long a checkpoint takes to load, and how much memory: `python benchmarks/load.py [--tiny] [--report FOLDER]`.

Writes a full-size XL file of random weights, loads it in a fresh process per case, deletes it and writes a dated
report. Needs Linux (memory is read from /proc), 12 GB of disk and, for the fp16 case, 13 GB of free memory.
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

import safetensors
import torch
from checkpoints import TINY, XL, forget, shapes_of, weight_files, write_shards, write_split
from machine import GB, described, memory

from acestep_xl.model.checkpoint import load_network
from acestep_xl.model.layouts import recognise
from acestep_xl.model.precision import DTYPES

TARGET = 1.15  # peak memory of a bf16 load over the size of its file
FEW_LAYERS = {"num_hidden_layers": 4}  # of 32: all of XL in float32 shards is 20 GB


@dataclass(frozen=True)
class Load:
    """One measured load. Memory in bytes: baseline is the peak before loading (Python, torch, this pack), peak the
    largest resident set until the end; mapped and copied are what of it, at the end, belongs to files and does not."""

    parameters: int
    seconds: float
    baseline: int
    peak: int
    mapped: int
    copied: int


@dataclass(frozen=True)
class Case:
    """One way to load. device: what the network is to run on; it stays in this machine's memory. read: also read every
    weight once. cached: from the page cache that the case before left behind. promised: the target is about it."""

    name: str
    dtype: str
    device: str = "cuda"
    read: bool = True
    cached: bool = False
    promised: bool = False


MAPPED = Case("bf16 for a GPU, not read", "bf16", read=False)
GPU = Case("bf16 for a GPU", "bf16", promised=True)
CACHED = Case("bf16 for a GPU, file in the page cache", "bf16", cached=True, promised=True)
CPU = Case("bf16 for the CPU", "bf16", device="cpu", promised=True)
FP16 = Case("bf16 file as fp16 for a GPU", "fp16")
SHARDS = Case("float32 shards as bf16 for a GPU, 4 decoder layers", "bf16")


@dataclass(frozen=True)
class Row:
    """One line of the report: what was loaded, from how many bytes on disk."""

    case: Case
    file: int
    load: Load

    @property
    def ratio(self) -> float:
        return self.load.peak / self.file


def measure(checkpoint: Path, case: Case) -> Load:
    """Load in this process, which must be a fresh one: a peak never falls."""
    Path("/proc/self/oom_score_adj").write_text("1000")  # if memory runs out, this process goes and no other
    baseline = memory()["VmHWM"]
    start = time.perf_counter()
    network = load_network(recognise(checkpoint), DTYPES[case.dtype], torch.device(case.device))
    if case.read and not all(math.isfinite(float(value.sum())) for value in network.parameters()):
        raise ValueError(f"{checkpoint} was loaded with weights that are not the ones written")
    seconds = time.perf_counter() - start
    now = memory()
    parameters = sum(value.numel() for value in network.parameters())
    return Load(parameters, seconds, baseline, now["VmHWM"], now["RssFile"], now["RssAnon"])


def fresh(checkpoint: Path, case: Case) -> Load:
    """``measure`` in a new interpreter that shares nothing with this one."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        return pool.submit(measure, checkpoint, case).result()


def run(config: Mapping[str, Any], folder: Path | None) -> list[Row]:
    """Every case, one checkpoint on the disk at a time."""
    with tempfile.TemporaryDirectory(dir=folder) as place:
        rows = load_each(write_split(Path(place), config), (MAPPED, GPU, CACHED, CPU, FP16))
    with tempfile.TemporaryDirectory(dir=folder) as place:
        return rows + load_each(write_shards(Path(place), {**config, **FEW_LAYERS}), (SHARDS,))


def load_each(checkpoint: Path, cases: Sequence[Case]) -> list[Row]:
    """One checkpoint in several cases."""
    rows = []
    size = sum(path.stat().st_size for path in weight_files(checkpoint))
    for case in cases:
        if not case.cached:
            forget(checkpoint)
        rows.append(Row(case, size, fresh(checkpoint, case)))
        print(_line(rows[-1]), flush=True)
    return rows


def promised_ratio(rows: Sequence[Row]) -> float:
    """The largest peak over file among the cases that the target is about."""
    return max(row.ratio for row in rows if row.case.promised)


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
Every case ran in a fresh process and read every weight once, unless it says otherwise. Before it the file was dropped
from the page cache, unless it says otherwise, so the seconds contain the disk. "Baseline" is the peak of Python, torch
and this pack before loading, and is contained in "peak", the largest resident set (VmHWM). "Mapped" is what at the end
lay in pages of files, the checkpoint's and the libraries': the system takes such pages back when memory runs short.
"Copied" is what it can't take back. 1 GB is 10^9 bytes. The weights are random, and the float32 shards hold 4 of the
32 decoder layers, to spare the disk. Other work may have run on the machine, so the seconds are no more than a hint.

For a GPU, a bf16 file as bf16 stays mapped and is never copied; moving it to the GPU is not part of this. For the CPU
every weight is copied to aligned memory, and in another format every weight is converted. fp16 keeps the parts that
overflow in float32, so its copy is larger than the bf16 file.
"""


def report(rows: Sequence[Row], tiny: bool) -> str:
    """The report as Markdown."""
    ratio = promised_ratio(rows)
    verdict = f"{ratio:.3f}, target at most {TARGET}: {'met' if ratio <= TARGET else 'missed'}"
    if tiny:
        verdict = "none; a tiny network was loaded, which tests this benchmark and measures nothing"
    table = "\n".join([HEAD, *map(_line, rows)])
    return f"""# Loading a checkpoint, {date.today()}

Peak memory of loading a bf16 XL file, over the size of the file: {verdict}.

{table}

{EXPLANATION}
{described(safetensors)}
"""


def main(arguments: list[str]) -> int:
    """Exit status 1 when the target is missed."""
    parser = argparse.ArgumentParser(description="Time and peak memory of loading a checkpoint.")
    parser.add_argument("--tiny", action="store_true", help="a 100 MB file instead of a 10 GB one: tests the benchmark")
    parser.add_argument("--report", type=Path, default=Path(__file__).parents[1] / "docs" / "benchmarks")
    parser.add_argument("--folder", type=Path, help="where to write the checkpoint; the system's temporary folder")
    options = parser.parse_args(arguments)
    config = TINY if options.tiny else XL
    needed = 1.1 * torch.bfloat16.itemsize * sum(map(math.prod, shapes_of(config).values()))
    free = shutil.disk_usage(options.folder or tempfile.gettempdir()).free
    if free < needed:
        parser.error(f"{free / GB:.1f} GB of disk are free, {needed / GB:.1f} are needed; name a --folder with more")
    rows = run(config, options.folder)
    options.report.mkdir(parents=True, exist_ok=True)
    path = options.report / f"{date.today()}-load.md"
    path.write_text(report(rows, options.tiny))
    print(f"report: {path}")
    return int(not options.tiny and promised_ratio(rows) > TARGET)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
