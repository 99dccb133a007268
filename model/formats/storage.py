"""In what form a file stores its weights, in words for users."""

from __future__ import annotations

from collections import Counter
from math import prod

from .tensors import Tensors

WORDS = {"BF16": "bf16", "F16": "fp16", "F32": "fp32", "F64": "fp64"}
LEAST_SHARE = 0.1  # of the numbers, above which a second format is named


def describe_storage(tensors: Tensors) -> str:
    """The container, the formats of most numbers and the size: "GGUF Q8_0, 4.9 GB", "safetensors bf16, 9.5 GB"."""
    entries = tensors.entries().values()
    numbers: Counter[str] = Counter()
    for entry in entries:
        numbers[WORDS.get(entry.dtype, entry.dtype)] += prod(entry.shape)
    common = [name for name, count in numbers.most_common() if count >= LEAST_SHARE * numbers.total()]
    container = "GGUF" if tensors.files[0].suffix.lower() == ".gguf" else "safetensors"
    return f"{container} {' and '.join(common)}, {_size(sum(path.stat().st_size for path in tensors.files))}"


def is_packed(tensors: Tensors) -> bool:
    """Whether a file has weights that are not stored as plain numbers."""
    return any(entry.packed is not None for entry in tensors.entries().values())


def _size(size: int) -> str:
    return f"{size / 1e9:.1f} GB" if size >= 1e9 else f"{size / 1e6:.1f} MB"
