"""The diffusion transformer: predicts the velocity of a noisy latent under a condition and a context."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .attention import Band, Window, rotary_table, sliding
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

    tokens: its share of the input tokens, ``[b s hidden]``; rotary: the table for their positions; sliding: what
    the layers with a window see.
    """

    tokens: Tensor
    rotary: Rotary
    sliding: Window | Band | None


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
        length, device, dtype = tokens.shape[1], tokens.device, cast(Layer, self.layers[0]).self_attn.dtype
        rotary = rotary_table(length, config.decoder.head_dim, config.rope_theta, device, dtype)
        return ContextTokens(tokens, rotary, sliding(length, config.sliding_window, device, dtype))

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
        modulation = self._modulate(timestep.modulation)
        attended = first_layer.self_attend(h, modulation[:, 0], context.rotary, context.sliding)
        if batched and len(conditions) == 2:
            pairs: list[LayerCondition] = [PairedConditions(a, b) for a, b in zip(*conditions, strict=True)]
            both = self._hidden(torch.cat([h, h]), torch.cat([attended, attended]), modulation, context, pairs, None)
            return list(self._frames(both, timestep)[:, : x.shape[1]].chunk(2))
        hidden = [
            self._hidden(h, attended, modulation, context, condition, cache)
            for condition, cache in zip(conditions, caches, strict=False)
        ]
        return [self._frames(tokens, timestep)[:, : x.shape[1]] for tokens in hidden]

    def _modulate(self, modulation: Tensor) -> Tensor:
        """A noise level's modulation ``[b 6 hidden]`` as each layer takes it, ``[b layers 6 hidden]``."""
        tables = torch.cat([cast(Layer, layer).scale_shift_table for layer in self.layers])
        modulation = tables + modulation[:, None]
        modulation[:, :, 1::3].add_(1)  # both scales
        return modulation

    def _hidden(
        self,
        h: Tensor,
        attended: Tensor,
        modulation: Tensor,
        context: ContextTokens,
        condition: list[LayerCondition],
        cache: LayerCache | None,
    ) -> Tensor:
        """Input tokens ``[b s hidden]``, and the first layer's self-attention over them, after all layers."""

        def run(h: Tensor, modulation: Tensor, condition: list[LayerCondition], first: int, end: int | None) -> Tensor:
            for i, layer in list(enumerate(self.layers))[first:end]:
                visible = context.sliding if i % 2 == 0 else None
                if i == 0:
                    h = cast(Layer, layer).cross_attend_and_mlp(attended, modulation[:, 0], condition[0])
                else:
                    h = layer(h, modulation[:, i], context.rotary, visible, condition[i])
            return h

        if cache is None:
            return run(h, modulation, condition, 0, None)
        return cache.run(run, h, modulation, condition)

    def _patches(self, frames: Tensor, channels: slice) -> Tensor:
        """What these channels of the input, ``[b t c]``, contribute to the tokens ``[b s hidden]``.

        An odd length is padded with a frame of zeros. The convolution is linear, so contributions add up.
        """
        conv, patch = cast(nn.Conv1d, self.proj_in["1"]), self.config.patch_size
        frames = F.pad(frames, (0, 0, 0, -frames.shape[1] % patch)).to(compute_dtype(conv))
        # Windows that do not overlap make the convolution a product, which no card rounds to TF32 unasked.
        return F.linear(frames.unflatten(1, (-1, patch)).flatten(2), conv.weight[:, channels].mT.flatten(1))

    def _frames(self, tokens: Tensor, timestep: TimestepModulation) -> Tensor:
        """The layers' result ``[b s hidden]`` to frames; the padding frame of an odd length is still in place."""
        shift, scale = (self.scale_shift_table + timestep.embedding).chunk(2, dim=1)
        conv = cast(nn.ConvTranspose1d, self.proj_out["1"])
        tokens = torch.addcmul(shift, self.norm_out(tokens), 1 + scale).to(compute_dtype(conv))
        # ``[hidden c patch]`` to ``[patch c hidden]``: a product for the same reason as above.
        frames = F.linear(tokens, conv.weight.permute(2, 1, 0).flatten(0, 1))
        return frames.unflatten(2, (self.config.patch_size, -1)).flatten(1, 2) + cast(Tensor, conv.bias)
