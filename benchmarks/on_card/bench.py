"""What the sections share: the plan of sizes, the networks, and how a step is timed."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from machine import wait
from rivals import Rivals, Song, make_rivals
from torch import Tensor

from acestep_xl.model.compiled import compile_layers
from acestep_xl.model.network import AceStep, share
from acestep_xl.model.predictor import Predictor

T = 0.5  # the noise level of every timed step


@dataclass(frozen=True)
class Plan:
    """Sizes. layers: of the transformer, None for all; songs and decodes: seconds; cards: GiB of streamed runs."""

    size: str
    layers: int | None
    songs: tuple[float, float]
    decodes: tuple[float, float]
    cards: tuple[float, ...]
    rounds: int
    rank: int
    matrix: int


CARD = Plan("XL", None, (60.0, 240.0), (60.0, 600.0), (12.0, 8.0, 4.0), 10, 64, 8192)
TINY = Plan("tiny", 2, (12.0, 24.0), (0.5, 1.0), (0.002,), 1, 4, 64)


class Bench:
    """The networks of a plan on a device, made when a section first asks for them."""

    def __init__(self, plan: Plan, device: torch.device) -> None:
        self.plan, self.device = plan, device
        self.is_card = device.type == "cuda"
        self.dtype = torch.bfloat16 if self.is_card else torch.float32
        self._songs: dict[float, Song] = {}

    @functools.cached_property
    def pair(self) -> Rivals:
        return make_rivals(self.plan.size, self.plan.layers, self.dtype, self.device)

    def song(self, seconds: float) -> Song:
        """One song of this length, the same for every section."""
        if seconds not in self._songs:
            self._songs[seconds] = Song(self.pair, seconds, 1)
        return self._songs[seconds]

    def step(self, network: AceStep, seconds: float) -> Callable[[], tuple[Tensor, Tensor | None]]:
        """A guided step of a network as this project runs it, its condition projected already."""
        song = self.song(seconds)
        predictor = Predictor(network, song.condition, song.context)
        return lambda: predictor(song.x, T, unconditional=True)

    def compiled(self, network: AceStep, mode: str) -> AceStep:
        """A copy over the same weights with compiled layers."""
        copy = share(network)
        compile_layers(copy, mode)
        return copy

    def captured(self, step: Callable[[], object]) -> Callable[[], object]:
        """A step as one CUDA graph: its kernels without the time to launch them."""
        stream = torch.cuda.Stream()
        with torch.cuda.stream(stream):
            step()
            step()
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            step()
        return graph.replay

    def time(self, contestants: Mapping[str, Callable[[], object]], rounds: int | None = None) -> dict[str, float]:
        """Median seconds of each; they take turns, after a round that does not count."""
        times: dict[str, list[float]] = {name: [] for name in contestants}
        for number in range(-1, self.plan.rounds if rounds is None else rounds):
            for name, work in contestants.items():
                wait(self.device)
                start = time.perf_counter()
                work()
                wait(self.device)
                if number >= 0:
                    times[name].append(time.perf_counter() - start)
        return {name: sorted(values)[len(values) // 2] for name, values in times.items()}

    def allocated(self) -> int:
        """Bytes allocated on the card now; 0 on a CPU, which does not count them."""
        return torch.cuda.memory_allocated(self.device) if self.is_card else 0

    def peak(self, work: Callable[[], object], beside: int) -> int | None:
        """Bytes allocated on the card at most during the work, less those beside it; None on a CPU."""
        if not self.is_card:
            work()
            return None
        wait(self.device)
        torch.cuda.reset_peak_memory_stats(self.device)
        work()
        wait(self.device)
        return torch.cuda.max_memory_allocated(self.device) - beside

    def release(self) -> None:
        """Give unused memory back between sections."""
        torch._dynamo.reset()
        if self.is_card:
            torch.cuda.empty_cache()


def difference(a: Tensor, b: Tensor) -> float:
    """The largest difference over the largest value."""
    return float((a.float() - b.float()).abs().max() / b.float().abs().max())


def cosine(a: Tensor, b: Tensor) -> float:
    return float(torch.nn.functional.cosine_similarity(a.double().flatten(), b.double().flatten(), dim=0))
