"""Building blocks shared by the transformer and the encoders.

In fp16 some parameters stay float32 (see precision.py). The blocks need no flag for that: a block casts its input to
the dtype of its own weights, and adding its output to a float32 residual gives float32.
"""

from __future__ import annotations

from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .attention import (
    Band,
    Window,
    attend,
    attend_band,
    attend_window,
    band,
    full_mask,
    rotary_table,
    rotate,
)
from .config import Config, StackWidth

Rotary = tuple[Tensor, Tensor]  # see rotary_table
# Which keys each query sees: within a window, where a mask ``[b 1 s s]`` is True, or all of them.
Visible = Window | Band | Tensor | None


class Attention(nn.Module):
    """Projections and per-head norms of an attention; the norms precede the rotary embedding."""

    def __init__(self, width: StackWidth, eps: float) -> None:
        super().__init__()
        self.head_dim = width.head_dim
        self.q_proj = nn.Linear(width.hidden, width.heads * width.head_dim, bias=False)
        self.k_proj = nn.Linear(width.hidden, width.kv_heads * width.head_dim, bias=False)
        self.v_proj = nn.Linear(width.hidden, width.kv_heads * width.head_dim, bias=False)
        self.o_proj = nn.Linear(width.heads * width.head_dim, width.hidden, bias=False)
        self.q_norm = nn.RMSNorm(width.head_dim, eps=eps)
        self.k_norm = nn.RMSNorm(width.head_dim, eps=eps)

    @property
    def dtype(self) -> torch.dtype:
        """Of queries, keys and values."""
        return compute_dtype(self.q_proj)

    def query(self, x: Tensor) -> Tensor:
        """``[b s hidden]`` to ``[b s h d]``."""
        return self.q_norm(self._heads(self.q_proj(x)))

    def key(self, x: Tensor) -> Tensor:
        """``[b s hidden]`` to ``[b s g d]``."""
        return self.k_norm(self._heads(self.k_proj(x)))

    def value(self, x: Tensor) -> Tensor:
        """``[b s hidden]`` to ``[b s g d]``."""
        return self._heads(self.v_proj(x))

    def output(self, heads: Tensor) -> Tensor:
        """``[b s h d]`` to ``[b s hidden]``."""
        return self.o_proj(heads.flatten(2))

    def _heads(self, x: Tensor) -> Tensor:
        return x.unflatten(-1, (-1, self.head_dim))


class SelfAttention(Attention):
    def forward(self, x: Tensor, rotary: Rotary, visible: Visible) -> Tensor:
        x = x.to(self.dtype)
        q, k, v = rotate(self.query(x), rotary), rotate(self.key(x), rotary), self.value(x)
        if isinstance(visible, Window):
            return self.output(attend_window(q, k, v, visible))
        q, k, v = (y.transpose(1, 2) for y in (q, k, v))
        heads = attend_band(q, k, v, visible) if isinstance(visible, Band) else attend(q, k, v, visible)
        return self.output(heads.transpose(1, 2))


class MLP(nn.Module):
    """SwiGLU. Its inner product is the first to overflow fp16, so it is computed in down_proj's dtype."""

    def __init__(self, width: StackWidth) -> None:
        super().__init__()
        self.gate_proj = nn.Linear(width.hidden, width.intermediate, bias=False)
        self.up_proj = nn.Linear(width.hidden, width.intermediate, bias=False)
        self.down_proj = nn.Linear(width.intermediate, width.hidden, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        x = x.to(compute_dtype(self.gate_proj))
        inner_dtype = compute_dtype(self.down_proj)
        return self.down_proj(F.silu(self.gate_proj(x)).to(inner_dtype).mul_(self.up_proj(x)))


class EncoderLayer(nn.Module):
    """Pre-norm transformer block without modulation."""

    def __init__(self, width: StackWidth, eps: float) -> None:
        super().__init__()
        self.self_attn = SelfAttention(width, eps)
        self.input_layernorm = nn.RMSNorm(width.hidden, eps=eps)
        self.post_attention_layernorm = nn.RMSNorm(width.hidden, eps=eps)
        self.mlp = MLP(width)

    def forward(self, h: Tensor, rotary: Rotary, visible: Visible) -> Tensor:
        h = h + self.self_attn(self.input_layernorm(h), rotary, visible)
        return h + self.mlp(self.post_attention_layernorm(h))


class EncoderStack(nn.Module):
    """Encoder layers with alternating sliding and full attention, and a final norm."""

    def __init__(self, config: Config, layers: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList(EncoderLayer(config.encoder, config.norm_eps) for _ in range(layers))
        self.norm = nn.RMSNorm(config.encoder.hidden, eps=config.norm_eps)
        self._config = config

    def run(self, h: Tensor, key_mask: Tensor | None = None) -> Tensor:
        """h: ``[b s hidden]``; key_mask: ``[b s]`` bool, False for padding."""
        config = self._config
        dtype = cast(EncoderLayer, self.layers[0]).self_attn.dtype
        rotary = rotary_table(h.shape[1], config.encoder.head_dim, config.rope_theta, h.device, dtype)
        full = full_mask(key_mask)
        sliding = band(h.shape[1], config.sliding_window, key_mask, h.device)
        h = h.to(compute_dtype(self.norm))
        for i, layer in enumerate(self.layers):
            h = layer(h, rotary, sliding if i % 2 == 0 and sliding is not None else full)
        return self.norm(h)


def compute_dtype(layer: nn.Module) -> torch.dtype:
    """The dtype a layer computes in: that of its weights, unless it says another.

    Layers with 8-bit weights do (linear/quantise.py), and those of another implementation (borrowed.py).
    """
    dtype = getattr(layer, "dtype", None)
    return cast(Tensor, layer.weight).dtype if dtype is None else dtype


def cast_linear(layer: nn.Linear, x: Tensor) -> Tensor:
    """Apply a linear layer to a tensor of any float dtype."""
    return layer(x.to(compute_dtype(layer)))


def linear_float32(layer: nn.Linear, x: Tensor) -> Tensor:
    """Apply a linear layer in float32, whatever dtype its weights have."""
    bias = None if layer.bias is None else layer.bias.float()
    return F.linear(x.float(), layer.weight.float(), bias)


def sinusoid(t: Tensor, size: int) -> Tensor:
    """Sinusoidal embedding ``[n size]`` of times ``[n]``, in float32: t is scaled by 1000, cosines come first."""
    half = size // 2
    index = torch.arange(half, dtype=torch.float32, device=t.device)
    frequency = torch.exp(-torch.log(torch.tensor(10000.0, device=t.device)) * index / half)
    angle = (t.float() * 1000)[:, None] * frequency
    return torch.cat([angle.cos(), angle.sin()], dim=-1)
