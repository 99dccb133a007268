"""What lies on the card when: the plan for a checkpoint, a run and a card, and the strategies to carry it out."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

import torch
from torch import nn

from ...host.offload.accelerator import RESERVE, MemoryInfo
from ...host.offload.hooks import MIN_BYTES
from ...host.offload.placement import NetworkSizes, Placement, blocks_of, choose_placement, measure_network, size_of
from ...model.fit import Networks
from ...model.network import AceStep
from ...model.vae.oobleck import Oobleck
from ..run import Run
from . import estimate
from .oom_retry import GIB, Strategy, fallbacks

# Latent frames per VAE chunk. The result does not depend on it; memory grows with the chunk while the cost of the
# overlap falls. On a CPU, chunks of 128 (5 s of audio) take 0.9 GiB and 14% overlap, 512 take 2.3 GiB and 4%.
CPU_CHUNKS = (128, 64, 32)
CARD_CHUNKS = (512, 256, 128, 64, 32)
# What the driver takes of a card before any of our weights.
DRIVER = 512 * 2**20
MAIN, WHOLE, TURNS, ENCODERS, PARTLY, STREAMED, TOO_LARGE = (
    "in main memory", "everything stays on the card", "one part at a time",
    "all layers of the transformer stay on the card; the prompt encoders are loaded when they run",
    "the network is partly streamed", "the network is streamed", "does not fit",
)  # fmt: skip
LESS_THAN_WHOLE = (ENCODERS, PARTLY, STREAMED, TOO_LARGE)


@dataclass(frozen=True)
class Stage:
    """One part of a run, in bytes. weights: of its network on the card, with the prefetch buffer.
    work: everything beside them."""

    name: str
    weights: int
    work: int

    @property
    def needed(self) -> int:
        return self.weights + self.work


@dataclass(frozen=True)
class MemoryPlan:
    """kind: one of the phrases above. stages: text, sampling, decode. layers: of the transformer, how many stay on the
    card, and how many there are. together: whether guided halves share a batch. chunk: the VAE's, in latent frames.
    eight_bit: whether 8-bit weights would fit entirely where these do not."""

    kind: str
    stages: tuple[Stage, ...]
    layers: tuple[int, int]
    together: bool
    chunk: int
    card: MemoryInfo | None
    eight_bit: bool


def make_plan(checkpoint: Networks, run: Run, device: torch.device, card: MemoryInfo | None) -> MemoryPlan:
    """The plan of a run. checkpoint: on the meta device or loaded. card: None where the device has no memory of its
    own."""
    first, sizes = sampling_strategies(checkpoint.network, run, device, card)[0], _sizes(checkpoint.network)
    decode = vae_strategies(checkpoint.vae, device, card)[0]
    placement = _placement(sizes, first.memory, card)
    text_sizes, text_work = _sizes(checkpoint.text), estimate.text(checkpoint.text)
    text = _placement(text_sizes, text_work, card)
    stages = (
        Stage("text", text.resident + text.buffer, text_work),
        Stage("sampling", placement.resident + placement.buffer, first.memory),
        Stage("decode", size_of(checkpoint.vae), decode.memory),
    )
    totals = (text_sizes.total, sizes.total, size_of(checkpoint.vae))
    kind = _kind(stages, totals, placement, len(sizes.per_step), card)
    fits_in_8_bits = (
        kind in LESS_THAN_WHOLE
        and card is not None
        and _eight_bit_size(checkpoint.network, sizes) + first.memory + RESERVE <= card.free
    )
    layers = (len(placement.per_step), len(sizes.per_step))
    return MemoryPlan(kind, stages, layers, bool(first.batch_halves), decode.chunk_frames, card, fits_in_8_bits)


def sampling_strategies(network: AceStep, run: Run, device: torch.device, card: MemoryInfo | None) -> list[Strategy]:
    """The ways to sample, the best that should fit first.

    Guided halves in one batch are fastest. One after the other they need less memory, which pays where the network then
    stays on the card entirely, and where nothing else fits: streamed weights have to be copied for each half.
    """
    if card is None:
        return [Strategy(estimate.sampling(network, run, device))]
    sequential = fallbacks(estimate.sampling(network, run, device, False), card, False)
    if not run.is_guided:
        return sequential
    sequential[0] = replace(sequential[0], description="with the guided halves one after the other")
    batched = Strategy(estimate.sampling(network, run, device, True), batch_halves=True)
    sizes = _sizes(network)
    room = card.free - RESERVE
    if sizes.total + batched.memory > room:
        smallest = choose_placement(sizes, 0)
        sequential_fits = sizes.total + sequential[0].memory <= room
        if sequential_fits or smallest.resident + smallest.buffer + batched.memory > room:
            return sequential
    return [batched, *sequential]


def vae_strategies(oobleck: Oobleck, device: torch.device, card: MemoryInfo | None) -> list[Strategy]:
    """The ways to decode or encode, the largest chunk that should fit first."""
    chunks = CPU_CHUNKS if card is None and device.type == "cpu" else CARD_CHUNKS
    strategies = [Strategy(estimate.vae(oobleck, n), f"in chunks of {n} latent frames", chunk_frames=n) for n in chunks]
    room = None if card is None else card.free - RESERVE - size_of(oobleck)
    fitting = [strategy for strategy in strategies if room is None or strategy.memory <= room]
    return fitting or strategies[-1:]


def empty_card(gib: float) -> MemoryInfo:
    """A card of so many GiB on which nothing else runs."""
    return MemoryInfo(int(gib * GIB) - DRIVER, int(gib * GIB))


def offload_advice(network: AceStep, work: int, card: MemoryInfo | None) -> list[str]:
    """What to tell the user about a network that does not stay on the card entirely."""
    sizes = _sizes(network)
    if card is None or sizes.total + work + RESERVE <= card.free:
        return []
    fits_in_8_bits = _eight_bit_size(network, sizes) + work + RESERVE <= card.free
    return [
        f"the network ({sizes.total / GIB:.1f} GiB) and its work ({work / GIB:.1f} GiB) do not fit into the "
        f"{card.free / GIB:.1f} GiB available: part of the weights is copied from main memory at each step, which is "
        f"slower and gives the same song{'; 8-bit weights would fit entirely' if fits_in_8_bits else ''}"
    ]


def summary(plan: MemoryPlan) -> str:
    """A sentence."""
    stay, layers = plan.layers
    kind = f"{plan.kind}: {stay} of {layers} layers stay on the card" if plan.kind in (PARTLY, STREAMED) else plan.kind
    peak = max(stage.needed for stage in plan.stages)
    if plan.kind == WHOLE:
        peak = sum(stage.weights for stage in plan.stages) + max(stage.work for stage in plan.stages)
    share = "" if plan.card is None else f" of the {plan.card.free / GIB:.1f} GiB free"
    return f"memory: {kind}; at most {peak / GIB:.1f} GiB{share}"


def table(plan: MemoryPlan) -> list[str]:
    """The plan as lines of text, a stage each."""
    lines = [summary(plan), f"  {'':10}{'weights':>12}{'work':>12}{'at once':>12}"]
    for stage in plan.stages:
        sizes = "".join(f"{size / GIB:8.2f} GiB" for size in (stage.weights, stage.work, stage.needed))
        lines.append(f"  {stage.name:10}{sizes}")
    guided = "in one batch" if plan.together else "one after the other"
    lines.append(f"  guided halves {guided}; VAE in chunks of {plan.chunk} latent frames")
    if plan.eight_bit:
        lines.append("  8-bit weights would fit entirely")
    return lines


def _sizes(network: nn.Module) -> NetworkSizes:
    return measure_network(network, blocks_of(network, MIN_BYTES))


def _placement(sizes: NetworkSizes, work: int, card: MemoryInfo | None) -> Placement:
    return choose_placement(sizes, sizes.total if card is None else card.free - RESERVE - work)


def _kind(
    stages: Iterable[Stage], totals: tuple[int, ...], placement: Placement, layers: int, card: MemoryInfo | None
) -> str:
    if card is None:
        return MAIN
    room, stages = card.free - RESERVE, tuple(stages)
    if sum(totals) + max(stage.work for stage in stages) <= room:
        return WHOLE
    if any(stage.needed > room for stage in stages):
        return TOO_LARGE
    if not placement.buffer:
        return TURNS
    if len(placement.per_step) == layers:
        return ENCODERS
    return PARTLY if placement.per_step else STREAMED


def _eight_bit_size(network: AceStep, sizes: NetworkSizes) -> int:
    """Bytes of the network with its large layers in one byte a number."""
    weights = [layer.get_parameter("weight") for block in blocks_of(network, MIN_BYTES) for layer in block.layers]
    return sizes.fixed + sum(weight.numel() for weight in weights)
