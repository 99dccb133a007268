"""Adapters by their names in the folder ``loras``."""

from __future__ import annotations

from pathlib import Path
from weakref import WeakValueDictionary

from ...host import current_host
from ...host.protocol import Host
from ...model.adapters.adapter import Adapter
from ...model.adapters.folders import find_weights
from ...model.adapters.read import read
from ...model.adapters.source import CONFIG

FOLDER = "loras"
# Adapters that some MODEL uses, by the state of their files, so that another strength reads nothing again.
_adapters: WeakValueDictionary[str, Adapter] = WeakValueDictionary()


def adapter_names(host: Host) -> list[str]:
    """The adapters that a node lists."""
    return host.model_names(FOLDER)


def read_adapter(name: str) -> Adapter:
    """The adapter of a name. Raises FileNotFoundError, and AdapterError for a file that can't be used."""
    path = current_host().model_path(FOLDER, name)
    state = file_state(path)
    adapter = _adapters.get(state)
    if adapter is None:
        adapter = _adapters[state] = read(path)
    return adapter


def file_state(path: Path) -> str:
    """What changes when the adapter's file, or the config beside it, is written anew."""
    weights = find_weights(path)
    files = [file for file in (weights, weights.parent / CONFIG) if file.is_file()]
    return "|".join(f"{file}:{file.stat().st_size}:{file.stat().st_mtime_ns}" for file in files)
