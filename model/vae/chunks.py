"""Long inputs in chunks: the receptive field of convolutions, and runs that overlap by it."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from torch import Tensor, nn

OnChunk = Callable[[int, int], None]
"""Called with (chunks done, total chunks); may raise to stop the work."""


def receptive_field(layers: nn.Module, first: int, last: int) -> tuple[int, int]:
    """First and last input position that the outputs first..last depend on, for an unbounded signal.

    Follows the convolutions backwards; submodules must be registered in the order in which they run. Skip connections
    reach no further than the convolutions they bypass.
    """
    for conv in reversed(list(layers.modules())):
        if not isinstance(conv, (nn.Conv1d, nn.ConvTranspose1d)):
            continue
        assert isinstance(conv.padding, tuple)
        stride, padding = conv.stride[0], conv.padding[0]
        reach = conv.dilation[0] * (conv.kernel_size[0] - 1)
        if isinstance(conv, nn.ConvTranspose1d):  # output o has input i where 0 <= o + padding - i * stride <= reach
            first, last = -((reach - padding - first) // stride), (last + padding) // stride
        else:
            first, last = first * stride - padding, last * stride - padding + reach
    return first, last


class Chunk(NamedTuple):
    """A run over frames left..right of these batch items, of which start..stop are kept."""

    items: slice
    left: int
    start: int
    stop: int
    right: int


def make_chunks(batch: int, frames: int, chunk: int | None, overlap: int) -> list[Chunk]:
    """Everything at once (chunk None), or item by item in chunks extended on both sides by the overlap.

    Raises ValueError for a chunk below 1.
    """
    if chunk is None:
        return [Chunk(slice(0, batch), 0, 0, frames, frames)]
    if chunk < 1:
        raise ValueError(f"chunk_frames is {chunk}; it must be at least 1, or None for everything at once")
    spans = [(start, min(start + chunk, frames)) for start in range(0, frames, chunk)]
    return [
        Chunk(slice(item, item + 1), max(0, start - overlap), start, stop, min(frames, stop + overlap))
        for item in range(batch)
        for start, stop in spans
    ]


def run_chunks(
    out: Tensor,
    network: Callable[[Tensor], Tensor],
    x: Tensor,
    chunks: list[Chunk],
    rates: tuple[int, int],
    on_chunk: OnChunk | None,
) -> Tensor:
    """Run the network over the chunks of x into out; rates: positions per frame of x and of out."""
    step_in, step_out = rates
    for done, (items, left, start, stop, right) in enumerate(chunks, 1):
        y = network(x[items, :, left * step_in : right * step_in])
        keep = slice((start - left) * step_out, (stop - left) * step_out)
        out[items, :, start * step_out : stop * step_out] = y[..., keep]
        if on_chunk is not None:
            on_chunk(done, len(chunks))
    return out
