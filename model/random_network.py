"""A network with random weights from a fixed seed: the real classes in a few hundred kilobytes.

For tests and benchmarks of arithmetic; its output is not music.
"""

from __future__ import annotations

import zlib
from typing import TypeVar

import torch
from torch import nn

from .checkpoint import give_silence
from .config import Config, StackWidth
from .network import AceStep
from .qwen3 import build_text_model, qwen3_config
from .text import TextEncoder
from .tokenizer import demo_tokenizer
from .vae.config import VAEConfig
from .vae.oobleck import Oobleck

M = TypeVar("M", bound=nn.Module)

CONFIG = Config(
    decoder=StackWidth(hidden=64, intermediate=128, heads=4, kv_heads=2, head_dim=16),
    encoder=StackWidth(hidden=48, intermediate=96, heads=4, kv_heads=2, head_dim=16),
    decoder_layers=4,
    lyric_layers=2,
    timbre_layers=2,
    pooler_layers=2,
    text_dim=32,
)
VAE_CONFIG = VAEConfig(encoder_channels=4, decoder_channels=4)
TEXT_CONFIG = {
    "model_type": "qwen3",
    "hidden_size": CONFIG.text_dim,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "head_dim": 16,
}
# The real limits of 256 and 2048 tokens at about four bytes a token.
CAPTION_BYTES, LYRIC_BYTES = 1024, 8192
VAE_GAIN = 0.8  # keeps latents and waveforms near unit scale


def network() -> AceStep:
    """The network without its silence latent; see ``give_silence``."""
    with torch.device("meta"):
        model = AceStep(CONFIG, "sft")
    model.to_empty(device="cpu")
    model.silence = torch.empty(0, CONFIG.latent_channels)
    return fill(model).eval()


def vae() -> Oobleck:
    """The VAE, with the real strides and latent channels, so lengths and rates are real."""
    return fill(Oobleck(VAE_CONFIG), VAE_GAIN).eval()


def text_encoder() -> TextEncoder:
    """The text encoder; its tokenizer has one token per byte and reads any text."""
    tokenizer = demo_tokenizer()
    vocabulary = tokenizer.get_vocab_size()
    shapes = {"embed_tokens.weight": (vocabulary, CONFIG.text_dim)}
    model = build_text_model(qwen3_config(shapes, {**TEXT_CONFIG, "vocab_size": vocabulary}))
    model.to_empty(device="cpu")
    return TextEncoder(fill(model).eval(), tokenizer, CAPTION_BYTES, LYRIC_BYTES)


def load() -> tuple[AceStep, TextEncoder, Oobleck]:
    """All three networks, ready to run."""
    model, autoencoder = network(), vae()
    give_silence(model, autoencoder)
    return model, text_encoder(), autoencoder


@torch.no_grad()
def fill(module: M, gain: float = 1.0) -> M:
    """Draw every parameter from a generator seeded by its name: the same on every machine and in any order.

    Matrices preserve the scale of their input; norms are near one; biases and Snake's logarithms are small.
    """
    for name, parameter in module.named_parameters():
        generator = torch.Generator("cpu").manual_seed(zlib.crc32(name.encode()))
        noise = torch.randn(parameter.shape, generator=generator)
        if parameter.ndim == 1 and "norm" in name:
            parameter.copy_(1 + 0.1 * noise)
        elif parameter.ndim == 1 or name.endswith((".alpha", ".beta", "scale_shift_table")):
            parameter.copy_(0.1 * noise)
        else:
            parameter.copy_(gain * noise / max(1, parameter[0].numel()) ** 0.5)
    return module.requires_grad_(False)
