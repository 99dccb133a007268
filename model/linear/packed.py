"""Linear layers whose weights stay packed as their file stores them: GGUF's blocks, 8-bit and 4-bit weights."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from ..formats.packed import Packed, unpacking_bytes
from ..formats.tensors import Tensors
from .frozen import FrozenLinear

# Layers with fewer inputs or outputs are unpacked on loading: there is nothing to save, and the quantiser's read their
# weights themselves, in float32.
LEAST_SIZE = 32


class PackedLinear(FrozenLinear):
    """A linear layer with packed weights, which each forward unpacks on its device.

    weight: the rows ``[n *]`` as stored, a parameter, which hosts may leave in main memory; the scales are buffers.
    """

    def __init__(self, packed: Packed, bias: Tensor | None, dtype: torch.dtype) -> None:
        nn.Module.__init__(self)
        self.out_features, self.in_features = packed.shape
        self.weight = nn.Parameter(packed.weight, requires_grad=False)
        self.register_parameter("bias", None if bias is None else nn.Parameter(bias, requires_grad=False))
        for name, scale in packed.scales.items():
            self.register_buffer(name, scale)
        self.dtype = dtype
        self._codec, self._scale_names = packed.codec, tuple(packed.scales)

    @property
    def stored_as(self) -> str:
        return self._codec.name

    def share(self) -> PackedLinear:
        bias = None if self.bias is None else self.bias.detach()
        return PackedLinear(self._packed(), bias, self.dtype)

    def dequantise(self) -> Tensor:
        return self._packed().unpack(self.dtype)

    def work_bytes(self) -> int:
        return unpacking_bytes((self.out_features, self.in_features), self.dtype)

    def _packed(self) -> Packed:
        scales = {name: getattr(self, name) for name in self._scale_names}
        return Packed(self._codec, self.weight.detach(), scales, (self.out_features, self.in_features))


def pack_layers(
    module: nn.Module, tensors: Tensors, dtype: Callable[[str], torch.dtype], device: torch.device | None = None
) -> set[str]:
    """Replace the linear layers whose weights a file stores packed; returns these weights' names.

    dtype: called with the name of each weight. device: to put them on, the meta device for their sizes alone; None
    leaves them mapped to the file. Biases stay the module's.
    """
    names = set()
    for path, layer in list(module.named_modules()):
        name = f"{path}.weight"
        if type(layer) is not nn.Linear or min(layer.weight.shape) < LEAST_SIZE:
            continue
        packed = tensors.packed(name)
        if packed is not None:
            packed = packed if device is None else packed.to(device)
            parent, _, child = path.rpartition(".")
            module.get_submodule(parent).add_module(child, PackedLinear(packed, layer.bias, dtype(name)))
            names.add(name)
    return names
