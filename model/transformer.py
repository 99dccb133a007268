"""The diffusion transformer: predicts the velocity of a noisy latent under a condition and a context."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .attention import Band, attend, band, rotary_table
from .config import Config, Width
from .layers import MLP, Attention, Rotary, SelfAttention, format_of, linear_in, sinusoid

TIME_CHANNELS = 256


@dataclass(frozen=True)
class Memory:
    """What one layer's cross-attention needs of a condition. k, v: ``[b g e d]``; mask: ``[b 1 1 e]`` bool or None."""

    k: Tensor
    v: Tensor
    mask: Tensor | None


@dataclass(frozen=True)
class Halves:
    """Two conditions in one batch: the first half of its items reads the first, the second half the second."""

    first: LayerCondition
    second: LayerCondition


# A layer reads a condition through its Memory. The null condition is one vector repeated, so attention over it is the
# same constant for every query: a Tensor [1 1 hidden] that is simply added.
LayerCondition = Memory | Tensor | Halves


@dataclass(frozen=True)
class Moment:
    """What the network makes of one noise level. embedding: ``[b 1 hidden]``; modulation: ``[b 6 hidden]``."""

    embedding: Tensor
    modulation: Tensor


@dataclass(frozen=True)
class Setting:
    """What is the same at every step of a run. tokens: the context's share of the input tokens ``[b s hidden]``;
    rotary: the table for their positions; sliding: the band of the layers with a window."""

    tokens: Tensor
    rotary: Rotary
    sliding: Band | None


# Tokens through the layers from one to before another, None for the last: (h, modulation, condition, first, end).
Run = Callable[[Tensor, Tensor, "list[LayerCondition]", int, "int | None"], Tensor]


class LayerCache(Protocol):
    """Decides which layers are computed; see step_cache.py."""

    def through(self, run: Run, h: Tensor, modulation: Tensor, condition: list[LayerCondition]) -> Tensor: ...


class CrossAttention(Attention):
    """Attention to the condition; no rotary embedding."""

    def remember(self, condition: Tensor, mask: Tensor | None) -> Memory:
        """Keys and values of an embedded condition ``[b e hidden]``; they do not change during a run."""
        condition = condition.to(format_of(self.k_proj))
        visible = None if mask is None else mask[:, None, None, :]
        return Memory(self.key(condition), self.value(condition), visible)

    def constant(self, token: Tensor) -> Tensor:
        """Output of attending to any number of copies of one token ``[1 1 hidden]``: its value, projected."""
        value = self.value(token.to(format_of(self.v_proj)))
        groups = self.q_proj.out_features // self.v_proj.out_features
        return self.output(value.repeat_interleave(groups, dim=1))

    def forward(self, x: Tensor, memory: Memory) -> Tensor:
        x = x.to(format_of(self.q_proj))
        return self.output(attend(self.query(x), memory.k, memory.v, memory.mask))


class Layer(nn.Module):
    """Modulated self-attention, plain cross-attention, modulated MLP."""

    def __init__(self, width: Width, eps: float) -> None:
        super().__init__()
        self.self_attn_norm = nn.RMSNorm(width.hidden, eps=eps)
        self.self_attn = SelfAttention(width, eps)
        self.cross_attn_norm = nn.RMSNorm(width.hidden, eps=eps)
        self.cross_attn = CrossAttention(width, eps)
        self.mlp_norm = nn.RMSNorm(width.hidden, eps=eps)
        self.mlp = MLP(width)
        self.scale_shift_table = nn.Parameter(torch.empty(1, 6, width.hidden))

    def forward(
        self, h: Tensor, modulation: Tensor, rotary: Rotary, visible: Band | None, condition: LayerCondition
    ) -> Tensor:
        """h: ``[b s hidden]``; modulation: ``[b 6 hidden]``."""
        return self.finish(self.mix(h, modulation, rotary, visible), modulation, condition)

    def mix(self, h: Tensor, modulation: Tensor, rotary: Rotary, visible: Band | None) -> Tensor:
        """The first part of a layer, self-attention, which does not see the condition. Shapes as in `forward`."""
        shift, scale, gate = (self.scale_shift_table + modulation)[:, :3].chunk(3, dim=1)
        x = torch.addcmul(shift, self.self_attn_norm(h), 1 + scale)
        return torch.addcmul(h, gate, self.self_attn(x, rotary, visible))

    def finish(self, mixed: Tensor, modulation: Tensor, condition: LayerCondition) -> Tensor:
        """The rest of a layer, cross-attention and MLP, on what `mix` returned."""
        shift, scale, gate = (self.scale_shift_table + modulation)[:, 3:].chunk(3, dim=1)
        h = self._read(mixed, condition)
        x = torch.addcmul(shift, self.mlp_norm(h), 1 + scale)
        return torch.addcmul(h, gate, self.mlp(x))

    def _read(self, h: Tensor, condition: LayerCondition) -> Tensor:
        """Add what the condition says."""
        if isinstance(condition, Halves):
            first, second = h.chunk(2)
            return torch.cat([self._read(first, condition.first), self._read(second, condition.second)])
        if isinstance(condition, Memory):
            return h + self.cross_attn(self.cross_attn_norm(h), condition)
        return h + condition


class TimeEmbedding(nn.Module):
    def __init__(self, hidden: int) -> None:
        super().__init__()
        self.linear_1 = nn.Linear(TIME_CHANNELS, hidden)
        self.linear_2 = nn.Linear(hidden, hidden)
        self.time_proj = nn.Linear(hidden, 6 * hidden)

    def forward(self, t: Tensor) -> tuple[Tensor, Tensor]:
        """t: ``[n]``; returns the embedding ``[n hidden]`` and the layers' modulation ``[n 6 hidden]``."""
        embedding = self.linear_2(F.silu(linear_in(self.linear_1, sinusoid(t, TIME_CHANNELS))))
        return embedding, self.time_proj(F.silu(embedding)).unflatten(-1, (6, -1))


class Transformer(nn.Module):
    """ACE-Step's ``decoder``. Parameter names are the official checkpoint's."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        width, patch = config.decoder, config.patch_size
        self.config = config
        # The convolutions have index 1 because the official modules keep a transposition at index 0 and 2.
        self.proj_in = nn.ModuleDict({"1": nn.Conv1d(3 * config.latent_channels, width.hidden, patch, patch)})
        self.proj_out = nn.ModuleDict({"1": nn.ConvTranspose1d(width.hidden, config.latent_channels, patch, patch)})
        self.time_embed = TimeEmbedding(width.hidden)
        self.time_embed_r = TimeEmbedding(width.hidden)
        self.condition_embedder = nn.Linear(config.encoder.hidden, width.hidden)
        self.layers = nn.ModuleList(Layer(width, config.norm_eps) for _ in range(config.decoder_layers))
        self.norm_out = nn.RMSNorm(width.hidden, eps=config.norm_eps)
        self.scale_shift_table = nn.Parameter(torch.empty(1, 2, width.hidden))

    def remember(self, states: Tensor, mask: Tensor | None) -> list[LayerCondition]:
        """Every layer's view of a packed condition. states: ``[b e d]``; mask: ``[b e]`` bool or None."""
        embedded = linear_in(self.condition_embedder, states)
        return [cross.remember(embedded, mask) for cross in self._cross_attentions()]

    def remember_constant(self, token: Tensor) -> list[LayerCondition]:
        """Every layer's view of a condition that repeats one token ``[1 1 d]``, such as the null condition."""
        embedded = linear_in(self.condition_embedder, token)
        return [cross.constant(embedded) for cross in self._cross_attentions()]

    def _cross_attentions(self) -> list[CrossAttention]:
        return [cast(Layer, layer).cross_attn for layer in self.layers]

    def forward(self, x: Tensor, t: Tensor, context: Tensor, condition: list[LayerCondition]) -> Tensor:
        """Velocity of x. x: ``[b t c]``; t: ``[1]`` or ``[b]`` in 1 (noise) .. 0; context: ``[b t 2c]``, src | mask."""
        return self.velocities(x, self.moment(t), self.settle(context), [condition])[0]

    def moment(self, t: Tensor) -> Moment:
        """What the layers get of noise levels ``[b]``."""
        # The second embedding is of t - r, the span of a mean-flow step; sampling always has r = t, so it is of 0.
        embedding, modulation = self.time_embed(t)
        embedding_r, modulation_r = self.time_embed_r(t.new_zeros(1))
        return Moment((embedding + embedding_r)[:, None], modulation + modulation_r)

    def settle(self, context: Tensor) -> Setting:
        """Everything about a context ``[b t 2c]`` that no step changes."""
        source = self._patches(context, slice(None, context.shape[2]))
        bias = cast(Tensor, cast(nn.Conv1d, self.proj_in["1"]).bias)
        tokens, config = source + bias, self.config
        rotary = rotary_table(tokens.shape[1], config.decoder.head_dim, config.rope_theta, tokens.device)
        return Setting(tokens, rotary, band(tokens.shape[1], config.sliding_window, None, tokens.device))

    def velocities(
        self,
        x: Tensor,
        moment: Moment,
        setting: Setting,
        conditions: list[list[LayerCondition]],
        *,
        together: bool = False,
        caches: Sequence[LayerCache | None] = (None, None),
    ) -> list[Tensor]:
        """Velocities of x ``[b t c]`` at a moment of the run, under one condition or two.

        Up to the first layer's self-attention nothing of the condition is seen, so that is computed once for both.
        together: the rest in one batch and not one after the other, which leaves no room for caches. caches: for each
        condition, what earlier steps of the run left behind.
        """
        h = (setting.tokens + self._patches(x, slice(-x.shape[2], None))).to(self.norm_out.weight.dtype)
        mixed = cast(Layer, self.layers[0]).mix(h, moment.modulation, setting.rotary, setting.sliding)
        if together and len(conditions) == 2:
            halves: list[LayerCondition] = [Halves(a, b) for a, b in zip(*conditions, strict=True)]
            both = self._velocity(torch.cat([h, h]), torch.cat([mixed, mixed]), moment, setting, halves, None)
            return list(both[:, : x.shape[1]].chunk(2))
        found = [
            self._velocity(h, mixed, moment, setting, c, cache) for c, cache in zip(conditions, caches, strict=False)
        ]
        return [velocity[:, : x.shape[1]] for velocity in found]

    def _velocity(
        self,
        h: Tensor,
        mixed: Tensor,
        moment: Moment,
        setting: Setting,
        condition: list[LayerCondition],
        cache: LayerCache | None,
    ) -> Tensor:
        """From the input tokens ``[b s hidden]``, and what the first layer's self-attention made of them, to frames; an
        odd end is not cropped yet."""

        def run(h: Tensor, modulation: Tensor, condition: list[LayerCondition], first: int, end: int | None) -> Tensor:
            for i, layer in list(enumerate(self.layers))[first:end]:
                sliding = setting.sliding if i % 2 == 0 else None
                if i == 0:
                    h = cast(Layer, layer).finish(mixed, modulation, condition[0])
                else:
                    h = layer(h, modulation, setting.rotary, sliding, condition[i])
            return h

        if cache is None:
            h = run(h, moment.modulation, condition, 0, None)
        else:
            h = cache.through(run, h, moment.modulation, condition)
        shift, scale = (self.scale_shift_table + moment.embedding).chunk(2, dim=1)
        return self._frames(torch.addcmul(shift, self.norm_out(h), 1 + scale))

    def _patches(self, frames: Tensor, channels: slice) -> Tensor:
        """What these channels of the input, ``[b t c]``, contribute to the tokens ``[b s hidden]``.

        An odd end is padded with one frame of zeros. The convolution is linear, so shares of it may be added up.
        """
        conv, patch = cast(nn.Conv1d, self.proj_in["1"]), self.config.patch_size
        frames = F.pad(frames, (0, 0, 0, -frames.shape[1] % patch)).transpose(1, 2).to(conv.weight.dtype)
        return F.conv1d(frames, conv.weight[:, channels], stride=patch).transpose(1, 2)

    def _frames(self, tokens: Tensor) -> Tensor:
        conv = cast(nn.ConvTranspose1d, self.proj_out["1"])
        return conv(tokens.transpose(1, 2).to(conv.weight.dtype)).transpose(1, 2)
