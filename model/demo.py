"""The demo checkpoint: a tiny model of the same architecture that comes with the pack and makes simple tunes.

`training/` made it and `demo_checkpoint/README.md` says what it can do. It is read like any other official folder.
"""

from __future__ import annotations

from pathlib import Path

import torch

from .checkpoint import load_network, load_text_encoder, load_vae
from .layouts import recognise
from .network import AceStep
from .text import TextEncoder
from .vae import Oobleck

NAME = "demo"
NOTICE = "the demo network is tiny and knows only tunes that a program composed: do not judge ACE-Step's music by it"

FOLDER = Path(__file__).parent / "demo_checkpoint"
# The real limits of 256 and 2048 tokens, at about four bytes a token: words it does not know take a token per byte.
CAPTION_TOKENS, LYRIC_TOKENS = 1024, 8192


def load(folder: Path = FOLDER) -> tuple[AceStep, TextEncoder, Oobleck]:
    """All three parts, ready to run on the CPU in float32. Raises CheckpointError where a file is damaged."""
    layout, cpu = recognise(folder), torch.device("cpu")
    if layout.vae is None or layout.text is None:
        raise FileNotFoundError(f"{folder} lacks its VAE or its text encoder; install the pack again")
    read = load_text_encoder(layout.text, layout.text.path, torch.float32, cpu)
    encoder = TextEncoder(read.model, read.tokenizer, CAPTION_TOKENS, LYRIC_TOKENS)
    return load_network(layout, torch.float32, cpu), encoder, load_vae(layout.vae, torch.float32, cpu)
