"""ComfyUI's extra_model_paths.yaml: model folders outside of ComfyUI, read by ComfyUI's rules."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, NamedTuple

FILE_NAME = "extra_model_paths.yaml"
# Older names of folders that ComfyUI still reads.
RENAMED = {"unet": "diffusion_models", "clip": "text_encoders"}
# What ComfyUI's desktop application calls its models folder, which has the usual subfolders.
MODELS = "download_model_base"


class ExtraFolder(NamedTuple):
    """kind: ComfyUI's name for what is in the folder. first: whether it is searched before ComfyUI's own."""

    kind: str
    path: Path
    first: bool


def config_of(models: Path) -> Path | None:
    """The file that belongs to a ComfyUI's models folder, if there is one; the path itself if it is such a file."""
    if models.suffix.lower() in (".yaml", ".yml") and not models.is_dir():
        return models
    config = models.parent / FILE_NAME
    return config if config.is_file() else None


def read(config: Path) -> list[ExtraFolder]:
    """The folders that the file adds, in its order. Raises ValueError that says what is wrong with the file."""
    import yaml

    try:
        sections = yaml.safe_load(config.read_text(encoding="utf-8-sig"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ValueError(f"{config} is not valid YAML: {error}; correct it as its example beside it shows") from error
    except OSError as error:
        raise ValueError(f"cannot read {config}: {error.strerror or error}; correct its path or its rights") from error
    if sections is None:
        return []
    if not isinstance(sections, dict):
        raise ValueError(f"{config} holds a {type(sections).__name__}, expected sections with folders in them")
    filled = {name: section for name, section in sections.items() if section is not None}
    return [folder for name, section in filled.items() for folder in _section(config, name, section)]


def _section(config: Path, name: Any, section: Any) -> list[ExtraFolder]:
    if not isinstance(section, dict):
        raise ValueError(f"{config}: section {name!r} is {section!r}, expected folders such as `checkpoints: models`")
    base = config.parent
    if section.get("base_path"):
        base = base / os.path.expandvars(os.path.expanduser(str(section["base_path"])))
    first = bool(section.get("is_default", False))
    folders = []
    for kind, value in section.items():
        if kind in ("base_path", "is_default"):
            continue
        lines = value.split("\n") if isinstance(value, str) else value
        if not isinstance(lines, list) or not all(isinstance(line, str) for line in lines):
            raise ValueError(f"{config}: {kind} of section {name!r} is {value!r}, expected one folder or several lines")
        folders += [
            ExtraFolder(RENAMED.get(kind, str(kind)), Path(os.path.normpath(base / line.strip())), first)
            for line in lines
            if line.strip()
        ]
    return folders
