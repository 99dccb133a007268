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


def desktop_configs() -> list[Path]:
    """The files in which ComfyUI's desktop applications keep their model folders, those that are there.

    Sources: Comfy-Org/desktop, comfyServerConfig.ts; Comfy-Org/Comfy-Desktop, models.ts and paths.ts.
    """
    if sys.platform == "win32":
        base = Path(os.environ.get("APPDATA") or Path.home() / "AppData" / "Roaming")
        folders = (base / "ComfyUI", base / "Comfy Desktop")
    elif sys.platform == "darwin":
        base = Path.home() / "Library" / "Application Support"
        folders = (base / "ComfyUI", base / "Comfy Desktop")
    else:
        folders = (
            Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config") / "ComfyUI",
            Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share") / "comfyui-desktop-2",
        )
    configs = [folders[0] / "extra_models_config.yaml", folders[1] / "shared_model_paths.yaml"]
    return [config for config in configs if config.is_file()]


def _inside(folder: Path) -> Path:
    """The ComfyUI in a folder: itself, or what the portable build for Windows has in it."""
    inner = folder / "ComfyUI"
    return inner if is_comfyui(inner) and not is_comfyui(folder) else folder


def is_comfyui(folder: Path) -> bool:
    """Whether a folder holds ComfyUI's program."""
    return (folder / "folder_paths.py").is_file() and (folder / "comfy").is_dir()
