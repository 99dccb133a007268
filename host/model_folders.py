"""Where model files are: search folders and the names in them. Standard library only."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from . import extra_model_paths
from .comfyui_location import comfyui_folders, desktop_configs, is_comfyui
from .directory_walk import Folder, resolve, walk

# Kind -> subfolders of a model root. The second names are ComfyUI's older ones, which people still use.
SUBFOLDERS: dict[str, tuple[str, ...]] = {
    "checkpoints": ("checkpoints",),
    "diffusion_models": ("diffusion_models", "unet"),
    "text_encoders": ("text_encoders", "clip"),
    "vae": ("vae",),
    "diffusers": ("diffusers",),
    "loras": ("loras",),
}
KINDS = tuple(SUBFOLDERS)
WEIGHT_SUFFIXES = (".safetensors", ".gguf")
PIPELINE = "model_index.json"
FOLDER_MARKERS = {PIPELINE, "config.json", "model.safetensors.index.json"}
FOLDER_DEPTH = 2  # levels below a search folder on which folders are models
TOKENIZER_MARKERS = {"tokenizer.json", "vocab.json"}
# Weights of a model folder: one file, shards, or their index.
_PUBLISHED = re.compile(r"((pytorch_|diffusion_pytorch_)?model)(-\d+-of-\d+)?\.(safetensors|bin)", re.IGNORECASE)


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
    """Model roots in search order, without duplicates: folders, and files like ComfyUI's extra_model_paths.yaml.

    The ``first`` ones, ACESTEP_XL_MODELS (separated like PATH), COMFYUI_PATH/models, the models of the ComfyUI that the
    pack is installed in and of ComfyUI's desktop applications, ./models, the data directory.
    """
    roots = list(first)
    roots += [Path(part) for part in os.environ.get("ACESTEP_XL_MODELS", "").split(os.pathsep) if part]
    roots = [root / "models" if is_comfyui(root) else root for root in roots]
    roots += [folder / "models" for folder in comfyui_folders()]
    roots += desktop_configs()
    roots += [Path("models"), data_directory() / "models"]
    return list(dict.fromkeys(root.expanduser().absolute() for root in roots))


def folders_by_kind(roots: Sequence[Path]) -> dict[str, list[Path]]:
    """Search folders by kind, root by root, with those that a root's extra_model_paths.yaml adds, or the root itself.

    Raises ValueError for such a file that can't be read.
    """
    folders: dict[str, list[Path]] = {kind: [] for kind in SUBFOLDERS}
    for root in roots:
        config = extra_model_paths.config_of(root)
        extra = extra_model_paths.read(config) if config else []
        bases = [] if root == config else [root]
        bases += [entry.path for entry in extra if entry.kind == extra_model_paths.MODELS]
        for kind, names in SUBFOLDERS.items():
            own = [base / name for base in bases for name in names]
            if kind == "diffusers":
                own += [folder for base in bases for folder in official_folders(base)]
            added = [entry for entry in extra if _kind_of(entry.kind) == kind]
            # As in ComfyUI, each default folder goes before all that were there.
            folders[kind] += [entry.path for entry in reversed(added) if entry.first]
            folders[kind] += own + [entry.path for entry in added if not entry.first]
    return {kind: list(dict.fromkeys(paths)) for kind, paths in folders.items()}


def official_folders(root: Path) -> list[Path]:
    """Folders in a model root that are laid out as the official application's checkpoints folder.

    That may be the root itself, and folders that it and other packs name after the model, as ``Ace-Step1.5``.
    """
    if not root.is_dir():
        return []
    children = [_folder(path) for path in _folder(root).subfolders if is_named_like_model(path.name)]
    outer = [child.path for child in children if not _holds_model(child)]
    inner = [path / "checkpoints" for path in outer if (path / "checkpoints").is_dir()]
    return [*([root] if len(outer) < len(children) else []), *outer, *inner]


def _folder(path: Path) -> Folder:
    return next(walk([path], depth=0))


def is_named_like_model(name: str) -> bool:
    return re.search(r"ace.?step", name, re.IGNORECASE) is not None


def _kind_of(name: str) -> str:
    return "diffusers" if is_named_like_model(name) else name


def list_models(kind: str, folders: Iterable[Path]) -> list[str]:
    """The names of a kind's models in its folders, sorted, with forward slashes.

    A model is a weight file, or a folder with a config; the files of such a folder are not models themselves. The kind
    "diffusers" has folders only.
    """
    deepest = FOLDER_DEPTH if kind == "diffusers" else None
    names: set[str] = set()
    for folder in walk(folders, enter=lambda folder: not _is_model(folder), depth=deepest):
        if _is_model(folder):
            names.add(folder.name)
        if kind != "diffusers":
            names |= {folder.name_of(file) for file in _loose_weights(folder)}
    return sorted(names)


def folders_for(kind: str, folders: Mapping[str, list[Path]]) -> list[Path]:
    """The folders of one kind. Raises ValueError that lists the known kinds."""
    if kind not in folders:
        raise ValueError(f"unknown model kind {kind!r}; known: {', '.join(folders)}")
    return folders[kind]


def find_model(kind: str, name: str, folders: Sequence[Path]) -> Path:
    """The first file (for diffusers: folder) of that name.

    Raises FileNotFoundError that lists the folders searched and the names available.
    """
    for folder in folders:
        path = resolve(folder, name)
        if path is not None and (path.is_dir() or kind != "diffusers"):
            return path
    available = ", ".join(list_models(kind, folders)) or "none"
    searched = ", ".join(str(folder) for folder in folders)
    raise FileNotFoundError(f"no {name!r} among the {kind}; searched {searched}; available: {available}")


def tokenizer_folders(folders: Iterable[Path]) -> list[Path]:
    """Subfolders, one level deep, that hold a tokenizer."""
    return [folder.path for folder in walk(folders, depth=1) if folder.depth and folder.files & TOKENIZER_MARKERS]


def is_weight_file(name: str) -> bool:
    return name.lower().endswith(WEIGHT_SUFFIXES)


def _is_model(folder: Folder) -> bool:
    """Whether a folder in a search folder is one model."""
    return 0 < folder.depth <= FOLDER_DEPTH and _holds_model(folder)


def _holds_model(folder: Folder) -> bool:
    """Whether a folder has a config, and weights under the names that publishers give them or in parts."""
    if not folder.files & FOLDER_MARKERS:
        return False
    weights = [name for name in folder.files if is_weight_file(name)]
    return PIPELINE in folder.files or any(map(_PUBLISHED.match, folder.files)) or not (weights or folder.subfolders)


def _loose_weights(folder: Folder) -> set[str]:
    weights = {name for name in folder.files if is_weight_file(name)}
    return {name for name in weights if not _PUBLISHED.match(name)} if _is_model(folder) else weights
