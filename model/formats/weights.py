"""Whether weights can be computed with as they are stored: no quantised forms, no integers, no unfilled space."""

from __future__ import annotations

import re
from itertools import groupby
from math import prod
from pathlib import Path

from .holes import find_holes
from .scaled import unknown_formats
from .tensors import CheckpointError, Entry, Tensors

FLOATS = {"F64", "F32", "F16", "BF16", "F8_E4M3", "F8_E5M2"}
# Forms that can't be unpacked by the tensors that only they have, or that are left where a weight is missing; the first
# match wins.
QUANTISED = {
    "bitsandbytes 4-bit or 8-bit": r"\.quant_state\.|\.absmax$|\.SCB$|\.quant_map$",
    "GPTQ or AWQ": r"\.(qweight|qzeros|g_idx)$",
    "ComfyUI's quantised layers": r"\.comfy_quant$",
    "convert_to_quant or SVDQuant": r"\.(weight_s_rel|weight_s_channel|weight_zeros|weight_codebook|smooth_factor)$",
    "scales without their weights": (
        r"\.(scale_weight|scale_input|weight_scale|weight_scale_2|input_scale|weight_scale_inv)$"
    ),
}
SUPPORTED = "GGUF, and fp8, int8, mxfp8 and nvfp4 as ComfyUI stores them"
# Trained matrices are rarely zero throughout. Tables and biases may be.
_MATRIX = re.compile(r"(weight|weight_v|original1)$")
WINDOW = 65536  # bytes read of each tensor
PART = 2**22  # bytes; downloaders fill a file in parts of this size and more
SHOWN = 3


def check_weights(source: Path, tensors: Tensors) -> None:
    """Raise CheckpointError for weights that are quantised, integers or never filled. Reads a part of each tensor."""
    for problem in (_quantised(tensors), _integers(tensors), _unfilled(tensors) or _holes(tensors)):
        if problem:
            raise CheckpointError(f"{source} {problem}")


def _quantised(tensors: Tensors) -> str:
    for form, pattern in QUANTISED.items():
        names = [name for name in tensors if re.search(pattern, name)]
        if names:
            formats = ", ".join(f"{name} ({len(layers)} layers)" for name, layers in unknown_formats(tensors).items())
            return (
                f"holds quantised weights that can't be read ({formats or form}: {len(names)} tensors such as "
                f"{names[0]}); supported: {SUPPORTED}. Choose such a file or the bf16 file, and weights = fp8 or "
                "int8 in the node for speed and memory"
            )
    return ""


def _integers(tensors: Tensors) -> str:
    entries = tensors.entries().items()
    plain = [(name, entry.dtype) for name, entry in entries if entry.dtype and entry.packed is None]
    names = [f"{name} ({dtype})" for name, dtype in plain if dtype not in FLOATS]
    if not names:
        return ""
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return (
        "holds numbers without the scales that turn them into weights, or in an unknown form: "
        f"{', '.join(names[:SHOWN])}{more}; fetch the file again, or choose the bf16 file"
    )


def _unfilled(tensors: Tensors) -> str:
    """What to say about a file whose space was reserved and not filled, as by a downloader that stopped.

    Layers may have been switched off on purpose. So zeros are a sign only if they reach the end of a file, are as long
    as the parts in which downloaders fill one, or cover a norm, which would switch off everything.
    """
    entries = [entry for gap in _zero_gaps(tensors) for entry in gap]
    if not entries:
        return ""
    size = sum(entry.span[1] - entry.span[0] for entry in entries)
    total = sum(entry.span[1] - entry.span[0] for entry in tensors.entries().values())
    return (
        f"is only partly there: {len(entries)} weights ({size:,} of {total:,} bytes) hold nothing but zeros, the first "
        f"{entries[0].key}. A downloader that reserves the space first leaves such a file; fetch it again"
    )


def _holes(tensors: Tensors) -> str:
    """What to say about matrices with zeros where a download left out a part."""
    stored = [entry for entry in tensors.entries().values() if entry.span[1] > entry.span[0]]
    matrices = [entry for entry in stored if _is_matrix(entry) and _has_whole_values(entry)]
    matrices.sort(key=lambda entry: (entry.path, entry.span))
    by_file = groupby(matrices, key=lambda entry: entry.path)
    holes = [hole for path, entries in by_file for hole in find_holes(path, list(entries))]
    if not holes:
        return ""
    entry, start, end = holes[0]
    share = (end - start) / (entry.span[1] - entry.span[0])
    more = f", and {len(holes) - 1} more weights have such holes" if len(holes) > 1 else ""
    return (
        f"is only partly there: bytes {start:,} to {end:,} of {entry.path.name} are zeros in the middle of {entry.key} "
        f"({share:.1%} of it){more}. A download that stopped and went on later leaves such a file; fetch it again"
    )


def _zero_gaps(tensors: Tensors) -> list[list[Entry]]:
    """Neighbouring tensors of zeros that are a sign, by file and in the file's order."""
    entries = [entry for entry in tensors.entries().values() if entry.span[1] > entry.span[0]]
    entries.sort(key=lambda entry: (entry.path, entry.span))
    ends = {entry.path: entry.span[1] for entry in entries}
    groups = groupby(entries, key=lambda entry: (entry.path, _is_zero(entry)))
    runs = [list(run) for (_, is_zero), run in groups if is_zero]
    return [run for run in runs if _is_gap(run, ends[run[0].path])]


def _is_gap(run: list[Entry], file_end: int) -> bool:
    first, end = run[0].span[0], run[-1].span[1]
    is_telling = end - first >= PART or end == file_end or any(map(_is_norm, run))
    return is_telling and sum(map(_is_matrix, run)) > 1


def _is_matrix(entry: Entry) -> bool:
    return len(entry.shape) > 1 and _MATRIX.search(entry.key) is not None


def _has_whole_values(entry: Entry) -> bool:
    """Whether each number has bytes of its own, as in blocks of less than eight bits it has not."""
    return (entry.span[1] - entry.span[0]) % prod(entry.shape) == 0


def _is_norm(entry: Entry) -> bool:
    return len(entry.shape) == 1 and entry.key.endswith("norm.weight")


def _is_zero(entry: Entry) -> bool:
    """Whether the middle of a tensor is zero; its end may be, where a vocabulary is padded."""
    first, end = entry.span
    length = min(WINDOW, end - first)
    with entry.path.open("rb") as file:
        file.seek(first + (end - first - length) // 2)
        return not any(file.read(length))
