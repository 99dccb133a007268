"""The dtype that each part of a model is computed in."""

from __future__ import annotations

from collections.abc import Callable

import torch

DTYPES = {"bf16": torch.bfloat16, "fp16": torch.float16, "fp32": torch.float32}

# What overflows fp16 in this network: the residual stream (whose dtype the norms determine), the product inside the MLP
# (505,000 in the lyric encoder, where fp16 ends at 65,504), and the modulation that multiplies them.
FLOAT32_IN_FP16 = ("norm.weight", "norm_out.weight", "layernorm.weight", "down_proj.weight", "scale_shift_table")
HALF_NORMS = ("q_norm.weight", "k_norm.weight")


def choose_dtype(precision: str, device: torch.device) -> torch.dtype:
    """The dtype for ``precision`` ("auto", "bf16", "fp16", "fp32") on a device.

    auto is bf16 where the device computes it natively, else float32. Raises ValueError for anything else.
    """
    if precision != "auto":
        if precision not in DTYPES:
            raise ValueError(f"precision {precision!r} is unknown; allowed: auto, {', '.join(DTYPES)}")
        return DTYPES[precision]
    return torch.bfloat16 if _has_bf16(device) else torch.float32


def network_dtypes(dtype: torch.dtype) -> Callable[[str], torch.dtype]:
    """The dtype of each of the network's parameters by name: ``dtype``, but float32 for what overflows fp16."""

    def dtype_of(name: str) -> torch.dtype:
        if dtype != torch.float16 or name.endswith(HALF_NORMS):
            return dtype
        overflows = name.endswith(FLOAT32_IN_FP16) or "time_embed" in name
        return torch.float32 if overflows else dtype

    return dtype_of


def text_vae_dtype(dtype: torch.dtype) -> torch.dtype:
    """The dtype of text encoder and VAE for a network in ``dtype``: neither is safe in fp16."""
    return torch.float32 if dtype == torch.float16 else dtype


def _has_bf16(device: torch.device) -> bool:
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    # Apple's and Intel's GPUs compute bf16, and so do CPUs with AMX; most other CPUs emulate it slowly.
    return device.type in ("xpu", "mps")
