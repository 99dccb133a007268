"""Copies of a module's weights on a device, and the originals in main memory that they stand in for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from .hooks import OFFLOADED_PARAMETERS

_ORIGINALS = "_acestep_xl_originals"


def load(module: nn.Module, offloaded: Sequence[nn.Module], device: torch.device) -> None:
    """Copy everything but the weights of the ``offloaded`` layers to the device, keeping the originals."""
    skipped = set(map(id, offloaded))
    for part in module.modules():
        for name, tensor in tensors_of(part):
            loaded = name in originals_of(part) and tensor.device.type == device.type
            if loaded or (id(part) in skipped and name in OFFLOADED_PARAMETERS):
                continue
            part.__dict__.setdefault(_ORIGINALS, {})[name] = tensor
            copy = tensor.detach().to(device)
            set_tensor(part, name, nn.Parameter(copy, requires_grad=False) if name in part._parameters else copy)


def offload(module: nn.Module) -> None:
    """Put the originals back in place of the copies on the device."""
    for part in module.modules():
        for name, tensor in part.__dict__.pop(_ORIGINALS, {}).items():
            set_tensor(part, name, tensor)


def loaded_bytes(module: nn.Module) -> int:
    """Bytes of the module's copies on the device."""
    parts = [(tensors_of(part), originals_of(part)) for part in module.modules()]
    return sum(tensor.nbytes for tensors, originals in parts for name, tensor in tensors if name in originals)


def originals_of(part: nn.Module) -> dict[str, Tensor]:
    """The originals, by name, of what has a copy on the device; submodules not included."""
    return part.__dict__.get(_ORIGINALS, {})


def tensors_of(part: nn.Module) -> list[tuple[str, Tensor]]:
    """Parameters and buffers by name; submodules not included."""
    tensors = {**part._parameters, **part._buffers}
    return [(name, tensor) for name, tensor in tensors.items() if tensor is not None]


def set_tensor(part: nn.Module, name: str, tensor: Tensor) -> None:
    """Replace a parameter or a buffer."""
    table: dict[str, Any] = part._parameters if name in part._parameters else part._buffers
    table[name] = tensor
