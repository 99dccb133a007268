"""The count of kernels: what a step launches, and that nothing in it waits for the host."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest
import torch


@pytest.fixture(scope="module")
def benchmark() -> Iterator[ModuleType]:
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(Path(__file__).parents[2] / "benchmarks"))
        yield importlib.import_module("kernels")
    for name in ("kernels", "reports", "checkpoints"):
        sys.modules.pop(name, None)


def test_operations_that_compute_are_counted(benchmark: ModuleType) -> None:
    x = torch.ones(4, 8)
    with benchmark.LaunchCounter() as counter:
        y = (x.mT @ x).view(64)[:32] + 1
        torch.empty_like(y)
    assert counter.launches == {"mm": 1, "add": 1}
    assert counter.elementwise() == 2 * 32 * 4
    assert counter.synchronisations == 0


def test_reading_a_number_counts_as_waiting(benchmark: ModuleType) -> None:
    with benchmark.LaunchCounter() as counter:
        torch.arange(3)[1].item()
    assert counter.synchronisations == 1


def test_a_guided_step_stays_within_its_kernels_and_never_waits(benchmark: ModuleType) -> None:
    two_layers = benchmark.count_run(2, 2)
    four_layers = benchmark.count_run(4, 2)
    assert (four_layers.launches - two_layers.launches).total() / 2 <= benchmark.TARGET
    assert four_layers.synchronisations == 0
