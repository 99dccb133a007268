"""How much memory the work needs beside the weights: an upper bound in bytes, close to what is used.

The factors were measured on the real architecture by following every tensor of a run; a test repeats that.
"""

from __future__ import annotations

import torch
from torch import nn

from ...model.config import Config, StackWidth
from ...model.network import AceStep
from ...model.text import CAPTION_LIMIT, LYRIC_LIMIT
from ...model.vae.oobleck import Oobleck
from ..run import Run
from . import speed

# Tensors per token at the peak of a layer: inner vectors of the MLP, and outer ones.
INNER, OUTER = 3, 5
# Windowed attention holds three windows of keys and values per token, on graphics cards also one for every head.
WINDOWS, HEADS = 3, 8
# Encoders mask their padding; on graphics cards the mask becomes a number for every pair of tokens.
PAIRS = 2
# Copies of the text encoder's attention scores, which it computes without a fused kernel.
TEXT_SCORES = 13
# Latents that a guided step holds in float32: the state, both velocities, guidance and the estimate.
LATENTS = 16
# Copies of the VAE's widest activation at once, the convolution's workspace included.
VAE_COPIES = 5


def sampling(network: AceStep, run: Run, device: torch.device, batch_halves: bool | None = None) -> int:
    """The peak over encoding the prompt, the audio codes and the steps.

    batch_halves: whether the halves of a guided step share a batch; None: as the predictor chooses.
    """
    config, item = network.config, _item(network.null_condition_emb.dtype)
    is_cpu = device.type == "cpu"
    # Left to itself, the predictor runs the two halves one after the other on a CPU.
    halves = 2 if run.is_guided and (not is_cpu if batch_halves is None else batch_halves) else 1
    tokens = -(-run.frames // config.patch_size) * run.songs * halves
    step = tokens * _per_token(config.decoder, item, is_cpu) + _resident(config, run, item)
    windows = -(-run.frames // config.pool_window) * (config.pool_window + 1) * run.songs
    codes = windows * _per_token(config.encoder, item, is_cpu) if run.uses_codes else 0
    peak = max(_encoding(config, run, item, is_cpu), codes, step)
    return peak + speed.memory(network, run.songs, run.frames)


def text(model: nn.Module) -> int:
    """The text encoder over the longest caption, and the embedding of the longest lyrics, in float32."""
    inner = max((weight.shape[0] for name, weight in model.named_parameters() if "gate_proj" in name), default=0)
    hidden = model.get_parameter("embed_tokens.weight").shape[1]
    layer = CAPTION_LIMIT * 4 * (INNER * inner + 2 * OUTER * hidden)
    scores = CAPTION_LIMIT**2 * TEXT_SCORES * (hidden // 64)
    return layer + scores + 2 * LYRIC_LIMIT * hidden * 4 + speed.unpacking(model)


def vae(oobleck: Oobleck, chunk_frames: int) -> int:
    """One chunk through the encoder or the decoder."""
    config = oobleck.config
    frames = chunk_frames + 2 * max(oobleck.decode_overlap, oobleck.encode_overlap)
    channels = max(config.decoder_channels, config.encoder_channels)
    item = _item(next(oobleck.parameters()).dtype)
    return frames * config.hop * (channels * item * VAE_COPIES + 4 * config.audio_channels)


def _per_token(width: StackWidth, item: int, is_cpu: bool) -> int:
    mlp = INNER * width.intermediate + OUTER * width.hidden
    repeated_heads = 0 if is_cpu else width.heads
    attention = width.head_dim * (2 * WINDOWS * (width.kv_heads + repeated_heads) + HEADS * width.heads)
    return item * max(mlp, attention)


def _encoding(config: Config, run: Run, item: int, is_cpu: bool) -> int:
    """The condition encoder: lyrics and timbre references go through it one after the other."""
    size, prompts = run.prompt_size, len(run.prompts)
    tokens = max(size.lyrics, size.references * (config.timbre_frames + 1)) * prompts
    pairs = 0 if is_cpu else PAIRS * item * size.lyrics**2 * prompts
    return tokens * _per_token(config.encoder, item, is_cpu) + pairs


def _resident(config: Config, run: Run, item: int) -> int:
    """What stays for the whole run: keys and values of the prompts, the context and the latents."""
    size = run.prompt_size
    tokens = size.lyrics + size.caption + size.references
    keys = 2 * tokens * config.decoder.kv_heads * config.decoder.head_dim * config.decoder_layers
    states = tokens * (config.encoder.hidden + config.decoder.hidden)
    prompts = len(run.prompts) * (2 if run.negative else 1)
    latents = run.frames * config.latent_channels * (LATENTS * 4 + 2 * item)
    return prompts * (keys + states) * item + run.songs * latents


def _item(dtype: torch.dtype) -> int:
    """Bytes per number. In fp16 what would overflow is float32, so everything is counted as float32."""
    return 4 if dtype == torch.float16 else dtype.itemsize
