"""Which part of ACE-Step 1.5 a model folder holds, told from its config."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from .formats.contents import PLANNER_VOCABULARY
from .formats.tensors import CheckpointError, read_json

Part = Literal["model", "text_encoder", "vae", "planner", "other", "unknown"]


def part_of(folder: Path) -> Part:
    """The part in a folder; "other" for another model's, "unknown" where the config says nothing or can't be read."""
    pipeline = _read(folder / "model_index.json")
    if pipeline.get("_class_name"):
        return "model" if str(pipeline["_class_name"]).startswith("AceStep") else "other"
    config = _read(folder / "config.json")
    kind, name = config.get("model_type"), str(config.get("_class_name") or "")
    architectures = [str(item) for item in config.get("architectures") or []]
    if kind == "acestep" or any(item.startswith("AceStep") for item in architectures):
        return "model"
    if kind == "qwen3":
        return "planner" if config.get("vocab_size") == PLANNER_VOCABULARY else "text_encoder"
    if name:
        return "vae" if name == "AutoencoderOobleck" else "other"
    return "other" if kind or architectures else "unknown"


def _read(path: Path) -> dict[str, Any]:
    try:
        return read_json(path) if path.is_file() else {}
    except (CheckpointError, OSError):
        return {}  # whoever chooses the folder is told what is wrong with it
