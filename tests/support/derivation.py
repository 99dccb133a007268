"""A second derivation of ACE-Step's official procedure, written from its published code, that the nodes must equal.

It calls the network's modules, which the golden tensors verify, and nothing else of the pack. One song at a time, no
padding, no shortcuts: the null condition is repeated to the condition's length, as in the official code.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor

from acestep_xl.model.network import AceStep

Spans = Sequence[tuple[int, int]]
CAPTIONS, LYRICS = (23, 17), (60, 41)  # valid tokens of the golden items


@dataclass(frozen=True)
class Side:
    """What the network sees during a step. condition: ``[1 e d]``; context: ``[1 t 2c]``; negative: ``[1 n d]``."""

    condition: Tensor
    context: Tensor
    negative: Tensor | None = None


@dataclass(frozen=True)
class Guide:
    """kind: apg or cfg. low, high: the levels t between which a step is guided. weight: share of the negative."""

    kind: str = "apg"
    scale: float = 7.0
    low: float = 0.0
    high: float = 1.0
    weight: float = 1.0


@dataclass(frozen=True)
class Hold:
    """What preserves the source outside a repaint. mask: ``[1 t 1]``, 1 inside. fade: final blend, None = no blend."""

    source: Tensor
    mask: Tensor
    injection: float
    fade: Tensor | None


@dataclass(frozen=True)
class GoldenModel:
    """A golden checkpoint and its inputs, in the forms that the nodes and the derivation take."""

    network: AceStep
    inputs: dict[str, Tensor]

    def silence(self, frames: int) -> Tensor:
        return self.inputs["silence"][:, :frames]

    def source(self, frames: int, item: int = 0) -> Tensor:
        """``[1 t c]``, the golden sources one after the other."""
        return torch.cat([self.inputs["src"][item], self.inputs["src"][1 - item]])[None, :frames]

    def prompt(self, item: int, after_switch: int | None = None, references: Sequence[int] = ()) -> list[list[Any]]:
        """A CONDITIONING. after_switch: the item whose caption replaces its own once the source is dropped."""
        inputs, one = self.inputs, slice(item, item + 1)
        extra: dict[str, Any] = {"attention_mask": inputs["text_mask"][one]}
        extra |= {"conditioning_lyrics": inputs["lyric"][one], "conditioning_lyrics_mask": inputs["lyric_mask"][one]}
        if after_switch is not None:
            other = slice(after_switch, after_switch + 1)
            extra["acestep_xl_after_switch"] = inputs["text"][other]
            extra["acestep_xl_after_switch_mask"] = inputs["text_mask"][other]
        if references:
            extra["reference_audio_timbre_latents"] = [inputs["ref"][r : r + 1].transpose(1, 2) for r in references]
        return [[inputs["text"][one], extra]]

    @torch.no_grad()
    def condition(self, item: int, caption: int | None = None, references: Sequence[int] = ()) -> Tensor:
        """The same prompt as the network's condition: lyric tokens, a token per timbre reference, caption tokens."""
        inputs, encoder, caption = self.inputs, self.network.encoder, item if caption is None else caption
        lyric, text = inputs["lyric"][item : item + 1, : LYRICS[item]], inputs["text"][caption : caption + 1]
        ref = inputs["ref"][list(references)] if references else self.silence(inputs["ref"].shape[1])
        lyrics = encoder.lyric_encoder(lyric, torch.ones(lyric.shape[:2], dtype=torch.bool))
        projected = encoder.text_projector(text[:, : CAPTIONS[caption]])
        return torch.cat([lyrics, encoder.timbre_encoder(ref)[None], projected], dim=1)

    @torch.no_grad()
    def round_trip_codes(self, source: Tensor) -> Tensor:
        """Tokenizer and detokenizer; silence completes the last window of five frames."""
        padded = torch.cat([source, self.silence(-source.shape[1] % 5)], dim=1)
        codes = self.network.tokenizer(padded, self.silence(5)[0])
        return self.network.detokenizer(codes.quantized)[:, : source.shape[1]]

    def repaint(self, source: Tensor, spans: Spans) -> Tensor:
        """Context of a repaint: inside, the silence of the same frames."""
        mask = inside(spans, source.shape[1])
        return context(torch.where(mask > 0, self.silence(source.shape[1]), source), mask)

    def drop_source(self, source_steps: int, side: Side, condition: Tensor, steps: int) -> list[Side]:
        """A side for each step: ``source_steps`` with the source, then text to music."""
        after = Side(condition, context(self.silence(side.context.shape[1])), side.negative)
        return [side] * source_steps + [after] * (steps - source_steps)


def levels(steps: int, shift: float) -> list[float]:
    even = torch.linspace(1, 0, steps + 1, dtype=torch.float64)
    return (shift * even / (1 + (shift - 1) * even)).tolist()


def draw(seed: int, frames: int) -> Tensor:
    return torch.randn(1, frames, 64, generator=torch.Generator().manual_seed(seed))


def context(source: Tensor, mask: Tensor | None = None) -> Tensor:
    """source | mask; without a mask everything is generated."""
    mask = torch.ones_like(source) if mask is None else mask.expand_as(source)
    return torch.cat([source, mask], dim=-1)


def inside(spans: Spans, frames: int) -> Tensor:
    mask = torch.zeros(1, frames, 1)
    for first, last in spans:
        mask[:, first:last] = 1
    return mask


def fade(spans: Spans, frames: int, width: int) -> Tensor:
    """1 inside, with ramps of ``width`` frames outside, or of as many as the song's start and end leave."""
    weight = inside(spans, frames)
    for first, last in spans:
        start, end = max(first - width, 0), min(last + width, frames)
        up, down = (torch.linspace(0, 1, n + 2)[1:-1, None] for n in (first - start, end - last))
        weight[0, start:first] = torch.maximum(weight[0, start:first], up)
        weight[0, last:end] = torch.maximum(weight[0, last:end], down.flip(0))
    return weight


def hold(source: Tensor, spans: Spans, injection: float, width: int) -> Hold:
    frames = source.shape[1]
    return Hold(source, inside(spans, frames), injection, fade(spans, frames, width))


@torch.no_grad()
def generate(
    network: AceStep,
    noise: Tensor,
    steps: Sequence[float],
    sides: Sequence[Side],
    guide: Guide | None = None,
    holding: Hold | None = None,
    start: Tensor | None = None,
) -> Tensor:
    """sides: one for each step. start: the latent at ``steps[0]``, unless that is the noise itself."""
    guide = guide or Guide()
    x, average = noise if start is None else start, torch.zeros_like(noise)
    injected = 0 if holding is None else round(holding.injection * len(sides))
    for index, ((t, after), side) in enumerate(zip(pairwise(steps), sides, strict=True)):
        v = cond = _velocity(network, x, t, side.condition, side.context)
        if guide.scale > 1 and guide.low <= t <= guide.high:
            uncond = _unconditional(network, x, t, side, guide.weight)
            if guide.kind == "apg":
                average = cond - uncond - 0.75 * average
                v = _apg(cond, average, guide.scale)
            else:
                v = uncond + guide.scale * (cond - uncond)
        x = x - v * (t - after)
        if holding is not None and index < injected:
            x = holding.mask * x + (1 - holding.mask) * (after * noise + (1 - after) * holding.source)
    if holding is not None and holding.fade is not None:
        x = holding.fade * x + (1 - holding.fade) * holding.source
    return x


def _apg(cond: Tensor, difference: Tensor, scale: float) -> Tensor:
    """Norm limit and projection over time, per channel; only what is orthogonal to the conditional velocity remains."""
    c, d = cond.double(), difference.double()
    d = d * (2.5 / d.norm(dim=1, keepdim=True)).clamp(max=1)
    unit = c / c.norm(dim=1, keepdim=True)
    return (c + (scale - 1) * (d - (d * unit).sum(dim=1, keepdim=True) * unit)).float()


def _unconditional(network: AceStep, x: Tensor, t: float, side: Side, weight: float) -> Tensor:
    """Null condition, same context; with a negative prompt the two predictions are mixed."""
    null = _velocity(network, x, t, network.null_condition_emb.expand_as(side.condition), side.context)
    if side.negative is None:
        return null
    return weight * _velocity(network, x, t, side.negative, side.context) + (1 - weight) * null


def _velocity(network: AceStep, x: Tensor, t: float, states: Tensor, context: Tensor) -> Tensor:
    keys_values = network.decoder.project_kv(states, None)
    return network.decoder(x, torch.tensor([t], dtype=torch.float32), context, keys_values)
