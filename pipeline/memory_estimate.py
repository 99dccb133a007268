"""How much memory the work needs beside the weights. Bytes; an upper bound that stays close to what is used.

The numbers of copies were measured on the real architecture by following every tensor a run makes; a test repeats it.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import nn

from ..model.config import Config, Width
from ..model.network import AceStep
from ..model.text import CAPTION_LIMIT, LYRIC_LIMIT
from ..model.vae import Oobleck

# Per token, the widest moment of a layer: the MLP's inner vectors and some of the outer ones.
INNER, OUTER = 3, 5
# Attention over a window holds three windows of keys and values per token, on graphics cards also one for every head.
WINDOWS, HEADS = 3, 7
# Encoders mask their padding; on graphics cards the mask becomes a number for every pair of tokens.
PAIRS = 2
# The text encoder's own attention, spelled out with its scores.
TEXT_SCORES = 13
# Latents a guided step holds: the state, both velocities, guidance and the estimate; float32.
LATENTS = 16
# Copies of the VAE's widest activation at once, the convolution's own workspace included.
VAE_COPIES = 5


@dataclass(frozen=True)
class Song:
    """What a run is about. songs: in the batch. frames: latent frames of each. prompts: one for all songs or one for
    each. lyrics, caption: their tokens. references: timbre references per prompt. guided: whether steps are guided.
    negative: whether a second prompt is kept beside the first. codes: whether the source goes through audio codes."""

    songs: int
    frames: int
    prompts: int
    lyrics: int
    caption: int
    references: int = 1
    guided: bool = True
    negative: bool = False
    codes: bool = False


def sampling(network: AceStep, song: Song, device: torch.device, together: bool | None = None) -> int:
    """A whole run of the network: the prompt's encoding, the audio codes and the steps, whichever needs most.

    together: whether the halves of a guided step are computed in one batch; None: as the predictor does unasked.
    """
    config, item = network.config, _item(network.null_condition_emb.dtype)
    fused = device.type == "cpu"
    # Unasked, a CPU computes the two halves of a guided step one after the other.
    halves = 2 if song.guided and (not fused if together is None else together) else 1
    tokens = -(-song.frames // config.patch_size) * song.songs * halves
    step = tokens * _per_token(config.decoder, item, fused)
    prompt = _encoding(config, song, item, fused)
    windows = -(-song.frames // config.pool_window) * (config.pool_window + 1) * song.songs
    codes = windows * _per_token(config.encoder, item, fused) if song.codes else 0
    return max(prompt, codes, step + _kept(config, song, item))


def text(model: nn.Module) -> int:
    """The text encoder over the longest caption, and the embedding of the longest lyrics, in float32."""
    inner = max((weight.shape[0] for name, weight in model.named_parameters() if "gate_proj" in name), default=0)
    hidden = model.get_parameter("norm.weight").numel()
    layer = CAPTION_LIMIT * 4 * (INNER * inner + 2 * OUTER * hidden)
    scores = CAPTION_LIMIT**2 * TEXT_SCORES * (hidden // 64)
    return layer + scores + 2 * LYRIC_LIMIT * hidden * 4


def vae(oobleck: Oobleck, chunk_frames: int) -> int:
    """A chunk through the encoder or the decoder."""
    config = oobleck.config
    frames = chunk_frames + 2 * max(oobleck.decode_overlap, oobleck.encode_overlap)
    channels = max(config.decoder_channels, config.encoder_channels)
    item = _item(next(oobleck.parameters()).dtype)
    return frames * config.hop * (channels * item * VAE_COPIES + 4 * config.audio_channels)


def _per_token(width: Width, item: int, fused: bool) -> int:
    wide = INNER * width.intermediate + OUTER * width.hidden
    spread = 0 if fused else width.heads
    windows = width.head_dim * (2 * WINDOWS * (width.kv_heads + spread) + HEADS * width.heads)
    return item * max(wide, windows)


def _encoding(config: Config, song: Song, item: int, fused: bool) -> int:
    """The condition encoder: lyrics and timbre references go through it one after the other."""
    longest = max(song.lyrics, song.references * (config.timbre_frames + 1)) * song.prompts
    pairs = 0 if fused else PAIRS * item * song.lyrics**2 * song.prompts
    return longest * _per_token(config.encoder, item, fused) + pairs


def _kept(config: Config, song: Song, item: int) -> int:
    """Keys and values of the prompts, the context and the latents, which stay for the whole run."""
    tokens = song.lyrics + song.caption + song.references
    keys = 2 * tokens * config.decoder.kv_heads * config.decoder.head_dim * config.decoder_layers
    states = tokens * (config.encoder.hidden + config.decoder.hidden)
    latents = song.frames * config.latent_channels * (LATENTS * 4 + 2 * item)
    return song.prompts * (1 + song.negative) * (keys + states) * item + song.songs * latents


def _item(dtype: torch.dtype) -> int:
    """Bytes per number. In fp16 what would overflow is float32, so all is counted so."""
    return 4 if dtype == torch.float16 else dtype.itemsize
