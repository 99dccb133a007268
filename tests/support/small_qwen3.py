"""A small Qwen3 with random weights, in every layout in which text encoders are distributed, and prompts for it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor

from acestep_xl.model import qwen3, tokenizer
from acestep_xl.model.prompt import Metadata, Prompt, instruction
from acestep_xl.model.text import TextEncoder

Layout = tuple[dict[str, Tensor], dict[str, Any] | None]  # tensors, and the content of config.json if there is one

LONG_SONG = "[Verse]\nNeon rain on midnight streets, ürümqi 東京 🎹\n\n[Chorus]\nStay a while\n" * 280


def prompt_of(caption: str = "soft piano", lyrics: str = "[Verse]\nla la", language: str = "en") -> Prompt:
    metadata = Metadata(bpm=90, time_signature="4", key_scale="C# minor", duration=120)
    return Prompt(caption, lyrics, language, metadata, instruction("text2music"))


PROMPTS = [
    prompt_of(),
    prompt_of("a", "[Instrumental]", "unknown"),
    prompt_of("", ""),
    prompt_of("long " * 60, LONG_SONG, "ja"),
]


def write_official(folder: Path) -> None:
    """The official layout, written by transformers."""
    from transformers import Qwen3Config, Qwen3Model

    torch.manual_seed(0)
    shape: dict[str, Any] = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 3, "head_dim": 16}
    heads: dict[str, Any] = {"num_attention_heads": 4, "num_key_value_heads": 2, "vocab_size": 300}
    values = {"rope_theta": 1e6, "rms_norm_eps": 1e-6, "max_position_embeddings": 4096}
    model = Qwen3Model(Qwen3Config.from_dict(shape | heads | values))
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            parameter.normal_(1.5 if "norm" in name else 0.0, 0.3)  # large enough for every part to show
    model.save_pretrained(folder)
    tokenizer.save_tokenizer(tokenizer.demo_tokenizer(), folder)


def layouts(folder: Path) -> dict[str, Layout]:
    """The tensors of an official folder as each layout names them."""
    official = load_file(folder / "model.safetensors")
    other = {"text_encoders.qwen3_2b.transformer.model.norm.weight": torch.zeros(7), "vae.x": torch.zeros(1)}
    return {
        "official": (official, json.loads((folder / "config.json").read_text())),
        "comfyui": ({f"model.{key}": value for key, value in official.items()}, None),
        "causal lm": (
            {f"model.{key}": value for key, value in official.items()}
            | {"lm_head.weight": official["embed_tokens.weight"]},
            None,
        ),
        "all in one": (
            {f"text_encoders.qwen3_06b.transformer.model.{key}": value for key, value in official.items()} | other,
            None,
        ),
    }


def shapes_of(layout: Layout) -> tuple[dict[str, tuple[int, ...]], dict[str, Any] | None]:
    return {key: tuple(value.shape) for key, value in layout[0].items()}, layout[1]


def load(layout: Layout, tokenizer_folder: Path) -> TextEncoder:
    model = qwen3.build_text_model(qwen3.qwen3_config(*shapes_of(layout)))
    model.load_state_dict(qwen3.text_state(layout[0]), strict=True, assign=True)
    return TextEncoder(model, tokenizer.load_tokenizer(tokenizer_folder))
