"""Where model files are: search folders and the names in them. Standard library only."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path, PurePosixPath

# Kind -> subfolders of a model root. The second names are ComfyUI's older ones, which people still use.
SUBFOLDERS: dict[str, tuple[str, ...]] = {
    "checkpoints": ("checkpoints",),
    "diffusion_models": ("diffusion_models", "unet"),
    "text_encoders": ("text_encoders", "clip"),
    "vae": ("vae",),
    "diffusers": ("diffusers",),
}
KINDS = tuple(SUBFOLDERS)
WEIGHT_SUFFIXES = (".safetensors",)
FOLDER_MARKERS = ("model_index.json", "config.json")
TOKENIZER_MARKERS = ("tokenizer.json", "vocab.json")


def data_directory() -> Path:
    """The user's folder for downloaded files, by the platform's convention."""
    if sys.platform == "win32":
        base = Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local")
    elif sys.platform == "darwin":
        base = Path.home() / "Library" / "Application Support"
    else:
        base = Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share")
    return base / "acestep-xl"


def search_roots(first: Iterable[Path]) -> list[Path]:
    """Model roots in search order, without duplicates.

    The ``first`` ones, ACESTEP_XL_MODELS (separated like PATH), COMFYUI_PATH/models, ./models, the data directory.
    """
    roots = list(first)
    roots += [Path(part) for part in os.environ.get("ACESTEP_XL_MODELS", "").split(os.pathsep) if part]
    if comfyui := os.environ.get("COMFYUI_PATH"):
        roots.append(Path(comfyui) / "models")
    roots += [Path("models"), data_directory() / "models"]
    return list(dict.fromkeys(root.expanduser().absolute() for root in roots))


def folders_by_kind(roots: Sequence[Path]) -> dict[str, list[Path]]:
    """Search folders by kind, root by root."""
    return {kind: [root / name for root in roots for name in names] for kind, names in SUBFOLDERS.items()}


def list_models(kind: str, folders: Iterable[Path]) -> list[str]:
    """The names of a kind's models in its folders, sorted, with forward slashes."""
    scan = _model_folders if kind == "diffusers" else _weight_files
    return sorted({name for folder in folders for name in scan(folder)})


def folders_for(kind: str, folders: Mapping[str, list[Path]]) -> list[Path]:
    """The folders of one kind. Raises ValueError that lists the known kinds."""
    if kind not in folders:
        raise ValueError(f"unknown model kind {kind!r}; known: {', '.join(folders)}")
    return folders[kind]


def find_model(kind: str, name: str, folders: Sequence[Path]) -> Path:
    """The first file (for diffusers: folder) of that name.

    Raises FileNotFoundError that lists the folders searched and the names available.
    """
    relative = PurePosixPath(name.replace("\\", "/"))
    if not relative.is_absolute() and ".." not in relative.parts and name:
        for folder in folders:
            path = folder / relative
            if path.is_dir() if kind == "diffusers" else path.is_file():
                return path
    available = ", ".join(list_models(kind, folders)) or "none"
    searched = ", ".join(str(folder) for folder in folders)
    raise FileNotFoundError(f"no {name!r} among the {kind}; searched {searched}; available: {available}")


def tokenizer_folders(folders: Iterable[Path]) -> list[Path]:
    """Subfolders, one level deep, that hold a tokenizer."""
    return [child for folder in folders for child in _children(folder) if _has_any(child, TOKENIZER_MARKERS)]


def is_weight_file(name: str) -> bool:
    return name.lower().endswith(WEIGHT_SUFFIXES)


def _weight_files(folder: Path) -> list[str]:
    names: list[str] = []
    for directory, subfolders, files in os.walk(folder, followlinks=True):
        subfolders[:] = [name for name in subfolders if not name.startswith(".")]
        relative = Path(directory).relative_to(folder)
        names += [(relative / name).as_posix() for name in files if is_weight_file(name)]
    return names


def _model_folders(folder: Path) -> list[str]:
    """Model folders one or two levels down; parts inside a model folder are not models themselves."""
    names: list[str] = []
    for child in _children(folder):
        if _has_any(child, FOLDER_MARKERS):
            names.append(child.name)
        else:
            names += [f"{child.name}/{inner.name}" for inner in _children(child) if _has_any(inner, FOLDER_MARKERS)]
    return names


def _children(folder: Path) -> list[Path]:
    if not folder.is_dir():
        return []
    return sorted(child for child in folder.iterdir() if child.is_dir() and not child.name.startswith("."))


def _has_any(folder: Path, files: Iterable[str]) -> bool:
    return any((folder / name).is_file() for name in files)
