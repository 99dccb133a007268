"""The machine that a benchmark runs on: description, memory, timing, and how fast it multiplies matrices."""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Callable
from pathlib import Path

import torch

GB = 1e9


def memory() -> dict[str, int]:
    """This process's memory in bytes, by the kernel's names (proc(5)).

    The peak is VmHWM; getrusage's ru_maxrss would include the parent process.
    """
    lines = [line.split() for line in Path("/proc/self/status").read_text().splitlines() if line.endswith("kB")]
    return {name.rstrip(":"): int(value) * 1024 for name, value, _ in lines}


def describe(*packages: object) -> str:
    """The machine, without its host name, and the versions of Python, torch and the given packages."""
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    cpu = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())
    ram = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    gpu = f"; {torch.cuda.get_device_name()}" if torch.cuda.is_available() else ""
    versions = "".join(f", {getattr(p, '__name__', p)} {getattr(p, '__version__', '?')}" for p in packages)
    return (
        f"Machine: {cpu}, {os.cpu_count()} cores, {ram / GB:.1f} GB of memory, {platform.system()}{gpu}; "
        f"Python {platform.python_version()}, torch {torch.__version__}{versions}."
    )


def wait(device: torch.device) -> None:
    """Wait until the device has finished its work."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def is_single_threaded(device: torch.device) -> bool:
    """Whether this thread does all the work, so that its processor time is the time the work takes."""
    return device.type == "cpu" and torch.get_num_threads() == 1


def seconds(work: Callable[[], object], device: torch.device) -> float:
    """Time to do the work once. On a single thread, other load on the machine does not count."""
    clock = time.thread_time if is_single_threaded(device) else time.perf_counter
    wait(device)
    start = clock()
    work()
    wait(device)
    return clock() - start


def in_turn(
    contestants: dict[str, Callable[[], object]], rounds: int, device: torch.device, warm_up: bool = True
) -> dict[str, float]:
    """The best time of each. They take turns, so other load on the machine affects them all alike.

    warm_up: run one more round first, which does not count.
    """
    best = dict.fromkeys(contestants, float("inf"))
    for number in range(-1 if warm_up else 0, rounds):
        for name, work in contestants.items():
            elapsed = seconds(work, device)
            best[name] = min(best[name], elapsed) if number >= 0 else best[name]
    return best


def matrix_rate(rows: int, inner: int, columns: int, dtype: torch.dtype, device: torch.device) -> float:
    """Floating-point operations per second of a matrix product of this shape, the best of ten."""
    a = torch.randn(rows, inner, dtype=dtype, device=device)
    b = torch.randn(columns, inner, dtype=dtype, device=device)
    best = in_turn({"product": lambda: torch.nn.functional.linear(a, b)}, 10, device)["product"]
    return 2 * rows * inner * columns / best
