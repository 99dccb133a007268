"""What the VAE encodes silence to, as published with ACE-Step 1.5."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from safetensors.torch import load_file
from torch import Tensor

_FILE = Path(__file__).with_name("silence.safetensors")


@cache
def published_silence() -> Tensor:
    """The first frames of encoded silence, ``[t c]``; the last one repeats. To four digits, as ComfyUI has them."""
    return load_file(_FILE)["silence"]
