"""The training objective of the transformer: its sizes, the examples of each step, and the loss.

Rectified flow in the project's convention: x_t = t * noise + (1 - t) * data, velocity = noise - data. Twelve percent
of the examples have the null condition.
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
from acestep_xl.model.config import Config, StackWidth
from acestep_xl.model.network import AceStep

from . import captions, dataset, sounds, train_text

CONFIG = Config(
    decoder=StackWidth(hidden=320, intermediate=448, heads=3, kv_heads=3, head_dim=48),
    encoder=StackWidth(hidden=128, intermediate=192, heads=2, kv_heads=2, head_dim=48),
    decoder_layers=4,
    lyric_layers=1,
    timbre_layers=1,
    pooler_layers=1,
    text_dim=train_text.TEXT_DIM,
    sliding_window=24,
)
SHIFT = 5.0  # more of the noisiest levels than the sampler's 3, because they determine what a song is
NULL_SHARE = 0.12
CONTEXT_WEIGHT = 0.3  # of the loss outside a repaint's region, where the context contains the answer
# How often each fact of a prompt is another song's: in the main part of the training, and in the finish.
MISTAKES = dict.fromkeys(captions.FACTS, 0.4)
FINISH_MISTAKES = {"tempo": 0.35, "key": 0.2, "loudness": 0.2, "brightness": 0.25, "drums": 0.3}
STREAM_WEIGHT, STREAM_POWER = 0.05, 1.5


@dataclass(frozen=True)
class Settings:
    """Settings of a training.

    steps: of the main part, followed by finish_steps; text_steps, code_steps: of the text encoder and the audio codes,
    before. rate: of AdamW. batch_seconds: of music per step. crop: frames of a part of a song. full_after: fraction of
    the steps after which songs are complete instead of parts, which allow more songs per step. lengths, full_lengths:
    seconds of the songs before and after. correct_until: fraction of the steps until which prompts have no mistakes.
    """

    seed: int = 1
    steps: int = 12000
    text_steps: int = 500
    code_steps: int = 2000
    rate: float = 1e-3
    warmup: int = 30
    batch_seconds: int = 64
    lengths: tuple[int, ...] = (6, 10, 16, 20)
    crop: int = 64
    full_after: float = 0.8
    full_lengths: tuple[int, ...] = (8, 10, 12, 16)
    correct_until: float = 0.5
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


def mistake_rates(step: int, settings: Settings) -> dict[str, float]:
    """How often each fact of a prompt is another song's in this step."""
    if step >= settings.steps:
        return FINISH_MISTAKES
    return MISTAKES if step >= settings.correct_until * settings.steps else {}


def make_batch(step: int, settings: Settings, responses: dataset.ImpulseResponses, tokenizer: Tokenizer) -> Batch:
    """The examples of a step; the same step of the same seed gives the same ones."""
    rng = np.random.default_rng((settings.seed, 3, step))
    is_full = step >= settings.full_after * settings.steps
    seconds = int(rng.choice(settings.full_lengths if is_full else settings.lengths))
    frames = seconds * sounds.RATE // sounds.HOP if is_full else settings.crop
    size = max(2, settings.batch_seconds * sounds.RATE // (sounds.HOP * frames))
    first = settings.seed * 1_000_000_007 + step * 1000
    crop, mistakes = None if is_full else settings.crop, mistake_rates(step, settings)
    examples = [dataset.make_example(first + i, seconds, responses, crop, mistakes) for i in range(size)]
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


def condition(models: Models, batch: Batch, drop: Tensor) -> tuple[Tensor, Tensor]:
    """Packed states `[b e d]` and mask; items for which drop `[b]` is True get the null condition."""
    network, encoder = models.network, models.network.encoder
    captions, caption_mask = batch.captions
    lyrics, lyric_mask = batch.lyrics
    # Attention is causal, so padding on the right changes nothing.
    text = models.text(input_ids=captions, use_cache=False).last_hidden_state
    lyric_states = encoder.lyric_encoder(models.text.get_submodule("embed_tokens")(lyrics), lyric_mask)
    with torch.no_grad():
        timbre = encoder.timbre_encoder(network.silent_reference()[:, :8])
    timbre = timbre[:, None].expand(len(captions), -1, -1)
    states, mask = pack(lyric_states, lyric_mask, timbre, torch.ones(timbre.shape[:2], dtype=torch.bool))
    states, mask = pack(states, mask, encoder.text_projector(text), caption_mask)
    states = torch.where(drop[:, None, None], network.null_condition_emb.to(states), states)
    return states, mask


def compute_loss(models: Models, batch: Batch, generator: torch.Generator) -> tuple[Tensor, dict[str, float]]:
    """The loss of a batch, and its parts by name."""
    network, data = models.network, batch.latents
    size = len(data)
    source = torch.where(batch.mask > 0, batch.silence, data)
    covers = [i for i, task in enumerate(batch.tasks) if task == "cover"]
    if covers:
        with torch.no_grad():
            source[covers] = network.round_trip_codes(data[covers])
    context = torch.cat([source, batch.mask.expand_as(data)], dim=-1)
    u = torch.rand(size, generator=generator)
    t = SHIFT * u / (1 + (SHIFT - 1) * u)
    noise = torch.randn(data.shape, generator=generator)
    x = t[:, None, None] * noise + (1 - t[:, None, None]) * data
    drop = torch.rand(size, generator=generator) < NULL_SHARE
    states, mask = condition(models, batch, drop)
    with StreamPower(network) as stream:
        velocity = network.decoder(x, t, context, network.decoder.project_kv(states, mask))
    error = (velocity.float() - (noise - data)).square()
    flow = (error * (CONTEXT_WEIGHT + (1 - CONTEXT_WEIGHT) * batch.mask)).mean()
    parts = {"flow": flow.item(), "stream": stream.power.item()}
    return flow + STREAM_WEIGHT * (stream.power - STREAM_POWER).clamp_min(0), parts


class StreamPower:
    """Measures the power of the residual stream at the last norm, for as long as the context is open.

    At the noisiest levels the noisy latents in the stream must reach the output unchanged. Layers with large outputs
    make the norm scale them down, and no weight that could scale them up again learns fast enough.
    """

    def __init__(self, network: AceStep) -> None:
        self._norm = network.decoder.get_submodule("norm_out")
        self.power = torch.zeros(())

    def __enter__(self) -> StreamPower:
        self._hook = self._norm.register_forward_pre_hook(self._measure)
        return self

    def __exit__(self, *_: object) -> None:
        self._hook.remove()

    def _measure(self, _: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        self.power = inputs[0].square().mean()
