"""Weights of 8 bits for the transformer's linear layers, which hold 98% of its parameters in XL.

A weight ``[n k]`` is kept as ``w8 * scale``: one scale per row, its largest magnitude over the largest number of the
format (127 for int8, 448 for fp8 e4m3), rounded up to 8 significant bits so that bf16 holds it exactly.

The layers are this module's own and not torchao's tensor subclasses. Those (0.18) refuse ``empty_like`` and ``copy_``,
with which ComfyUI brings weights to the card, have no address to pin, and count four bytes a number, so that no host
could plan memory with them. Here a weight is a plain tensor, which every host moves, counts and streams like another.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .network import AceStep

AS_LOADED = "as loaded"
# By name: the format of the weights, and whether what is multiplied with them is brought to it too.
KINDS: dict[str, tuple[torch.dtype, bool]] = {
    "int8": (torch.int8, False),
    "int8 dynamic": (torch.int8, True),
    "fp8": (torch.float8_e4m3fn, False),
    "fp8 dynamic": (torch.float8_e4m3fn, True),
}
LARGEST = {torch.int8: 127.0, torch.float8_e4m3fn: 448.0}
# What the kernels of NVIDIA cards ask for: a multiple in both dimensions of a weight, and more rows of int8 than 16.
INT8_MULTIPLE, INT8_ROWS, FP8_MULTIPLE = 8, 16, 16
FP8_CAPABILITY = (8, 9)  # Ada; Hopper is (9, 0)


class QuantisedLinear(nn.Linear):
    """A linear layer with weights of 8 bits.

    Weight only: ``y = x @ (w8 * scale).T + bias``, with the product ``w8 * scale`` rounded to the layer's format, then
    computed in it. Dynamic: every row of x is brought to 8 bits like the weights, and
    ``y = (x8 @ w8.T) * x_scale * scale + bias``, with the sums in int32 (exact) or float32. weight: ``[n k]``; scale:
    ``[n 1]`` float32; dtype: the format of x and y.
    """

    scale: Tensor

    def __init__(self, weight: Tensor, scale: Tensor, bias: Tensor | None, dtype: torch.dtype, dynamic: bool) -> None:
        nn.Module.__init__(self)
        self.out_features, self.in_features = weight.shape
        self.weight = nn.Parameter(weight, requires_grad=False)
        self.register_parameter("bias", None if bias is None else nn.Parameter(bias, requires_grad=False))
        # A buffer: hosts may leave a large layer's parameters in main memory, and this one is small.
        self.register_buffer("scale", scale)
        self.dtype, self.dynamic = dtype, dynamic

    @classmethod
    def of(cls, layer: nn.Linear, kind: str) -> QuantisedLinear:
        """A layer's weights in 8 bits; the layer itself stays as it is. Its bias is shared."""
        dtype, dynamic = _kind(kind)
        weight, scale = quantise_rows(layer.weight.detach(), dtype)
        bias = None if layer.bias is None else layer.bias.detach()
        return cls(weight, scale, bias, layer.weight.dtype, dynamic)

    def twin(self) -> QuantisedLinear:
        """Another layer over the same tensors."""
        bias = None if self.bias is None else self.bias.detach()
        return QuantisedLinear(self.weight.detach(), self.scale, bias, self.dtype, self.dynamic)

    def dequantised(self) -> Tensor:
        """The weight that this layer stands for, ``[n k]`` in the layer's format."""
        return self.weight.to(self.dtype).mul_(self.scale.to(self.dtype))

    def forward(self, input: Tensor) -> Tensor:
        """``[... k]`` in the layer's format to ``[... n]``."""
        if not self.dynamic:
            return F.linear(input, self.dequantised(), self.bias)
        rows, row_scale = quantise_rows(input.reshape(-1, self.in_features), self.weight.dtype)
        if self.weight.dtype == torch.int8:
            out = int8_product(rows, self.weight) * row_scale * self.scale.T
        else:
            out = fp8_product(rows, self.weight, row_scale, self.scale, self.dtype)
        out = out.to(self.dtype).unflatten(0, input.shape[:-1])
        return out if self.bias is None else out + self.bias


def quantise_rows(values: Tensor, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """Rows ``[n k]`` in 8 bits and the scale of each, ``[n 1]`` float32.

    In int8 no element is off by more than half its row's scale; in fp8 by more than 1/16 of itself or 1/1024 of the
    scale, whichever is more. A scale is less than 1/128 above the row's largest magnitude over 127 or 448. NaN and
    infinity make their row's scale so.
    """
    wide = values.float()
    exact = wide.abs().amax(1, keepdim=True) / LARGEST[dtype]
    # The next number with a mantissa of 7 stored bits, by the bits themselves; a row of zeros divides by 1.
    scale = ((exact.view(torch.int32) + 0xFFFF) & -0x10000).view(torch.float32)
    scale = torch.where(scale == 0, 1.0, scale)
    wide = wide / scale
    return (wide.round() if dtype == torch.int8 else wide).to(dtype), scale


def int8_product(a: Tensor, b: Tensor) -> Tensor:
    """``a @ b.T`` of int8 matrices ``[m k]`` and ``[n k]``, summed exactly; int32, or float64 with the same numbers."""
    if a.device.type == "cpu":
        return torch._int_mm(a, b.T)  # pyright: ignore[reportPrivateImportUsage]
    if b.shape[0] % INT8_MULTIPLE or b.shape[1] % INT8_MULTIPLE:
        return a.double() @ b.double().T
    missing = max(0, INT8_ROWS + 1 - a.shape[0])
    a_padded = F.pad(a, (0, 0, 0, missing)) if missing else a
    product = torch._int_mm(a_padded, b.T)  # pyright: ignore[reportPrivateImportUsage]
    return product[: a.shape[0]]


def fp8_product(a: Tensor, b: Tensor, a_scale: Tensor, b_scale: Tensor, dtype: torch.dtype) -> Tensor:
    """``(a @ b.T) * a_scale * b_scale.T`` of fp8 matrices ``[m k]`` and ``[n k]``, summed in float32.

    In one kernel where there is one (NVIDIA, bf16); elsewhere the same formula in float32.
    """
    fits = b.shape[0] % FP8_MULTIPLE == 0 and b.shape[1] % FP8_MULTIPLE == 0
    if a.device.type == "cuda" and dtype == torch.bfloat16 and fits:
        product = torch._scaled_mm  # pyright: ignore[reportPrivateImportUsage]
        return product(a, b.T, scale_a=a_scale, scale_b=b_scale.T, out_dtype=dtype)
    return (a.float() @ b.float().T) * a_scale * b_scale.T


def check(kind: str, device: torch.device) -> None:
    """Refuse what a device does not compute. Raises ValueError that says what to choose."""
    dtype, dynamic = _kind(kind)
    if device.type not in ("cpu", "cuda") and (dynamic or dtype != torch.int8):
        raise ValueError(f"weights = {kind} runs on cuda and cpu, and this device is {device.type}; choose int8")
    if kind == "fp8 dynamic" and device.type == "cuda":
        capability = torch.cuda.get_device_capability(device)
        if torch.version.hip is not None or capability < FP8_CAPABILITY:
            raise ValueError(
                "weights = fp8 dynamic needs an NVIDIA card that multiplies fp8 (compute capability 8.9 or more), and "
                f"{torch.cuda.get_device_name(device)} has {capability[0]}.{capability[1]}; choose int8 dynamic or fp8"
            )


def share(network: AceStep, kind: str = AS_LOADED) -> AceStep:
    """A network of its own over the same weights, with the transformer's linear layers in 8 bits where asked.

    The given network is not changed. What stays as it is shares memory with it; what is quantised is made layer by
    layer, so that beside the new weights no more than one layer is held in full. Raises ValueError for an unknown kind,
    and for weights that have 8 bits already.
    """
    with torch.device("meta"):
        copy = AceStep(network.config, network.training_kind)
    for name, layer in linear_layers(network):
        if isinstance(layer, QuantisedLinear) and kind != AS_LOADED:
            raise ValueError(f"weights = {kind}: the model's weights have 8 bits already; connect it to the loader")
        if isinstance(layer, QuantisedLinear):
            _put(copy, name, layer.twin())
        elif kind != AS_LOADED:
            _put(copy, name, QuantisedLinear.of(layer, kind))
    for name, module in copy.named_modules():
        if isinstance(module, QuantisedLinear):
            continue
        original = network.get_submodule(name)
        # Parameters of its own over the same memory: a host that moves one network must not move the other.
        for key, value in original.named_parameters(recurse=False):
            module._parameters[key] = nn.Parameter(value.detach(), requires_grad=False)
        module._buffers.update(original.named_buffers(recurse=False))
    return copy.train(network.training)


def linear_layers(network: AceStep) -> list[tuple[str, nn.Linear]]:
    """The linear layers of the transformer's layers, by their names in the network."""
    found = network.decoder.layers.named_modules(prefix="decoder.layers")
    return [(name, module) for name, module in found if isinstance(module, nn.Linear)]


def weight_bytes(network: AceStep) -> int:
    """Bytes of all weights, scales included."""
    return sum(value.numel() * value.element_size() for value in network.state_dict().values())


def _put(network: AceStep, name: str, layer: nn.Linear) -> None:
    parent, _, leaf = name.rpartition(".")
    setattr(network.get_submodule(parent), leaf, layer)


def _kind(kind: str) -> tuple[torch.dtype, bool]:
    if kind not in KINDS:
        raise ValueError(f"weights = {kind!r} is unknown; allowed: {', '.join((AS_LOADED, *KINDS))}")
    return KINDS[kind]
