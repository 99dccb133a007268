"""Which file of a folder is the adapter: trainers save folders, some of them nested."""

from __future__ import annotations

import re
from pathlib import Path

from ..formats.tensors import list_names
from .adapter import AdapterError

SUFFIXES = (".safetensors", ".bin", ".pt", ".pth", ".ckpt")
# What trainers call the file, in the order in which they prefer it themselves.
NAMES = (
    *("adapter_model.safetensors", "adapter_model.bin", "pytorch_lora_weights.safetensors"),
    *("lokr_weights.safetensors", "loha_weights.safetensors", "lora_weights.safetensors", "lora_weights.pt"),
)
NESTED = ("adapter", "final", "best", "default")
_COUNTED = re.compile(r"(?:epoch|step|checkpoint)[_-]?(\d+)")


def find_weights(path: Path) -> Path:
    """The weight file that a path means: itself, or the one in a folder or in its newest checkpoint.

    Raises AdapterError for a folder without any, or with several of which none is named as trainers do.
    """
    if not path.exists():
        raise AdapterError(f"{path} does not exist")
    if path.is_file():
        return path
    weights = _search(path)
    if weights is None:
        raise AdapterError(
            f"{path} holds no adapter: expected {', '.join(NAMES)} or one file that ends in {', '.join(SUFFIXES)}, in "
            f"it or in {', '.join(NESTED)} or checkpoints; the folder holds {list_names(path)}"
        )
    return weights


def _search(folder: Path) -> Path | None:
    named = next((folder / name for name in NAMES if (folder / name).is_file()), None)
    if named is not None:
        return named
    files = sorted(file for file in folder.iterdir() if file.is_file() and file.suffix.lower() in SUFFIXES)
    weights = [file for file in files if not re.search(r"optimizer|scheduler|state|random|scaler", file.stem)]
    if len(weights) > 1:
        raise AdapterError(f"{folder} holds several files: choose one of {', '.join(file.name for file in weights)}")
    if weights:
        return weights[0]
    return next((file for child in _nested(folder) if (file := _search(child))), None)


def _nested(folder: Path) -> list[Path]:
    """The folders in which trainers save, the one to prefer first: by name, then the highest epoch or step."""
    children = [child for child in folder.iterdir() if child.is_dir()]
    named = [child for name in NESTED for child in children if child.name == name]
    counted = [(int(match[1]), child) for child in children if (match := _COUNTED.fullmatch(child.name))]
    newest = [child for _, child in sorted(counted, key=lambda pair: pair[0], reverse=True)]
    return [*named, *newest, *(child for child in children if child.name == "checkpoints")]
