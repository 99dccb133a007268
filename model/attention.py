"""Attention with an optional sliding window, and rotary position embedding, as pure functions of tensors."""

from __future__ import annotations

import functools
import inspect
from dataclasses import dataclass
from typing import cast

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor

# The first NVIDIA cards with kernels of FlashAttention 2.
FLASH_CAPABILITY = 8


@dataclass(frozen=True)
class Window:
    """What each query sees in a layer with a sliding window, for a kernel that skips everything else.

    size: tokens to each side.
    """

    size: int


@dataclass(frozen=True)
class Band:
    """The same for any device, as masks of chunks.

    mask: ``[b n c 3c]`` bool: n chunks of c queries against the keys of the same and both neighbouring chunks.
    """

    mask: Tensor
    chunk: int


def sliding(length: int, window: int, device: torch.device, dtype: torch.dtype) -> Window | Band | None:
    """What a sliding layer sees of songs without padding; None if the window hides nothing."""
    if length <= window + 1 or not has_window_kernel(device, dtype):
        return band(length, window, None, device)
    return Window(window)


def has_window_kernel(device: torch.device, dtype: torch.dtype) -> bool:
    """Whether torch has FlashAttention with a window for this device (its own function since 2.11)."""
    if device.type != "cuda" or dtype not in (torch.bfloat16, torch.float16) or torch.version.hip is not None:
        return False
    is_built = torch.backends.cuda.is_flash_attention_available() and _varlen_takes_windows()
    return is_built and torch.cuda.is_available() and torch.cuda.get_device_capability(device)[0] >= FLASH_CAPABILITY


@functools.cache
def _varlen_takes_windows() -> bool:
    try:
        from torch.nn.attention.varlen import varlen_attn
    except ImportError:
        return False
    return "window_size" in inspect.signature(varlen_attn).parameters


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


def attend_window(q: Tensor, k: Tensor, v: Tensor, visible: Window) -> Tensor:
    """Sliding-window attention in one kernel, grouped heads included. q: ``[b s h d]``; k, v: ``[b s g d]``."""
    from torch.nn.attention.varlen import varlen_attn  # missing in older versions; see has_window_kernel

    batch, length = q.shape[:2]
    ends = torch.arange(0, (batch + 1) * length, length, device=q.device, dtype=torch.int32)
    size = visible.size
    q, k, v = (y.flatten(0, 1) for y in (q, k, v))
    out = varlen_attn(q, k, v, ends, ends, length, length, window_size=(size, size))
    return cast(Tensor, out).unflatten(0, (batch, length))


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


def rotary_table(
    length: int, head_dim: int, theta: float, device: torch.device, dtype: torch.dtype
) -> tuple[Tensor, Tensor]:
    """cos and sin ``[s 1 d]`` for `rotate`, from float32 angles.

    Both halves of a head use the same angles (they are not interleaved), and the sin of the first half is negative.
    """
    frequency = theta ** (-torch.arange(0, head_dim, 2, device=device, dtype=torch.float32) / head_dim)
    angle = torch.arange(length, device=device, dtype=torch.float32)[:, None, None] * frequency
    cos, sin = angle.cos(), angle.sin()
    return torch.cat([cos, cos], dim=-1).to(dtype), torch.cat([-sin, sin], dim=-1).to(dtype)


def rotate(x: Tensor, table: tuple[Tensor, Tensor]) -> Tensor:
    """Apply the rotary embedding to ``[b s h d]``."""
    cos, sin = table
    return (x * cos).addcmul_(x.roll(x.shape[-1] // 2, -1), sin)
