"""Work that runs out of memory and is retried with cheaper strategies."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from fake_accelerator import FakeAccelerator
from graphs import run
from torch import Tensor, nn

from acestep_xl.host.headless import HeadlessHost
from acestep_xl.host.offload.accelerator import MemoryInfo, OutOfMemory
from acestep_xl.model import demo
from acestep_xl.model.fit import Networks
from acestep_xl.pipeline.memory.oom_retry import Strategy, fallbacks, run_with_retries
from acestep_xl.runner.execute import NodeError

SIZE = 2**36
LOAD_DEMO = demo.load


class OutOfMemoryHook:
    """A forward hook whose first calls raise an out-of-memory error."""

    def __init__(self, times: int) -> None:
        self.remaining = times

    def __call__(self, module: nn.Module, arguments: Any) -> None:
        if self.remaining:
            self.remaining -= 1
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")


class WarningHost(HeadlessHost):
    """A host on a fake accelerator that keeps its warnings."""

    def __init__(self, folder: Path) -> None:
        self.fake = FakeAccelerator(SIZE)
        super().__init__([], folder, accelerator=self.fake)
        self.warnings: list[str] = []

    def warn(self, message: str) -> None:
        self.warnings.append(message)


def song(
    folder: Path, prepare: Callable[[Networks], None] | None, monkeypatch: pytest.MonkeyPatch
) -> tuple[Tensor, WarningHost]:
    """The waveform of the small graph with new demo networks, after ``prepare`` has changed them."""
    parts = LOAD_DEMO()
    if prepare is not None:
        prepare(Networks(parts[0], parts[1].model, parts[2]))
    monkeypatch.setattr(demo, "load", lambda: parts)
    host = WarningHost(folder)
    return run(folder, probes=("decode",), host=host).outputs["decode"]["waveform"], host


@pytest.mark.parametrize("stage", ["text", "condition", "step", "decode"])
def test_running_out_of_memory_at_any_stage_gives_the_same_song(
    stage: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected, host = song(tmp_path, None, monkeypatch)
    usual_warnings = list(host.warnings)
    hook = OutOfMemoryHook(2)

    def attach(parts: Networks) -> None:
        layers = parts.network.decoder.layers
        stages = {
            "text": parts.text,
            "condition": parts.network.encoder,
            "step": layers[2],
            "decode": parts.vae.decoder,
        }
        stages[stage].register_forward_pre_hook(hook)

    result, host = song(tmp_path, attach, monkeypatch)
    warnings = [warning for warning in host.warnings if warning not in usual_warnings]
    assert hook.remaining == 0 and len(warnings) == 2, warnings
    assert all("out of memory while" in warning for warning in warnings), warnings
    torch.testing.assert_close(result, expected, rtol=0, atol=1e-4)


def test_no_strategy_left_names_the_remedies(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hook = OutOfMemoryHook(10**6)

    def attach(parts: Networks) -> None:
        parts.network.decoder.layers[1].register_forward_pre_hook(hook)

    with pytest.raises(NodeError) as caught:
        song(tmp_path, attach, monkeypatch)
    assert isinstance(caught.value.__cause__, OutOfMemory)
    assert isinstance(caught.value.__cause__, torch.OutOfMemoryError)
    parts = ("while sampling", "the work needs", "GiB available", "Make the song shorter", "Tried to allocate 2.00")
    assert all(part in str(caught.value) for part in parts), caught.value


def test_the_host_can_be_used_after_the_last_strategy(tmp_path: Path) -> None:
    network, host = demo.load()[0], WarningHost(tmp_path)
    host.fake.modules = [network]
    hook = OutOfMemoryHook(10**6)
    strategies = fallbacks(1, host.memory_info())
    with pytest.raises(OutOfMemory):
        run_with_retries(host, "x", [network], strategies, lambda strategy, device: hook(network, ()))
    memory = run_with_retries(host, "x", [network], strategies, lambda strategy, device: strategy.memory)
    assert memory == 1 and host.memory_info() == MemoryInfo(SIZE, SIZE)


def test_each_strategy_asks_for_more_memory(tmp_path: Path) -> None:
    host, requests = WarningHost(tmp_path), []

    def work(strategy: Strategy, device: torch.device) -> None:
        requests.append(strategy.memory)
        raise torch.OutOfMemoryError

    with pytest.raises(OutOfMemory):
        run_with_retries(host, "x", [nn.Linear(2, 2)], fallbacks(100, host.memory_info()), work)
    assert requests == [100, 200, SIZE]


def test_other_errors_pass_through(tmp_path: Path) -> None:
    host = WarningHost(tmp_path)
    with pytest.raises(ZeroDivisionError):
        run_with_retries(host, "x", [nn.Linear(2, 2)], fallbacks(100, None), lambda strategy, device: 1 // 0)
