"""What the VAE encodes silence to, as published with ACE-Step 1.5."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor

_FILE = Path(__file__).with_name("silence.safetensors")


@cache
def published_silence() -> Tensor:
    """The first frames of encoded silence, ``[t c]``; the last one repeats. To four digits, as ComfyUI has them."""
    return load_file(_FILE)["silence"]


def lengthen(silence: Tensor, frames: int) -> Tensor:
    """A silence latent ``[t c]`` over so many frames; beyond its length the last frame repeats."""
    missing = frames - len(silence)
    if missing <= 0:
        return silence[:frames]
    return torch.cat([silence, silence[-1:].expand(missing, -1)])
