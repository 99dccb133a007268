"""Attention with an optional sliding window, and rotary position embedding, as pure functions of tensors."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor


@dataclass(frozen=True)
class Band:
    """Which keys each query sees in a layer with a sliding window.

    mask: ``[b n c 3c]`` bool: n chunks of c queries against the keys of the same and both neighbouring chunks.
    """

    mask: Tensor
    chunk: int


def band(length: int, window: int, key_mask: Tensor | None, device: torch.device) -> Band | None:
    """The band ``|i - j| <= window`` over ``length`` tokens; None if it would hide nothing.

    key_mask: ``[b length]`` bool, False for padding. Every query sees its own position, so that a padded query has
    something to attend to and does not give NaN.
    """
    if length <= window + 1:
        return None
    query = torch.arange(window, device=device)[:, None]
    key = torch.arange(-window, 2 * window, device=device)[None, :]
    near = (query - key).abs() <= window
    chunks = -(-length // window)
    position = torch.arange(chunks, device=device)[:, None] * window + key
    inside = (position >= 0) & (position < length)
    visible = inside[None]
    if key_mask is not None:
        padded = F.pad(key_mask, (window, (chunks + 1) * window - length))
        visible = padded.unfold(1, 3 * window, window)
    mask = near & visible[:, :, None, :] | (query == key)
    return Band(mask, window)


def full_mask(key_mask: Tensor | None) -> Tensor | None:
    """A key mask ``[b s]`` as ``[b 1 s s]`` in which every query sees its own position; None stays None."""
    if key_mask is None:
        return None
    diagonal = torch.eye(key_mask.shape[1], dtype=torch.bool, device=key_mask.device)
    return (key_mask[:, None, :] | diagonal)[:, None]


def attend(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None) -> Tensor:
    """Grouped-query attention. q: ``[b h s d]``; k, v: ``[b g e d]``; mask: bool, broadcastable to ``[b h s e]``.

    The batch of k, v and mask may be 1.
    """
    # Unequal batch sizes would keep torch from using its fused kernels.
    k, v = (y.expand(len(q), -1, -1, -1) for y in (k, v))
    if q.shape[1] != k.shape[1] and mask is not None and q.device.type != "cpu":
        # No fused GPU kernel takes a mask with grouped heads; torch would materialise every score.
        k, v = (y.repeat_interleave(q.shape[1] // y.shape[1], dim=1) for y in (k, v))
    # A branch: under torch.compile the comparison is symbolic, which the function does not accept.
    grouped = {"enable_gqa": True} if q.shape[1] != k.shape[1] else {}
    return F.scaled_dot_product_attention(q, k, v, attn_mask=mask, **grouped)


def attend_band(q: Tensor, k: Tensor, v: Tensor, visible: Band) -> Tensor:
    """Sliding-window attention in chunks: the cost grows linearly with the length. q: ``[b h s d]``."""
    length, c = q.shape[2], visible.chunk
    tail = -length % c
    q = rearrange(F.pad(q, (0, 0, 0, tail)), "b h (n c) d -> (b n) h c d", c=c)
    k, v = (_windows(F.pad(y, (0, 0, c, c + tail)), c) for y in (k, v))
    batch = q.shape[0] // visible.mask.shape[1]
    mask = rearrange(visible.mask.expand(batch, -1, -1, -1), "b n c w -> (b n) 1 c w")
    out = attend(q, k, v, mask)
    return rearrange(out, "(b n) h c d -> b h (n c) d", b=batch)[:, :, :length]


def _windows(y: Tensor, chunk: int) -> Tensor:
    return rearrange(y.unfold(2, 3 * chunk, chunk), "b h n d w -> (b n) h w d")


def rotary_table(length: int, head_dim: int, theta: float, device: torch.device) -> tuple[Tensor, Tensor]:
    """cos and sin ``[length head_dim/2]`` in float32; both halves of a head use the same angles (not interleaved)."""
    frequency = theta ** (-torch.arange(0, head_dim, 2, device=device, dtype=torch.float32) / head_dim)
    angle = torch.arange(length, device=device, dtype=torch.float32)[:, None] * frequency
    return angle.cos(), angle.sin()


def rotate(x: Tensor, table: tuple[Tensor, Tensor]) -> Tensor:
    """Apply the rotary embedding to ``[b h s d]``."""
    cos, sin = (y.to(x.dtype) for y in table)
    left, right = x.chunk(2, dim=-1)
    return torch.cat([torch.addcmul(left * cos, right, sin, value=-1), torch.addcmul(right * cos, left, sin)], dim=-1)
