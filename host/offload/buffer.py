"""Tensors that share one allocation."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

import torch
from torch import Tensor

# Bytes between tensors in a buffer: kernels are fastest, and round the same, at an allocation's own alignment.
ALIGNMENT = 256


def aligned_size(tensor: Tensor) -> int:
    """Bytes of a tensor, rounded up to the alignment."""
    return -(-tensor.numel() * tensor.element_size() // ALIGNMENT) * ALIGNMENT


def split_buffer(buffer: Tensor, like: Sequence[Tensor]) -> list[Tensor]:
    """Consecutive views of a byte buffer with the shapes and types of other tensors."""
    views, start = [], 0
    for tensor in like:
        size = prod(tensor.shape) * tensor.element_size()
        views.append(buffer[start : start + size].view(tensor.dtype).view(tensor.shape))
        start += aligned_size(tensor)
    return views


def empty_packed(like: Sequence[Tensor], pin_memory: bool = False) -> list[Tensor]:
    """Uninitialised tensors in main memory with the shapes and types of others, in one allocation."""
    size = sum(map(aligned_size, like))
    return split_buffer(torch.empty(size, dtype=torch.uint8, pin_memory=pin_memory), like)
