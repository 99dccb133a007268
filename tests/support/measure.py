"""Memory use of full-size runs, measured on fake tensors that compute nothing."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterable
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

M = TypeVar("M", bound=nn.Module)
DECOMPOSED = torch.nn.functional.scaled_dot_product_attention


class LiveBytes(TorchDispatchMode):
    """Counts the bytes of live tensors made by operations; `peak` is their maximum.

    ignored: not counted. device: count only tensors on devices of this type. Workspace inside a kernel is not seen.
    """

    def __init__(self, ignored: Iterable[Tensor] = (), device: str | None = None) -> None:
        super().__init__()
        self.live = self.peak = 0
        self._device = device
        self._sizes: dict[int, int] = {tensor.untyped_storage()._cdata: 0 for tensor in ignored}

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        for tensor in tree_leaves(out):
            if isinstance(tensor, Tensor) and self._device in (None, tensor.device.type):
                self._add(tensor.untyped_storage())
        self.peak = max(self.peak, self.live)
        return out

    def _add(self, storage: Any) -> None:
        key = storage._cdata
        if key not in self._sizes:
            self._sizes[key] = storage.nbytes()
            self.live += self._sizes[key]
            weakref.finalize(storage, self._drop, key)

    def _drop(self, key: int) -> None:
        self.live -= self._sizes.pop(key)


def fake() -> FakeTensorMode:
    """Inside, tensors have shapes, types and devices, even cuda, but no content; mixing devices is an error."""
    return FakeTensorMode()


def build(make: Callable[[], M], dtype: torch.dtype, device: str) -> M:
    """A module with fake weights; call it inside `fake`."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        with torch.device(device):
            return make().requires_grad_(False)
    finally:
        torch.set_default_dtype(before)


def peak_bytes(module: nn.Module, work: Callable[[], object]) -> int:
    """Peak of live bytes during the work, without the module's own weights."""
    with LiveBytes((*module.parameters(), *module.buffers())) as live, torch.no_grad():
        work()
    return live.peak


def gpu_attention(q: Tensor, k: Tensor, v: Tensor, attn_mask: Tensor | None, enable_gqa: bool = False) -> Tensor:
    """Attention as GPUs compute it: in one kernel, which converts a mask to numbers. Grouped heads with a mask have no
    such kernel and materialise every score; so does torch's own decomposition, which accepts fake tensors."""
    if attn_mask is None:
        return torch.empty_like(q)
    if enable_gqa:
        return DECOMPOSED(q, k, v, attn_mask=attn_mask, enable_gqa=True)
    mask = attn_mask.to(q.dtype)
    out = torch.empty_like(q)
    del mask
    return out


def batch_tolerance(latents: Tensor) -> float:
    """How far a song of a batch may differ from its single run, in float32.

    Kernels block a larger batch differently, so sums round differently: each of about a hundred products on the way
    (layers times steps) adds an error of eps relative to the largest value, and 128 eps bounds their sum.
    """
    return 128 * torch.finfo(torch.float32).eps * float(latents.abs().max())
