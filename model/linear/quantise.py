"""8-bit weights for the transformer's linear layers, which hold 98% of its parameters in XL.

A weight ``[n k]`` is stored as ``w8 * scale``: one scale per row, its largest magnitude over the largest value of the
dtype (127 for int8, 448 for fp8 e4m3), rounded up to 8 significant bits so that bf16 represents it exactly.

torchao's tensor subclasses (0.18) would not do: they refuse ``empty_like`` and ``copy_``, with which ComfyUI moves
weights to the card, have no address to pin, and report four bytes per element, so no host could plan memory with them.
Here a weight is a plain tensor that any host moves, measures and streams.
"""

from __future__ import annotations

import functools

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..layers import compute_dtype
from ..network import AceStep, replace_layer, share
from .frozen import FrozenLinear

AS_LOADED = "as loaded"
# The dtype of the weights, and whether the layer's input is quantised to it as well.
KINDS: dict[str, tuple[torch.dtype, bool]] = {
    "int8": (torch.int8, False),
    "int8 dynamic": (torch.int8, True),
    "fp8": (torch.float8_e4m3fn, False),
    "fp8 dynamic": (torch.float8_e4m3fn, True),
}
MAX_VALUES = {torch.int8: 127.0, torch.float8_e4m3fn: 448.0}
# What the kernels of NVIDIA cards require: both dimensions of a weight a multiple of this, and more than 16 int8 rows.
INT8_MULTIPLE, INT8_ROWS, FP8_MULTIPLE = 8, 16, 16
FP8_CAPABILITY = (8, 9)  # Ada; Hopper is (9, 0)


class QuantisedLinear(FrozenLinear):
    """A linear layer with 8-bit weights.

    Weight only: ``y = x @ (w8 * scale).T + bias``, where ``w8 * scale`` is rounded to the layer's dtype. Dynamic: every
    row of x is quantised like the weights, and ``y = (x8 @ w8.T) * x_scale * scale + bias``, summed in int32 (exact) or
    float32. weight: ``[n k]``; scale: ``[n 1]`` float32; dtype: of x and y.
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
        self._cpu_is_exact = cpu_sums_are_exact()  # here, as compilers cannot trace the question

    @classmethod
    def from_linear(cls, layer: nn.Linear, kind: str) -> QuantisedLinear:
        """Quantise a layer's weights; the layer itself is unchanged, and its bias is shared."""
        dtype, dynamic = _parse_kind(kind)
        full = layer.dequantise() if isinstance(layer, FrozenLinear) else layer.weight.detach()
        weight, scale = quantise_rows(full, dtype)
        bias = None if layer.bias is None else layer.bias.detach()
        return cls(weight, scale, bias, compute_dtype(layer), dynamic)

    @property
    def stored_as(self) -> str:
        return "8 bits"

    def work_bytes(self) -> int:
        return 0 if self.dynamic else super().work_bytes()

    def share(self) -> QuantisedLinear:
        bias = None if self.bias is None else self.bias.detach()
        return QuantisedLinear(self.weight.detach(), self.scale, bias, self.dtype, self.dynamic)

    def dequantise(self) -> Tensor:
        return self.weight.to(self.dtype).mul_(self.scale.to(self.dtype))

    def forward(self, input: Tensor) -> Tensor:
        if self.weight_patches or not self.dynamic:
            return super().forward(input)
        rows, row_scale = quantise_rows(input.reshape(-1, self.in_features), self.weight.dtype)
        if self.weight.dtype == torch.int8:
            out = int8_product(rows, self.weight, self._cpu_is_exact) * row_scale * self.scale.T
        else:
            out = fp8_product(rows, self.weight, row_scale, self.scale, self.dtype)
        out = out.to(self.dtype).unflatten(0, input.shape[:-1])
        return out if self.bias is None else out + self.bias


def quantise_rows(values: Tensor, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """Quantise rows ``[n k]`` to 8 bits; also returns the scale of each, ``[n 1]`` float32.

    The error of an int8 element is at most half its row's scale; that of an fp8 element at most 1/16 of itself or
    1/1024 of the scale, whichever is larger. A scale is less than 1/128 above the row's largest magnitude over 127 or
    448. NaN or infinity in a row makes its scale so.
    """
    wide = values.float()
    exact = wide.abs().amax(1, keepdim=True) / MAX_VALUES[dtype]
    # Round up, by the bits, to a mantissa of 7 stored bits; a row of zeros is divided by 1.
    scale = ((exact.view(torch.int32) + 0xFFFF) & -0x10000).view(torch.float32)
    scale = torch.where(scale == 0, 1.0, scale)
    wide = wide / scale
    return (wide.round() if dtype == torch.int8 else wide).to(dtype), scale


def int8_product(a: Tensor, b: Tensor, cpu_is_exact: bool) -> Tensor:
    """``a @ b.T`` of int8 matrices ``[m k]`` and ``[n k]``, summed exactly; int32, or float64 of the same values."""
    if a.device.type == "cpu" and cpu_is_exact:
        return torch._int_mm(a, b.T)  # pyright: ignore[reportPrivateImportUsage]
    if a.device.type == "cpu" or b.shape[0] % INT8_MULTIPLE or b.shape[1] % INT8_MULTIPLE:
        return a.double() @ b.double().T
    missing = max(0, INT8_ROWS + 1 - a.shape[0])
    padded = F.pad(a, (0, 0, 0, missing)) if missing else a
    product = torch._int_mm(padded, b.T)  # pyright: ignore[reportPrivateImportUsage]
    return product[: a.shape[0]]


@functools.cache
def cpu_sums_are_exact() -> bool:
    """Whether torch multiplies int8 right on this CPU.

    Without VNNI, oneDNN adds products in pairs of 16 bits, which saturate: 255 x 127 x 2 is beyond 32767.
    """
    most = torch.full((8, 64), 127, dtype=torch.int8, device="cpu")
    return bool((torch._int_mm(most, most.T) == 64 * 127**2).all())  # pyright: ignore[reportPrivateImportUsage]


def fp8_product(a: Tensor, b: Tensor, a_scale: Tensor, b_scale: Tensor, dtype: torch.dtype) -> Tensor:
    """``(a @ b.T) * a_scale * b_scale.T`` of fp8 matrices ``[m k]`` and ``[n k]``, summed in float32.

    One kernel where there is one (NVIDIA, bf16); elsewhere the same formula in float32.
    """
    fits = b.shape[0] % FP8_MULTIPLE == 0 and b.shape[1] % FP8_MULTIPLE == 0
    if a.device.type == "cuda" and dtype == torch.bfloat16 and fits:
        product = torch._scaled_mm  # pyright: ignore[reportPrivateImportUsage]
        return product(a, b.T, scale_a=a_scale, scale_b=b_scale.T, out_dtype=dtype)
    return (a.float() @ b.float().T) * a_scale * b_scale.T


def check(kind: str, device: torch.device) -> None:
    """Refuse a kind that the device cannot compute. Raises ValueError that says what to choose."""
    dtype, dynamic = _parse_kind(kind)
    if device.type not in ("cpu", "cuda") and (dynamic or dtype != torch.int8):
        raise ValueError(f"weights = {kind} runs on cuda and cpu, and this device is {device.type}; choose int8")
    if kind == "fp8 dynamic" and device.type == "cuda":
        capability = torch.cuda.get_device_capability(device)
        if torch.version.hip is not None or capability < FP8_CAPABILITY:
            raise ValueError(
                "weights = fp8 dynamic needs an NVIDIA card that multiplies fp8 (compute capability 8.9 or higher), "
                f"and {torch.cuda.get_device_name(device)} has {capability[0]}.{capability[1]}; choose int8 dynamic or "
                "fp8"
            )


def convert(network: AceStep, kind: str) -> AceStep:
    """A copy whose transformer layers hold 8-bit weights of a kind; `AS_LOADED` only shares all tensors.

    The network is unchanged. Everything that is not quantised is shared with it; layers are quantised one at a time, so
    no more than one exists in full precision beside the new weights. Raises ValueError for an unknown kind, and for
    weights that are 8-bit already.
    """
    copy = share(network)
    if kind == AS_LOADED:
        return copy
    for name, layer in linear_layers(copy):
        if isinstance(layer, QuantisedLinear):
            raise ValueError(f"weights = {kind}: the model's weights have 8 bits already; connect it to the loader")
        replace_layer(copy, name, QuantisedLinear.from_linear(layer, kind))
    return copy


def linear_layers(network: AceStep) -> list[tuple[str, nn.Linear]]:
    """The linear layers of the transformer's layers, by their names in the network."""
    modules = network.decoder.layers.named_modules(prefix="decoder.layers")
    return [(name, module) for name, module in modules if isinstance(module, nn.Linear)]


def weight_bytes(network: AceStep) -> int:
    """Bytes of all weights, scales included."""
    return sum(value.numel() * value.element_size() for value in network.state_dict().values())


def _parse_kind(kind: str) -> tuple[torch.dtype, bool]:
    if kind not in KINDS:
        raise ValueError(f"weights = {kind!r} is unknown; allowed: {', '.join((AS_LOADED, *KINDS))}")
    return KINDS[kind]
