"""An adapter's file, its header and the config beside it, before anything is made of them."""

from __future__ import annotations

import json
import pickle
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from torch import Tensor

from ..formats.file_kinds import describe, identify
from ..formats.safetensors import open_safetensors
from ..formats.tensors import read_json
from .adapter import AdapterError
from .folders import SUFFIXES, find_weights

CONFIG = "adapter_config.json"
# Header entries that hold JSON, and what they say of alpha.
DIFFUSERS_HEADER = "lora_adapter_metadata"
LYCORIS_HEADERS = ("lokr_config", "loha_config", "lora_config", "lycoris_config")


@dataclass(frozen=True)
class Source:
    """path: of the weights. header: the text entries of a safetensors file. config: of PEFT, or None."""

    path: Path
    tensors: Mapping[str, Tensor]
    header: Mapping[str, str]
    config: Mapping[str, Any] | None

    def header_json(self, name: str) -> dict[str, Any]:
        """A header entry that holds a JSON object; empty if it is absent or anything else."""
        try:
            value = json.loads(self.header.get(name, "{}"))
        except ValueError:
            return {}
        return value if isinstance(value, dict) else {}

    @property
    def diffusers_config(self) -> dict[str, Any]:
        """What the header of diffusers says of its transformer, under PEFT's names."""
        values = self.header_json(DIFFUSERS_HEADER)
        return {key.split(".", 1)[1]: value for key, value in values.items() if key.startswith("transformer.")}

    @property
    def lycoris_config(self) -> dict[str, Any]:
        """What the header of a LyCORIS file says."""
        return next((config for name in LYCORIS_HEADERS if (config := self.header_json(name))), {})


def open_source(path: Path) -> Source:
    """Read an adapter's file or folder. Raises AdapterError for what is none, CheckpointError for damaged files."""
    weights = find_weights(path)
    if identify(weights) == "torch":
        tensors, header = _read_torch(weights), {}
    elif weights.suffix.lower() in SUFFIXES[1:]:
        raise AdapterError(f"{weights} can't be read: {describe(weights)}")
    else:
        tensors, header = dict(open_safetensors(weights)), _read_header(weights)
    if not tensors:
        raise AdapterError(f"{weights} holds no tensors: fetch the file again")
    return Source(weights, {key: _widen(value) for key, value in tensors.items()}, header, _read_config(weights))


def _widen(tensor: Tensor) -> Tensor:
    """fp8 as bf16, which holds the same numbers and has arithmetic."""
    return tensor.bfloat16() if tensor.is_floating_point() and tensor.itemsize == 1 else tensor


def _read_header(path: Path) -> dict[str, str]:
    with safe_open(path, framework="pt", device="cpu") as file:
        return dict(file.metadata() or {})


def _read_torch(path: Path) -> dict[str, Tensor]:
    """A pickled state dict, perhaps inside of another table. Nothing in the file is run."""
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except (RuntimeError, EOFError, pickle.UnpicklingError) as error:
        raise AdapterError(
            f"{path} can't be read: it is damaged, or holds more than tensors, which could run code; fetch it again, "
            "or save it as safetensors"
        ) from error
    while isinstance(content, dict) and not any(isinstance(value, Tensor) for value in content.values()):
        content = next((value for value in content.values() if isinstance(value, dict)), None)
    if not isinstance(content, dict):
        raise AdapterError(f"{path} holds no table of tensors, so it is no adapter")
    return {str(key): value.detach() for key, value in content.items() if isinstance(value, Tensor)}


def _read_config(weights: Path) -> dict[str, Any] | None:
    """The config beside a file: PEFT's own pair of names, or the only weights in the folder."""
    config = weights.parent / CONFIG
    if not config.is_file():
        return None
    others = [file for file in weights.parent.iterdir() if file.suffix.lower() in SUFFIXES and file != weights]
    return read_json(config) if weights.stem == "adapter_model" or not others else None
