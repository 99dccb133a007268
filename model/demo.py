"""The demo checkpoint: a tiny model of the same architecture, shipped with the pack, that makes simple tunes.

It was trained by `training/`; `demo_checkpoint/README.md` says what it can do. It loads like any official folder.
"""

from __future__ import annotations

from pathlib import Path

import torch

from .checkpoint import load_network, load_text_encoder, load_vae
from .layouts import recognise
from .network import AceStep
from .text import TextEncoder
from .vae.oobleck import Oobleck

NAME = "demo"
NOTICE = "the demo network is tiny and knows only tunes that a program composed: do not judge ACE-Step's music by it"

FOLDER = Path(__file__).parent / "demo_checkpoint"
# The real limits of 256 and 2048 tokens at about four bytes a token: unknown words take one token per byte.
CAPTION_TOKENS, LYRIC_TOKENS = 1024, 8192


def load(folder: Path = FOLDER) -> tuple[AceStep, TextEncoder, Oobleck]:
    """All three networks, ready to run on the CPU in float32. Raises CheckpointError for a damaged file."""
    layout, cpu = recognise(folder), torch.device("cpu")
    if layout.vae is None or layout.text is None:
        raise FileNotFoundError(f"{folder} lacks its VAE or its text encoder; install the pack again")
    loaded = load_text_encoder(layout.text, layout.text.path, torch.float32, cpu)
    encoder = TextEncoder(loaded.model, loaded.tokenizer, CAPTION_TOKENS, LYRIC_TOKENS)
    return load_network(layout, torch.float32, cpu), encoder, load_vae(layout.vae, torch.float32, cpu)
