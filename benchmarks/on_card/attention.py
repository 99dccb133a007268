"""Attention of a layer with a sliding window in several ways, and of one without, at the length of a song."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.nn.attention.flex_attention import create_block_mask, flex_attention

from acestep_xl.model.attention import Window, attend, attend_band, attend_window, band

from .bench import Bench, difference


def measure(bench: Bench) -> dict[str, Any]:
    """Seconds for both halves of a guided step, and each way's difference from chunks, which any device computes."""
    return {f"{seconds:g} s": _ways(bench, round(12.5 * seconds)) for seconds in bench.plan.songs}


@torch.no_grad()
def _ways(bench: Bench, length: int) -> dict[str, Any]:
    width, window = bench.pair.config.decoder, bench.pair.config.sliding_window
    draw = partial(torch.randn, device=bench.device, dtype=bench.dtype)
    q = draw(2, width.heads, length, width.head_dim)
    k, v = (draw(2, width.kv_heads, length, width.head_dim) for _ in range(2))
    visible = band(length, window, None, bench.device)
    assert visible is not None, "the song is shorter than the window"
    position = torch.arange(length, device=bench.device)
    dense = ((position[:, None] - position).abs() <= window)[None, None]
    ways: dict[str, Callable[[], Tensor]] = {
        "chunks": lambda: attend_band(q, k, v, visible),
        "dense mask": lambda: attend(q, k, v, dense),
        "no window": lambda: attend(q, k, v, None),
        "no window, heads repeated": lambda: _repeated(q, k, v),
        "flex": _flex(q, k, v, window, bench),
    }
    if bench.is_card:
        ways["flash with a window"] = _flash(q, k, v, window)
    exact = ways["chunks"]()
    windowed = [name for name in ways if not name.startswith("no window")]
    return {
        "seconds": bench.time(dict(ways)),
        "difference": {name: difference(ways[name](), exact) for name in windowed},
    }


def _repeated(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    copies = q.shape[1] // k.shape[1]
    return F.scaled_dot_product_attention(q, k.repeat_interleave(copies, 1), v.repeat_interleave(copies, 1))


def _flex(q: Tensor, k: Tensor, v: Tensor, window: int, bench: Bench) -> Callable[[], Tensor]:
    def near(_batch: Tensor, _head: Tensor, query: Tensor, key: Tensor) -> Tensor:
        return (query - key).abs() <= window

    mask = create_block_mask(near, None, None, q.shape[2], q.shape[2], device=str(bench.device))
    # Compiled on a card only; elsewhere it would need a compiler and measure nothing of interest.
    run = torch.compile(flex_attention) if bench.is_card else flex_attention
    return lambda: cast(Tensor, run(q, k, v, block_mask=mask, enable_gqa=True))


def _flash(q: Tensor, k: Tensor, v: Tensor, window: int) -> Callable[[], Tensor]:
    rows = [y.transpose(1, 2).contiguous() for y in (q, k, v)]  # as the projections give them
    return lambda: attend_window(rows[0], rows[1], rows[2], Window(window)).transpose(1, 2)
