"""Where a ComfyUI is on this machine, for a command line that runs outside of it."""

from __future__ import annotations

import os
import sys
from pathlib import Path

PACK = Path(__file__).parent.parent


def comfyui_folders() -> list[Path]:
    """ComfyUI's folders: the one that COMFYUI_PATH names, and the one that the pack or its Python belongs to."""
    named = os.environ.get("COMFYUI_PATH")
    python = Path(sys.prefix)
    around = [python.parent, python.parent / "ComfyUI"]
    if PACK.parent.name == "custom_nodes":
        around.insert(0, PACK.parent.parent)
    installed = [folder for folder in around if is_comfyui(folder)]
    return [*([_inside(Path(named).expanduser())] if named else []), *installed[:1]]


def _inside(folder: Path) -> Path:
    """The ComfyUI in a folder: itself, or what the portable build for Windows has in it."""
    inner = folder / "ComfyUI"
    return inner if is_comfyui(inner) and not is_comfyui(folder) else folder


def is_comfyui(folder: Path) -> bool:
    """Whether a folder holds ComfyUI's program."""
    return (folder / "folder_paths.py").is_file() and (folder / "comfy").is_dir()
