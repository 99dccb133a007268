"""The decoding benchmark: what counts towards the peak, and what the report says."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest
import torch

pytest.importorskip("diffusers", reason="the benchmark measures diffusers too")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not Path("/proc/self/clear_refs").exists(), reason="only Linux reports the peak memory of a process"
    ),
]
MIB = 2**20


@pytest.fixture(scope="module")
def benchmark() -> Iterator[ModuleType]:
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(Path(__file__).parents[2] / "benchmarks"))
        module = importlib.import_module("decode")
        yield module
    for name in ("decode", "reports", "rivals", "machine"):
        sys.modules.pop(name, None)


def test_weights_and_waveform_are_not_part_of_the_peak(benchmark: ModuleType) -> None:
    def decode(latents: torch.Tensor) -> torch.Tensor:
        # Memory freed before the end counts; the returned waveform does not.
        torch.full((300 * MIB // 4,), latents.mean().item())
        return torch.ones(1, 2, latents.shape[-1] * 1920)

    row = benchmark._run_decode("ours", 60.0, decode)
    assert (row.name, row.duration) == ("ours", 60.0)
    # The waveform of a minute, 22 MiB, is allocated after the 300 are freed.
    assert (300 - 22 - 8) * MIB < row.peak < 308 * MIB


def test_the_report_names_missed_targets(benchmark: ModuleType) -> None:
    rows = [
        benchmark.Decoded("ours", 60.0, 100.0, 2**30),
        benchmark.Decoded("diffusers", 60.0, 90.0, 2**31),
        benchmark.Decoded("ours", 600.0, 1100.0, 3 * 2**30),
    ]
    page = benchmark.report(rows, "wall time", tiny=False)
    assert "600 s decoded, peak beside weights and waveform: 3.00 GiB, target below 2: MISSED" in page
    assert "60 s decoded, diffusers' time over ours: 0.90, target above 1: MISSED" in page
    assert "600 s over 60 s: 1.10" in page and "| diffusers | 60 s | 90.0 | 2.00 |" in page
    assert "MISSED" not in benchmark.report(rows, "wall time", tiny=True)


def test_both_decode_the_same_song(benchmark: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    """At full size, from the same latents."""
    latents = torch.randn(1, 64, 6, generator=torch.Generator().manual_seed(3))
    monkeypatch.setattr(benchmark, "_run_decode", lambda name, duration, decode: decode(latents))
    threads = torch.get_num_threads()
    with torch.no_grad():
        ours, theirs = (measure(1.0, threads) for measure in (benchmark.measure_ours, benchmark.measure_diffusers))
    torch.testing.assert_close(ours.movedim(-1, 1), theirs, atol=1e-5, rtol=1e-4)
