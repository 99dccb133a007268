"""Where model files lie: search folders and the names found in them. Standard library only."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path, PurePosixPath

# Kind -> subfolders of a model root. The second names are ComfyUI's older ones, still in use.
SUBFOLDERS: dict[str, tuple[str, ...]] = {
    "checkpoints": ("checkpoints",),
    "diffusion_models": ("diffusion_models", "unet"),
    "text_encoders": ("text_encoders", "clip"),
    "vae": ("vae",),
    "diffusers": ("diffusers",),
}
KINDS = tuple(SUBFOLDERS)
FOLDER_MARKS = ("model_index.json", "config.json")
TOKENIZER_MARKS = ("tokenizer.json", "vocab.json")


def data_directory() -> Path:
    """The user's folder for files this program fetches, by the platform's custom."""
    if sys.platform == "win32":
        base = Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local")
    elif sys.platform == "darwin":
        base = Path.home() / "Library" / "Application Support"
    else:
        base = Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share")
    return base / "acestep-xl"


def search_roots(given: Iterable[Path]) -> list[Path]:
    """Model roots in the order they are searched, each once.

    The given ones, ACESTEP_XL_MODELS (separated as PATH is), COMFYUI_PATH/models, ./models, the user's data folder.
    """
    roots = list(given)
    roots += [Path(part) for part in os.environ.get("ACESTEP_XL_MODELS", "").split(os.pathsep) if part]
    if comfyui := os.environ.get("COMFYUI_PATH"):
        roots.append(Path(comfyui) / "models")
    roots += [Path("models"), data_directory() / "models"]
    return list(dict.fromkeys(root.expanduser().absolute() for root in roots))


def folders_in(roots: Sequence[Path]) -> dict[str, list[Path]]:
    """Search folders per kind: every root's first subfolder names before its second ones."""
    return {kind: [root / name for root in roots for name in names] for kind, names in SUBFOLDERS.items()}


def names_in(kind: str, folders: Iterable[Path]) -> list[str]:
    """Model names of a kind found in its folders, sorted, with forward slashes."""
    scan = _marked_folders if kind == "diffusers" else _weight_files
    return sorted({name for folder in folders for name in scan(folder)})


def folders_of(kind: str, folders: Mapping[str, list[Path]]) -> list[Path]:
    """The folders of a kind. Raises ValueError that lists the known kinds."""
    if kind not in folders:
        raise ValueError(f"unknown model kind {kind!r}; known: {', '.join(folders)}")
    return folders[kind]


def locate(kind: str, name: str, folders: Sequence[Path]) -> Path:
    """First folder's file (or, for diffusers, folder) of that name.

    Raises FileNotFoundError that says where it looked and what is there.
    """
    relative = PurePosixPath(name.replace("\\", "/"))
    if not relative.is_absolute() and ".." not in relative.parts and name:
        for folder in folders:
            path = folder / relative
            if path.is_dir() if kind == "diffusers" else path.is_file():
                return path
    found = ", ".join(names_in(kind, folders)) or "nothing"
    looked = ", ".join(str(folder) for folder in folders)
    raise FileNotFoundError(f"no {name!r} among the {kind}; looked in {looked}; found there: {found}")


def tokenizer_folders(folders: Iterable[Path]) -> list[Path]:
    """Subfolders, one level deep, that hold a tokenizer."""
    return [child for folder in folders for child in _children(folder) if _has(child, TOKENIZER_MARKS)]


def _weight_files(folder: Path) -> list[str]:
    found: list[str] = []
    for place, subfolders, files in os.walk(folder, followlinks=True):
        subfolders[:] = [name for name in subfolders if not name.startswith(".")]
        here = Path(place).relative_to(folder)
        found += [(here / name).as_posix() for name in files if name.lower().endswith(".safetensors")]
    return found


def _marked_folders(folder: Path) -> list[str]:
    """Model folders one or two levels down; the parts inside a model folder are not models of their own."""
    found: list[str] = []
    for child in _children(folder):
        if _has(child, FOLDER_MARKS):
            found.append(child.name)
        else:
            found += [f"{child.name}/{inner.name}" for inner in _children(child) if _has(inner, FOLDER_MARKS)]
    return found


def _children(folder: Path) -> list[Path]:
    if not folder.is_dir():
        return []
    return sorted(child for child in folder.iterdir() if child.is_dir() and not child.name.startswith("."))


def _has(folder: Path, marks: Iterable[str]) -> bool:
    return any((folder / mark).is_file() for mark in marks)
