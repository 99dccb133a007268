"""Packs a training state as a checkpoint in the official layout, in fp16."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor

from acestep_xl.model.config import to_official
from acestep_xl.model.tokenizer import save_tokenizer

from . import dataset, objective, train_text, train_vae

TEXT_FOLDER = "Qwen3-Embedding-0.6B"  # the name in the official layout
SILENT_FRAMES = 5000  # 200 s, after which the clock stands still


def pack(state: Path, scale: np.ndarray, folder: Path, card: str) -> int:
    """Write the averaged weights of a training state; returns the checkpoint's size in bytes.

    scale: `[64]` of the VAE. card: the text of the README. An existing folder is replaced once the new one is complete.
    """
    part = folder.with_name(f"{folder.name}.{os.getpid()}.part")
    shutil.rmtree(part, ignore_errors=True)
    (part / "vae").mkdir(parents=True)
    average = torch.load(state, map_location="cpu", weights_only=True)["average"]
    network = {name.removeprefix("network."): half(v) for name, v in average.items() if name.startswith("network.")}
    text = {name.removeprefix("text."): half(v) for name, v in average.items() if name.startswith("text.")}
    save_file(network, part / "model.safetensors")
    config = to_official(objective.CONFIG) | {"model_version": "sft", "is_turbo": False}
    (part / "config.json").write_text(json.dumps(config, indent=2) + "\n")
    _pack_text(part / TEXT_FOLDER, text)
    vae = train_vae.build(scale)
    save_file(
        {name: half(value) for name, value in vae.state_dict().items()},
        part / "vae" / "diffusion_pytorch_model.safetensors",
    )
    silence = torch.tensor(dataset.silence(SILENT_FRAMES)).T[None]
    torch.save(silence.half().contiguous(), part / "silence_latent.pt")
    (part / "README.md").write_text(card, encoding="utf-8")
    shutil.rmtree(folder, ignore_errors=True)
    part.rename(folder)
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def half(value: Tensor) -> Tensor:
    """Convert to fp16. Raises ValueError for values out of its range."""
    converted = value.detach().to(torch.float16).contiguous()
    if not torch.isfinite(converted).all():
        raise ValueError("a weight is NaN or beyond fp16's 65504; the training has diverged")
    return converted


def _pack_text(folder: Path, state: dict[str, Tensor]) -> None:
    folder.mkdir()
    tokenizer = train_text.make_tokenizer()
    save_tokenizer(tokenizer, folder)
    save_file(state, folder / "model.safetensors")
    config = {**train_text.CONFIG, "vocab_size": tokenizer.get_vocab_size()}
    (folder / "config.json").write_text(json.dumps(config, indent=2) + "\n")
