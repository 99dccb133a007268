"""Writes a trained state as a checkpoint in the official layout, in half precision."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor

from acestep_xl.model.config import Config
from acestep_xl.model.tokens import save_tokenizer

from . import dataset, objective, train_text, train_vae

TEXT_FOLDER = "Qwen3-Embedding-0.6B"  # the name the layout asks for
SILENT_FRAMES = 5000  # 200 s; later the clock stands still


def pack(state: Path, scale: np.ndarray, folder: Path, card: str) -> int:
    """Write the averaged weights of a training state; returns the checkpoint's size in bytes.

    scale: `[64]` of the VAE. card: the text of its README. An older folder is replaced when the new one is complete.
    """
    unfinished = folder.with_name(f"{folder.name}.{os.getpid()}.part")
    shutil.rmtree(unfinished, ignore_errors=True)
    (unfinished / "vae").mkdir(parents=True)
    average = torch.load(state, map_location="cpu", weights_only=True)["average"]
    network = {name.removeprefix("network."): half(v) for name, v in average.items() if name.startswith("network.")}
    text = {name.removeprefix("text."): half(v) for name, v in average.items() if name.startswith("text.")}
    save_file(network, unfinished / "model.safetensors")
    (unfinished / "config.json").write_text(json.dumps(official(objective.CONFIG), indent=2) + "\n")
    _pack_text(unfinished / TEXT_FOLDER, text)
    vae = train_vae.build(scale)
    save_file(
        {name: half(value) for name, value in vae.state_dict().items()},
        unfinished / "vae" / "diffusion_pytorch_model.safetensors",
    )
    silence = torch.tensor(dataset.silence(SILENT_FRAMES)).T[None]
    torch.save(silence.half().contiguous(), unfinished / "silence_latent.pt")
    (unfinished / "README.md").write_text(card, encoding="utf-8")
    shutil.rmtree(folder, ignore_errors=True)
    unfinished.rename(folder)
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def half(value: Tensor) -> Tensor:
    """In fp16. Raises ValueError where that format can't hold it."""
    small = value.detach().to(torch.float16).contiguous()
    if not torch.isfinite(small).all():
        raise ValueError("a weight is NaN or beyond fp16's 65504; the training has diverged")
    return small


def _pack_text(folder: Path, state: dict[str, Tensor]) -> None:
    folder.mkdir()
    tokenizer = train_text.make_tokenizer()
    save_tokenizer(tokenizer, folder)
    save_file(state, folder / "model.safetensors")
    config = {**train_text.CONFIG, "vocab_size": tokenizer.get_vocab_size()}
    (folder / "config.json").write_text(json.dumps(config, indent=2) + "\n")


def official(config: Config) -> dict[str, object]:
    """The fields of the official config.json."""
    own = {
        "hidden_size": config.decoder.hidden,
        "intermediate_size": config.decoder.intermediate,
        "num_attention_heads": config.decoder.heads,
        "num_key_value_heads": config.decoder.kv_heads,
        "head_dim": config.decoder.head_dim,
        "encoder_hidden_size": config.encoder.hidden,
        "encoder_intermediate_size": config.encoder.intermediate,
        "encoder_num_attention_heads": config.encoder.heads,
        "encoder_num_key_value_heads": config.encoder.kv_heads,
    }
    if config.encoder.head_dim != config.decoder.head_dim:
        raise ValueError("the official config has one head_dim for the encoder and the decoder")
    return {
        **own,
        "num_hidden_layers": config.decoder_layers,
        "num_lyric_encoder_hidden_layers": config.lyric_layers,
        "num_timbre_encoder_hidden_layers": config.timbre_layers,
        "num_attention_pooler_hidden_layers": config.pooler_layers,
        "text_hidden_dim": config.text_dim,
        "audio_acoustic_hidden_dim": config.latent_channels,
        "patch_size": config.patch_size,
        "pool_window_size": config.pool_window,
        "fsq_dim": config.encoder.hidden,
        "fsq_input_levels": list(config.fsq_levels),
        "fsq_input_num_quantizers": 1,
        "timbre_fix_frame": config.timbre_frames,
        "sliding_window": config.sliding_window,
        "rope_theta": config.rope_theta,
        "rms_norm_eps": config.norm_eps,
        "model_version": "sft",
        "is_turbo": False,
        "model_type": "acestep",
    }
