"""ComfyUI's node classes as the runner calls them."""

from __future__ import annotations

from typing import Any

import torch

from acestep_xl.nodes.native.table import NATIVE_CLASS_MAPPINGS


def call(name: str, /, **inputs: Any) -> Any:
    """Run a class by its id; returns its outputs, or what an output node shows."""
    node: Any = NATIVE_CLASS_MAPPINGS[name]
    with torch.inference_mode():
        return getattr(node(), node.FUNCTION)(**inputs)


def audio(rate: int, *channels: float, seconds: float = 0.1, songs: int = 1) -> dict[str, Any]:
    """Audio whose channels hold constants."""
    samples = round(rate * seconds)
    return {"waveform": torch.tensor(channels)[None, :, None].repeat(songs, 1, samples), "sample_rate": rate}
