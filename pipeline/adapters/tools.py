"""Adapters as files: what one is, and checkpoints with some merged in."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from ...host import current_host
from ...model.adapters.adapter import Adapter
from ...model.adapters.attach import Applied
from ...model.adapters.fit import training_hint
from ...model.adapters.read import read
from ...model.export.merged import FORMS, merge_checkpoint, suffix_of
from ...model.formats.storage import describe_storage, is_packed
from ...model.layouts import recognise
from ..model_files import KINDS
from .files import FOLDER

__all__ = ["FORMS", "describe", "merge", "suffix_of"]


def describe(name: str) -> tuple[str, dict[str, Any]]:
    """What an adapter is, in words and as JSON values. name: a path, or a name in loras.

    Raises FileNotFoundError and AdapterError.
    """
    adapter = read(_find(name, (FOLDER,)))
    facts = {
        "file": str(adapter.path),
        "kinds": list(adapter.kinds),
        "layout": adapter.layout,
        "ranks": list(adapter.ranks),
        "alpha": adapter.alpha,
        "scales": sorted({round(entry.scale, 6) for entry in adapter.entries}),
        "groups": adapter.groups,
        "parameters": [entry.parameter for entry in adapter.entries],
        "sizes": list(adapter.sizes),
        "trained_on": adapter.trained_on,
        "bytes": adapter.bytes,
        "hints": list(adapter.hints),
    }
    return adapter.describe(), facts


def merge(
    checkpoint: str,
    adapters: Sequence[tuple[str, float]],
    output: Path,
    form: str,
    on_tensor: Callable[[int, int], None],
) -> list[str]:
    """Write a checkpoint with adapters at strengths merged in, and return what its user should know.

    checkpoint, adapters: paths, or names in ComfyUI's folders. Raises FileNotFoundError, CheckpointError and
    ValueError before anything is written.
    """
    layout = recognise(_find(checkpoint, KINDS["model"]))
    stack = [Applied(read(_find(name, (FOLDER,))), strength) for name, strength in adapters]
    merge_checkpoint(layout, stack, output, form, on_tensor)
    hints = [hint for entry in stack for hint in _hints(entry.adapter, layout.training)]
    if is_packed(layout.network):
        hints.append(f"the checkpoint is {describe_storage(layout.network)}: merge into the original for exact weights")
    if layout.training != "unknown" and layout.training not in output.stem.lower() and not form.startswith("gguf"):
        hints.append(f"its name does not say {layout.training}, so its training counts as unknown when it is loaded")
    return hints


def _hints(adapter: Adapter, training: Any) -> list[str]:
    hint = training_hint(adapter, training)
    return [*(f"{adapter.path.name}: {hint}" for hint in adapter.hints), *([hint] if hint else [])]


def _find(name: str, kinds: Sequence[str]) -> Path:
    """The file or folder of a path, or of a name in ComfyUI's folders. Raises FileNotFoundError."""
    path = Path(name).expanduser()
    if path.exists():
        return path
    for kind in kinds:
        try:
            return current_host().model_path(kind, name)
        except FileNotFoundError:
            continue
    folders = [str(folder) for kind in kinds for folder in current_host().search_folders().get(kind, [])]
    raise FileNotFoundError(f"{name} does not exist, as a path or in {', '.join(folders) or 'the model folders'}")
