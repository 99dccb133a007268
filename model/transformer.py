"""The diffusion transformer: predicts the velocity of a noisy latent under a condition and a context."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .attention import Band, band, rotary_table
from .config import Config
from .layers import Rotary, cast_linear, compute_dtype, sinusoid
from .transformer_layer import CrossAttention, Layer, LayerCondition, PairedConditions

TIME_CHANNELS = 256


@dataclass(frozen=True)
class TimestepModulation:
    """A noise level embedded for the layers. embedding: ``[b 1 hidden]``; modulation: ``[b 6 hidden]``."""

    embedding: Tensor
    modulation: Tensor


@dataclass(frozen=True)
class ContextTokens:
    """A context embedded once for all steps of a run.

    tokens: its share of the input tokens, ``[b s hidden]``; rotary: the table for their positions; sliding: the band of
    the layers with a window.
    """

    tokens: Tensor
    rotary: Rotary
    sliding: Band | None


# Runs tokens through layers first..end-1 (end None: the last): (h, modulation, condition, first, end) -> h.
RunLayers = Callable[[Tensor, Tensor, "list[LayerCondition]", int, "int | None"], Tensor]


class LayerCache(Protocol):
    """Decides which layers are computed; see step_cache.py."""

    def run(self, run_layers: RunLayers, h: Tensor, modulation: Tensor, condition: list[LayerCondition]) -> Tensor: ...


class TimeEmbedding(nn.Module):
    def __init__(self, hidden: int) -> None:
        super().__init__()
        self.linear_1 = nn.Linear(TIME_CHANNELS, hidden)
        self.linear_2 = nn.Linear(hidden, hidden)
        self.time_proj = nn.Linear(hidden, 6 * hidden)

    def forward(self, t: Tensor) -> tuple[Tensor, Tensor]:
        """t: ``[n]``; returns the embedding ``[n hidden]`` and the layers' modulation ``[n 6 hidden]``."""
        embedding = self.linear_2(F.silu(cast_linear(self.linear_1, sinusoid(t, TIME_CHANNELS))))
        return embedding, self.time_proj(F.silu(embedding)).unflatten(-1, (6, -1))


class Transformer(nn.Module):
    """ACE-Step's ``decoder``, with the official checkpoint's parameter names."""

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

    def project_kv(self, states: Tensor, mask: Tensor | None) -> list[LayerCondition]:
        """Every layer's keys and values of a packed condition. states: ``[b e d]``; mask: ``[b e]`` bool or None."""
        embedded = cast_linear(self.condition_embedder, states)
        return [attention.project_kv(embedded, mask) for attention in self._cross_attentions()]

    def project_constant(self, token: Tensor) -> list[LayerCondition]:
        """Every layer's form of a condition that repeats one token ``[1 1 d]``, such as the null condition."""
        embedded = cast_linear(self.condition_embedder, token)
        return [attention.project_constant(embedded) for attention in self._cross_attentions()]

    def _cross_attentions(self) -> list[CrossAttention]:
        return [cast(Layer, layer).cross_attn for layer in self.layers]

    def forward(self, x: Tensor, t: Tensor, context: Tensor, condition: list[LayerCondition]) -> Tensor:
        """Velocity of x. x: ``[b t c]``; t: ``[1]`` or ``[b]`` in 1 (noise) .. 0; context: ``[b t 2c]``, src | mask."""
        return self.velocities(x, self.embed_timesteps(t), self.embed_context(context), [condition])[0]

    def embed_timesteps(self, t: Tensor) -> TimestepModulation:
        """Embed noise levels ``[b]``."""
        # The second embedding is of t - r, the span of a mean-flow step; sampling always has r = t, so it is of 0.
        embedding, modulation = self.time_embed(t)
        embedding_r, modulation_r = self.time_embed_r(t.new_zeros(1))
        return TimestepModulation((embedding + embedding_r)[:, None], modulation + modulation_r)

    def embed_context(self, context: Tensor) -> ContextTokens:
        """Embed a context ``[b t 2c]``, and prepare everything else that depends only on its length."""
        source = self._patches(context, slice(None, context.shape[2]))
        bias = cast(Tensor, cast(nn.Conv1d, self.proj_in["1"]).bias)
        tokens, config = source + bias, self.config
        rotary = rotary_table(tokens.shape[1], config.decoder.head_dim, config.rope_theta, tokens.device)
        return ContextTokens(tokens, rotary, band(tokens.shape[1], config.sliding_window, None, tokens.device))

    def velocities(
        self,
        x: Tensor,
        timestep: TimestepModulation,
        context: ContextTokens,
        conditions: list[list[LayerCondition]],
        *,
        batched: bool = False,
        caches: Sequence[LayerCache | None] = (None, None),
    ) -> list[Tensor]:
        """Velocities of x ``[b t c]`` under one condition or two.

        The first layer's self-attention does not see the condition and is computed once for both. batched: run the
        rest for both conditions in one batch; caches are then ignored. caches: one per condition, or None.
        """
        h = (context.tokens + self._patches(x, slice(-x.shape[2], None))).to(compute_dtype(self.norm_out))
        first_layer = cast(Layer, self.layers[0])
        attended = first_layer.self_attend(h, timestep.modulation, context.rotary, context.sliding)
        if batched and len(conditions) == 2:
            pairs: list[LayerCondition] = [PairedConditions(a, b) for a, b in zip(*conditions, strict=True)]
            both = self._velocity(torch.cat([h, h]), torch.cat([attended, attended]), timestep, context, pairs, None)
            return list(both[:, : x.shape[1]].chunk(2))
        velocities = [
            self._velocity(h, attended, timestep, context, condition, cache)
            for condition, cache in zip(conditions, caches, strict=False)
        ]
        return [velocity[:, : x.shape[1]] for velocity in velocities]

    def _velocity(
        self,
        h: Tensor,
        attended: Tensor,
        timestep: TimestepModulation,
        context: ContextTokens,
        condition: list[LayerCondition],
        cache: LayerCache | None,
    ) -> Tensor:
        """Input tokens ``[b s hidden]``, and the first layer's self-attention over them, to frames.

        The padding frame of an odd length is still in place.
        """

        def run(h: Tensor, modulation: Tensor, condition: list[LayerCondition], first: int, end: int | None) -> Tensor:
            for i, layer in list(enumerate(self.layers))[first:end]:
                sliding = context.sliding if i % 2 == 0 else None
                if i == 0:
                    h = cast(Layer, layer).cross_attend_and_mlp(attended, modulation, condition[0])
                else:
                    h = layer(h, modulation, context.rotary, sliding, condition[i])
            return h

        if cache is None:
            h = run(h, timestep.modulation, condition, 0, None)
        else:
            h = cache.run(run, h, timestep.modulation, condition)
        shift, scale = (self.scale_shift_table + timestep.embedding).chunk(2, dim=1)
        return self._frames(torch.addcmul(shift, self.norm_out(h), 1 + scale))

    def _patches(self, frames: Tensor, channels: slice) -> Tensor:
        """What these channels of the input, ``[b t c]``, contribute to the tokens ``[b s hidden]``.

        An odd length is padded with a frame of zeros. The convolution is linear, so contributions add up.
        """
        conv, patch = cast(nn.Conv1d, self.proj_in["1"]), self.config.patch_size
        frames = F.pad(frames, (0, 0, 0, -frames.shape[1] % patch)).transpose(1, 2).to(compute_dtype(conv))
        return F.conv1d(frames, conv.weight[:, channels], stride=patch).transpose(1, 2)

    def _frames(self, tokens: Tensor) -> Tensor:
        conv = cast(nn.ConvTranspose1d, self.proj_out["1"])
        return conv(tokens.transpose(1, 2).to(compute_dtype(conv))).transpose(1, 2)
