"""Memory that runs out during a real run is reported to the client as such."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from service_tools import in_loop, inference
from task_queue import open_tasks, run_task

from acestep_xl.pipeline.guider import Guider
from acestep_xl.service.engine.in_process import HeadlessEngine


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"),
        RuntimeError("[enforce fail at alloc_cpu.cpp:114] DefaultCPUAllocator: can't allocate memory"),
        MemoryError(),
    ],
    ids=lambda error: type(error).__name__,
)
@in_loop
async def test_a_run_that_does_not_fit(error: Exception, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Raised where the network runs, so that the retries of the pack and its own class come before the client."""

    def prepare(*_: Any, **__: Any) -> None:
        raise error

    monkeypatch.setattr(Guider, "prepare", prepare)
    async with open_tasks(tmp_path, HeadlessEngine(tmp_path / "work", [], "cpu")) as tasks:
        (reported,) = (await run_task(tasks, inference(duration=30, steps=1))).errors
    assert reported.code == "outOfMemory" and "make it shorter" in reported.message


@in_loop
async def test_memory_that_runs_out_in_any_other_node(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the retries, the error is torch's or Python's own."""
    from acestep_xl.nodes.encode_prompt import Encode

    def encode(*_: Any, **__: Any) -> None:
        raise MemoryError

    monkeypatch.setattr(Encode, Encode.FUNCTION, encode)
    async with open_tasks(tmp_path, HeadlessEngine(tmp_path / "work", [], "cpu")) as tasks:
        (reported,) = (await run_task(tasks, inference(duration=30, steps=1))).errors
    assert reported.code == "outOfMemory"
