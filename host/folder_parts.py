"""Which part of ACE-Step 1.5 a model folder holds, by its config. Standard library only."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Literal

Part = Literal["model", "text_encoder", "vae", "planner", "other", "unknown"]
PLANNER_VOCABULARY = 217204  # of the 5 Hz language model, whose config is otherwise like the text encoder's
NAMES: dict[Part, str] = {
    "text_encoder": "a text encoder",
    "vae": "a VAE",
    "planner": "a language model, not supported yet",
    "other": "another model",
}


def part_of(folder: Path) -> Part:
    """The part in a folder; "other" for another model's, "unknown" where the config says nothing or can't be read."""
    pipeline = _read(folder / "model_index.json")
    if pipeline.get("_class_name"):
        return "model" if str(pipeline["_class_name"]).startswith("AceStep") else "other"
    config = _read(folder / "config.json")
    kind, name = config.get("model_type"), str(config.get("_class_name") or "")
    architectures = str(config.get("architectures") or "")
    if kind == "acestep" or "AceStep" in architectures:
        return "model"
    if kind == "qwen3":
        return "planner" if config.get("vocab_size") == PLANNER_VOCABULARY else "text_encoder"
    if name:
        return "vae" if name == "AutoencoderOobleck" else "other"
    return "other" if kind or architectures else "unknown"


def _read(path: Path) -> dict[str, Any]:
    """A JSON object; empty for anything else, which is reported to whoever chooses the folder."""
    try:
        value = json.loads(path.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}
