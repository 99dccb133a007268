"""Whether weights can be computed with as they are stored: no quantised forms, no integers, no unfilled space."""

from __future__ import annotations

import re
from pathlib import Path

from .tensors import CheckpointError, Entry, Tensors

FLOATS = {"F64", "F32", "F16", "BF16", "F8_E4M3", "F8_E5M2"}
# Forms of quantised weights by the tensors that only they have; the first match wins.
QUANTISED = {
    "bitsandbytes 4-bit or 8-bit": r"\.quant_state\.|\.absmax$|\.SCB$|\.quant_map$",
    "GPTQ or AWQ": r"\.(qweight|qzeros|g_idx)$",
    "nvfp4 with scales": r"\.weight_scale_2$",
    "ComfyUI's quantised layers": r"\.comfy_quant$",
    "fp8 or int8 with scales": (
        r"\.(scale_weight|scale_input|weight_scale|input_scale|weight_scale_inv)$|(^|\.)scaled_fp8$"
    ),
    "convert_to_quant or SVDQuant": r"\.(weight_s_rel|weight_s_channel|weight_zeros|weight_codebook|smooth_factor)$",
}
# Trained matrices are never zero throughout. Tables and biases may be.
_MATRIX = re.compile(r"(weight|weight_v|original1)$")
WINDOW = 65536  # bytes read of each matrix
SHOWN = 3


def check_weights(source: Path, tensors: Tensors) -> None:
    """Raise CheckpointError for weights that are quantised, integers or never filled. Reads a part of each matrix."""
    for problem in (_quantised(tensors), _integers(tensors), _unfilled(tensors)):
        if problem:
            raise CheckpointError(f"{source} {problem}")


def _quantised(tensors: Tensors) -> str:
    for form, pattern in QUANTISED.items():
        names = [name for name in tensors if re.search(pattern, name)]
        if names:
            return (
                f"holds quantised weights ({form}: {len(names)} tensors such as {names[0]}), which are not supported "
                "yet; choose the bf16 file, and weights = fp8 or int8 in the node for speed and memory"
            )
    return ""


def _integers(tensors: Tensors) -> str:
    entries = tensors.entries().items()
    names = [f"{name} ({entry.dtype})" for name, entry in entries if entry.dtype and entry.dtype not in FLOATS]
    if not names:
        return ""
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return (
        f"holds whole or packed numbers without the scales that turn them into weights: {', '.join(names[:SHOWN])}"
        f"{more}; fetch the file again, or choose the bf16 file"
    )


def _unfilled(tensors: Tensors) -> str:
    """What to say about a file whose space was reserved and not filled, as by a downloader that stopped."""
    zero = [entry for entry in _matrices(tensors) if _is_zero(entry)]
    if len(zero) < 2:  # one layer may have been switched off on purpose
        return ""
    size = sum(entry.span[1] - entry.span[0] for entry in zero)
    total = sum(entry.span[1] - entry.span[0] for entry in tensors.entries().values())
    return (
        f"is only partly there: {len(zero)} weights ({size:,} of {total:,} bytes) hold nothing but zeros, the first "
        f"{zero[0].key}. A downloader that reserves the space first leaves such a file; fetch it again"
    )


def _matrices(tensors: Tensors) -> list[Entry]:
    """Matrices whose place in a file is known, in the order in which a disk reads them."""
    entries = [entry for name, entry in tensors.entries().items() if _MATRIX.search(name)]
    entries = [entry for entry in entries if len(entry.shape) > 1 and entry.span[1] > entry.span[0]]
    return sorted(entries, key=lambda entry: (entry.path, entry.span))


def _is_zero(entry: Entry) -> bool:
    """Whether the middle of a tensor is zero; its end may be, where a vocabulary is padded."""
    first, end = entry.span
    length = min(WINDOW, end - first)
    with entry.path.open("rb") as file:
        file.seek(first + (end - first - length) // 2)
        return not any(file.read(length))
