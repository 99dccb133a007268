"""Memory of a guided step of a long song: everything on the card, in 8 bits, and streamed; what streaming costs."""

from __future__ import annotations

import gc
from typing import Any

import torch
from checkpoints import XL
from rivals import SIZES, TOKENS

from acestep_xl.host.offload.accelerator import TorchAccelerator
from acestep_xl.host.offload.copy_stream import CopyStream, SyncCopy
from acestep_xl.host.offload.hooks import MIN_BYTES
from acestep_xl.host.offload.manager import OffloadManager
from acestep_xl.model import context
from acestep_xl.model.condition import Condition
from acestep_xl.model.config import from_official
from acestep_xl.model.linear.quantise import convert, weight_bytes
from acestep_xl.model.network import AceStep
from acestep_xl.model.predictor import Predictor
from acestep_xl.pipeline.memory import estimate
from acestep_xl.pipeline.run import PromptSize, Run
from acestep_xl.sampler.guidance import Guidance

from .bench import Bench, T

GIB = 2**30


class SmallerCard(TorchAccelerator):
    """A card of which only so many bytes count as its memory; on a CPU, main memory plays the card."""

    def __init__(self, device: torch.device, size: int) -> None:
        super().__init__(torch.device("cpu", 0) if device.type == "cpu" else device)
        self._size, self._others = size, _allocated(device)

    def total_memory(self) -> int | None:
        return self._size

    def free_memory(self) -> int | None:
        return self._size - (_allocated(self.device) - self._others)

    def copy_stream(self) -> CopyStream:
        return SyncCopy() if self.device.type == "cpu" else super().copy_stream()


def _allocated(device: torch.device) -> int:
    return torch.cuda.memory_allocated(device) if device.type == "cuda" else 0


def measure(bench: Bench) -> dict[str, Any]:
    """Peak bytes and seconds of a step with the complete network, by how it lies on the card."""
    network = _complete(bench)
    _free(bench)
    whole = 2 * weight_bytes(network) + 8 * GIB
    rows = {"bf16, on the card": _step(bench, network, whole)}
    for gib in bench.plan.cards:
        rows[f"bf16, a card of {gib:g} GiB"] = _step(bench, network, int(gib * GIB) + _floor(bench))
    del network
    return rows


def eight_bits(bench: Bench) -> dict[str, Any]:
    """The same with int8 weights."""
    network = convert(_complete(bench), "int8")
    _free(bench)
    return {"int8, on the card": _step(bench, network, 2 * weight_bytes(network) + 8 * GIB)}


def _floor(bench: Bench) -> int:
    """The tiny plan's cards are smaller than the reserve that every card keeps."""
    return 0 if bench.is_card else GIB // 2


def _complete(bench: Bench) -> AceStep:
    """All parts of the network with random weights in main memory, drawn on the device, which is faster."""
    official = XL if bench.plan.size == "XL" else SIZES[bench.plan.size]
    layers = official["num_hidden_layers"] if bench.plan.layers is None else bench.plan.layers
    config = from_official({**official, "num_hidden_layers": layers})
    with torch.device("meta"):
        network = AceStep(config, "sft")
    network = network.to_empty(device=bench.device).to(bench.dtype).eval().requires_grad_(False)
    for weight in network.parameters():
        weight.normal_(0, 0.02)
    network.silence = torch.zeros(1, config.latent_channels, device=bench.device)
    return network.to("cpu")


def _free(bench: Bench) -> None:
    gc.collect()
    bench.release()


def _step(bench: Bench, network: AceStep, size: int) -> dict[str, Any]:
    """The longer song first, so that what the shorter one streams less is not still on the card."""
    accelerator = SmallerCard(bench.device, size)
    return {f"{seconds:g} s": _step_of(bench, network, accelerator, seconds) for seconds in reversed(bench.plan.songs)}


@torch.no_grad()
def _step_of(bench: Bench, network: AceStep, accelerator: SmallerCard, seconds: float) -> dict[str, Any]:
    """Peak bytes of the weights on the card and the step's work, and seconds of a step."""
    frames, before = round(25 * seconds), _allocated(bench.device)
    work = estimate.sampling(network, _run(frames, seconds), bench.device, True)
    manager = OffloadManager(accelerator, min(MIN_BYTES, weight_bytes(network) // 100))
    with manager.hold([network], work):
        device = accelerator.device
        states = torch.randn(1, TOKENS, network.config.encoder.hidden, device=device, dtype=bench.dtype)
        x = torch.randn(1, frames, network.config.latent_channels, device=device)
        silent = context.text_to_music(network, frames).to(device, bench.dtype)
        predictor = Predictor(network, Condition(states, None), silent)

        def step() -> object:
            return predictor(x, T, unconditional=True)

        peak = bench.peak(step, beside=before)
        times = bench.time({"step": step}, min(3, bench.plan.rounds))
    manager.offload(network)
    return {"peak": peak, "seconds": times["step"], "estimated work": work}


def _run(frames: int, seconds: float) -> Run:
    guidance = Guidance("apg", 7.0, 0.0, 1.0, -0.75, 2.5, 0.0, 3.14 / 6, "standard")
    size = PromptSize(100, TOKENS - 101)
    return Run("XL", "sft", (0,), frames, seconds, (None,), size, None, (), 1.0, None, guidance, (), (), None)
