"""What the transformer is trained on and for: its shape, its examples by step, and the loss.

Rectified flow in the project's convention: x_t = t * noise + (1 - t) * data, velocity = noise - data. Twelve percent
of the examples see the null condition.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from tokenizers import Tokenizer
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence

from acestep_xl.model.condition import pack
from acestep_xl.model.config import Config, Width
from acestep_xl.model.network import AceStep

from . import captions, dataset, sounds, train_text

CONFIG = Config(
    decoder=Width(hidden=320, intermediate=448, heads=3, kv_heads=3, head_dim=48),
    encoder=Width(hidden=128, intermediate=192, heads=2, kv_heads=2, head_dim=48),
    decoder_layers=4,
    lyric_layers=1,
    timbre_layers=1,
    pooler_layers=1,
    text_dim=train_text.TEXT_DIM,
    sliding_window=24,
)
SHIFT = 5.0  # more of the noisiest levels than the sampler's 3 gives: what a song is is decided there
NULL_SHARE = 0.12
KEPT_WEIGHT = 0.3  # of the loss outside a repaint's region, where the context tells the answer
# How often each fact of a prompt is another song's: first, and in the finish.
WRONG = dict.fromkeys(captions.FACTS, 0.4)
FINISH_WRONG = {"tempo": 0.35, "key": 0.2, "loudness": 0.2, "brightness": 0.25, "drums": 0.3}
STREAM_WEIGHT, STREAM_POWER = 0.05, 1.5


@dataclass(frozen=True)
class Settings:
    """steps: of the training. text_steps and code_steps: of the text encoder and of the audio codes, before the rest.
    rate: of AdamW. batch_seconds: of music per step. whole: share of the steps after which songs are whole; until then
    they are parts of crop frames, so that a step has more songs. lengths: of the songs in seconds, whole_lengths where
    they are whole. sure: share of the steps until which prompts are right. finish_steps: after all these."""

    seed: int = 1
    steps: int = 12000
    text_steps: int = 500
    code_steps: int = 2000
    rate: float = 1e-3
    warmup: int = 30
    batch_seconds: int = 64
    lengths: tuple[int, ...] = (6, 10, 16, 20)
    crop: int = 64
    whole: float = 0.8
    whole_lengths: tuple[int, ...] = (8, 10, 12, 16)
    sure: float = 0.5
    finish_steps: int = 4000
    ema: float = 0.995
    save_every: int = 100
    threads: int = 2


@dataclass
class Models:
    network: AceStep
    text: nn.Module
    tokenizer: Tokenizer

    def parameters(self) -> Iterator[tuple[str, nn.Parameter]]:
        for prefix, module in (("network.", self.network), ("text.", self.text)):
            for name, value in module.named_parameters():
                yield prefix + name, value


@dataclass(frozen=True)
class Batch:
    """latents and silence: `[b t 64]`; mask: `[b t 1]`; captions and lyrics: token ids `[b n]` with bool masks."""

    latents: Tensor
    silence: Tensor
    mask: Tensor
    tasks: tuple[str, ...]
    captions: tuple[Tensor, Tensor]
    lyrics: tuple[Tensor, Tensor]


def wrong(step: int, settings: Settings) -> dict[str, float]:
    """How often each fact of a prompt is another song's in that step."""
    if step >= settings.steps:
        return FINISH_WRONG
    return WRONG if step >= settings.sure * settings.steps else {}


def batch(step: int, settings: Settings, answers: dataset.Answers, tokenizer: Tokenizer) -> Batch:
    """The examples of a step; the same step of the same seed gives the same ones."""
    rng = np.random.default_rng((settings.seed, 3, step))
    whole = step >= settings.whole * settings.steps
    seconds = int(rng.choice(settings.whole_lengths if whole else settings.lengths))
    frames = seconds * sounds.RATE // sounds.HOP if whole else settings.crop
    size = max(2, settings.batch_seconds * sounds.RATE // (sounds.HOP * frames))
    first = settings.seed * 1_000_000_007 + step * 1000
    crop, mistakes = None if whole else settings.crop, wrong(step, settings)
    examples = [dataset.example(first + i, seconds, answers, crop, mistakes) for i in range(size)]
    return Batch(
        torch.tensor(np.stack([e.latents for e in examples])),
        torch.tensor(np.stack([e.silence for e in examples])),
        torch.tensor(np.stack([e.mask for e in examples]))[..., None],
        tuple(e.task for e in examples),
        _ids([e.caption for e in examples], tokenizer),
        _ids([e.lyrics for e in examples], tokenizer),
    )


def _ids(texts: list[str], tokenizer: Tokenizer) -> tuple[Tensor, Tensor]:
    rows = [torch.tensor(train_text.token_rows(tokenizer, text)) for text in texts]
    lengths = torch.tensor([len(row) for row in rows])
    ids = pad_sequence(rows, batch_first=True)
    return ids, torch.arange(ids.shape[1]) < lengths[:, None]


def condition(models: Models, given: Batch, drop: Tensor) -> tuple[Tensor, Tensor]:
    """Packed states `[b e d]` and mask; items where drop `[b]` holds read the null condition."""
    network, encoder = models.network, models.network.encoder
    captions, caption_mask = given.captions
    lyrics, lyric_mask = given.lyrics
    # Attention is causal, so what pads a row on its right changes nothing in it.
    text = models.text(input_ids=captions, use_cache=False).last_hidden_state
    sung = encoder.lyric_encoder(models.text.get_submodule("embed_tokens")(lyrics), lyric_mask)
    with torch.no_grad():
        timbre = encoder.timbre_encoder(network.silent_reference()[:, :8])
    timbre = timbre[:, None].expand(len(captions), -1, -1)
    states, mask = pack(sung, lyric_mask, timbre, torch.ones(timbre.shape[:2], dtype=torch.bool))
    states, mask = pack(states, mask, encoder.text_projector(text), caption_mask)
    states = torch.where(drop[:, None, None], network.null_condition_emb.to(states), states)
    return states, mask


def loss(models: Models, given: Batch, generator: torch.Generator) -> tuple[Tensor, dict[str, float]]:
    """Of one batch, with its parts by name."""
    network, data = models.network, given.latents
    size = len(data)
    source = torch.where(given.mask > 0, given.silence, data)
    covers = [i for i, task in enumerate(given.tasks) if task == "cover"]
    if covers:
        with torch.no_grad():
            source[covers] = network.through_codes(data[covers])
    context = torch.cat([source, given.mask.expand_as(data)], dim=-1)
    u = torch.rand(size, generator=generator)
    t = SHIFT * u / (1 + (SHIFT - 1) * u)
    noise = torch.randn(data.shape, generator=generator)
    x = t[:, None, None] * noise + (1 - t[:, None, None]) * data
    drop = torch.rand(size, generator=generator) < NULL_SHARE
    states, mask = condition(models, given, drop)
    with Stream(network) as stream:
        velocity = network.decoder(x, t, context, network.decoder.remember(states, mask))
    error = (velocity.float() - (noise - data)).square()
    flow = (error * (KEPT_WEIGHT + (1 - KEPT_WEIGHT) * given.mask)).mean()
    parts = {"flow": flow.item(), "stream": stream.power.item()}
    return flow + STREAM_WEIGHT * (stream.power - STREAM_POWER).clamp_min(0), parts


class Stream:
    """Sees how strong the stream of the tokens is where the last norm divides by it, while its context lasts.

    The noisy latents in it must reach the output as they are at the noisiest levels. Layers that write loudly make the
    norm push them under, and no weight that could raise them again moves fast enough.
    """

    def __init__(self, network: AceStep) -> None:
        self._norm = network.decoder.get_submodule("norm_out")
        self.power = torch.zeros(())

    def __enter__(self) -> Stream:
        self._hook = self._norm.register_forward_pre_hook(self._see)
        return self

    def __exit__(self, *_: object) -> None:
        self._hook.remove()

    def _see(self, _: nn.Module, given: tuple[Tensor, ...]) -> None:
        self.power = given[0].square().mean()
