"""What will lie on the card when: one plan for a checkpoint, a song and a card, and the ways to carry it out."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

import torch
from torch import nn

from ..host.offload.accelerator import RESERVE, MemoryInfo
from ..host.offload.hooks import SMALLEST
from ..host.offload.placement import Choice, Shape, blocks_of, choose, shape_of, size_of
from ..model.checkpoint import Networks
from ..model.network import AceStep
from ..model.vae import Oobleck
from . import memory_estimate
from .memory_estimate import Song
from .oom_retry import GIB, Strategy, fallbacks

# Latent frames at a time: the results are the same, memory grows with the chunk and the overlap's cost shrinks. On a
# CPU every chunk of 128 (5 s of sound) takes 0.9 GiB and 14% of overlap, 512 takes 2.3 GiB and 4%.
CHUNKS = {"cpu": (128, 64, 32)}
CARD_CHUNKS = (512, 256, 128, 64, 32)
# What the driver takes of a card before anything of ours lies on it.
DRIVER = 512 * 2**20
MAIN, WHOLE, TURNS, ENCODERS, PARTLY, STREAMED, TOO_LARGE = (
    "in main memory", "everything stays on the card", "one part at a time",
    "all layers of the transformer stay on the card, what encodes the prompt comes when it runs",
    "the network is partly streamed", "the network is streamed", "does not fit",
)  # fmt: skip
LESS_THAN_WHOLE = (ENCODERS, PARTLY, STREAMED, TOO_LARGE)


@dataclass(frozen=True)
class Stage:
    """One part of a run, in bytes. weights: of its network on the card, with the window that others stream through.
    work: everything beside them."""

    name: str
    weights: int
    work: int

    @property
    def needed(self) -> int:
        return self.weights + self.work


@dataclass(frozen=True)
class MemoryPlan:
    """kind: one of the words above. stages: text, sampling, decode. layers: of the transformer, how many stay on the
    card, and how many there are. together: whether guided halves share a batch. chunk: the VAE's, in latent frames.
    eight_bit: whether weights of one byte would fit whole where these do not."""

    kind: str
    stages: tuple[Stage, ...]
    layers: tuple[int, int]
    together: bool
    chunk: int
    card: MemoryInfo | None
    eight_bit: bool


def make(checkpoint: Networks, song: Song, device: torch.device, card: MemoryInfo | None, more: int = 0) -> MemoryPlan:
    """The plan. checkpoint: its networks, on the meta device or loaded. card: None where there is none to share. more:
    bytes that sampling needs beside what every run does."""
    first, shape = sampling_attempts(checkpoint.network, song, device, card, more)[0], _shape(checkpoint.network)
    decode = vae_attempts(checkpoint.vae, device, card)[0]
    choice = _choice(shape, first.memory, card)
    text_shape, text_work = _shape(checkpoint.text), memory_estimate.text(checkpoint.text)
    text = _choice(text_shape, text_work, card)
    stages = (
        Stage("text", text.resident + text.window, text_work),
        Stage("sampling", choice.resident + choice.window, first.memory),
        Stage("decode", size_of(checkpoint.vae), decode.memory),
    )
    whole = (text_shape.total, shape.total, size_of(checkpoint.vae))
    kind = _kind(stages, whole, choice, len(shape.again), card)
    eight = kind in LESS_THAN_WHOLE and card is not None and _eight_bit(checkpoint.network, shape)
    fits = bool(eight) and card is not None and eight + first.memory + RESERVE <= card.free
    layers = (len(choice.again), len(shape.again))
    return MemoryPlan(kind, stages, layers, bool(first.together), decode.chunk, card, fits)


def sampling_attempts(
    network: AceStep, song: Song, device: torch.device, card: MemoryInfo | None, more: int = 0
) -> list[Strategy]:
    """The ways to sample, the best that should fit first. more: bytes beside what every run needs.

    Guided halves in one batch are fastest. One after the other they need less, which is worth it where the network
    then stays whole, and where nothing else fits: streamed weights have to come for each half.
    """
    if card is None:
        return [Strategy(memory_estimate.sampling(network, song, device) + more)]
    apart = fallbacks(memory_estimate.sampling(network, song, device, False) + more, card, False)
    if not song.guided:
        return apart
    lesser = [replace(apart[0], how="with the guided halves one after the other"), *apart[1:]]
    both = Strategy(memory_estimate.sampling(network, song, device, True) + more, together=True)
    shape = _shape(network)
    room = card.free - RESERVE
    if shape.total + both.memory > room:
        least = choose(shape, 0)
        if shape.total + apart[0].memory <= room or least.resident + least.window + both.memory > room:
            return lesser
    return [both, *lesser]


def vae_attempts(oobleck: Oobleck, device: torch.device, card: MemoryInfo | None) -> list[Strategy]:
    """The ways to decode or encode, the largest chunk that should fit first."""
    chunks = CHUNKS.get(device.type if card is None else "", CARD_CHUNKS)
    every = [Strategy(memory_estimate.vae(oobleck, n), f"in chunks of {n} latent frames", chunk=n) for n in chunks]
    room = None if card is None else card.free - RESERVE - size_of(oobleck)
    fitting = [attempt for attempt in every if room is None or attempt.memory <= room]
    return fitting or every[-1:]


def imagined(gib: float) -> MemoryInfo:
    """A card of so many GiB on which nothing else runs."""
    return MemoryInfo(int(gib * GIB) - DRIVER, int(gib * GIB))


def remarks(network: AceStep, work: int, card: MemoryInfo | None) -> list[str]:
    """What is worth a hint before a network samples: nothing where it stays whole."""
    shape = _shape(network)
    if card is None or shape.total + work + RESERVE <= card.free:
        return []
    eight = _eight_bit(network, shape) + work + RESERVE <= card.free
    return [
        f"the network ({shape.total / GIB:.1f} GiB) and its work ({work / GIB:.1f} GiB) do not fit into the "
        f"{card.free / GIB:.1f} GiB that can be had: part of the weights comes from main memory at each step, which is "
        f"slower and gives the same song{'; with 8-bit weights it would fit whole' if eight else ''}"
    ]


def summary(plan: MemoryPlan) -> str:
    """A sentence."""
    stay, layers = plan.layers
    kind = f"{plan.kind}: {stay} of {layers} layers stay on the card" if plan.kind in (PARTLY, STREAMED) else plan.kind
    peak = max(stage.needed for stage in plan.stages)
    if plan.kind == WHOLE:
        peak = sum(stage.weights for stage in plan.stages) + max(stage.work for stage in plan.stages)
    share = "" if plan.card is None else f" of the {plan.card.free / GIB:.1f} GiB that are free"
    return f"memory: {kind}; at most {peak / GIB:.1f} GiB{share}"


def table(plan: MemoryPlan) -> list[str]:
    """What lies where when, a line each."""
    lines = [summary(plan), f"  {'':10}{'weights':>12}{'work':>12}{'at once':>12}"]
    for stage in plan.stages:
        sizes = "".join(f"{size / GIB:8.2f} GiB" for size in (stage.weights, stage.work, stage.needed))
        lines.append(f"  {stage.name:10}{sizes}")
    guided = "in one batch" if plan.together else "one after the other"
    lines.append(f"  guided halves {guided}; VAE in chunks of {plan.chunk} latent frames")
    if plan.eight_bit:
        lines.append("  with 8-bit weights the network would fit whole")
    return lines


def _shape(network: nn.Module) -> Shape:
    return shape_of(network, blocks_of(network, SMALLEST))


def _choice(shape: Shape, work: int, card: MemoryInfo | None) -> Choice:
    return choose(shape, shape.total if card is None else card.free - RESERVE - work)


def _kind(stages: Iterable[Stage], whole: tuple[int, ...], choice: Choice, layers: int, card: MemoryInfo | None) -> str:
    if card is None:
        return MAIN
    room, stages = card.free - RESERVE, tuple(stages)
    if sum(whole) + max(stage.work for stage in stages) <= room:
        return WHOLE
    if any(stage.needed > room for stage in stages):
        return TOO_LARGE
    if not choice.window:
        return TURNS
    if len(choice.again) == layers:
        return ENCODERS
    return PARTLY if choice.again else STREAMED


def _eight_bit(network: AceStep, shape: Shape) -> int:
    """Bytes of the network with its large layers in one byte a number."""
    large = [layer.get_parameter("weight") for block in blocks_of(network, SMALLEST) for layer in block.layers]
    return shape.fixed + sum(weight.numel() for weight in large)
