"""Trains the transformer, its condition encoder, the audio tokenizer and the text encoder together.

Rectified flow in the project's convention: x_t = t * noise + (1 - t) * data, velocity = noise - data. Fifteen percent
of the examples see the null condition. Weights are averaged over the run (EMA), and a run goes on where it was stopped.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from einops import rearrange
from tokenizers import Tokenizer
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence
from torch.overrides import TorchFunctionMode

from acestep_xl.model.condition import pack
from acestep_xl.model.config import Config, Width
from acestep_xl.model.network import AceStep

from . import dataset, train_text

logger = logging.getLogger(__name__)

CONFIG = Config(
    decoder=Width(hidden=192, intermediate=512, heads=4, kv_heads=4, head_dim=48),
    encoder=Width(hidden=128, intermediate=256, heads=3, kv_heads=3, head_dim=48),
    decoder_layers=6,
    lyric_layers=1,
    timbre_layers=1,
    pooler_layers=1,
    text_dim=train_text.TEXT_DIM,
    sliding_window=24,
)
GATES = (2, 5)  # rows of a layer's table: of attention and of the MLP
NULL_SHARE = 0.15
KEPT_WEIGHT = 0.3  # of the loss outside a repaint's region, where the context tells the answer
CODES_WEIGHT = 0.25


@dataclass(frozen=True)
class Settings:
    """rate: of AdamW; matrix_rate: of Muon. batch_seconds: of music per step. late: share of the
    steps after which songs have late_lengths, in seconds, in place of lengths."""

    seed: int = 1
    steps: int = 4200
    rate: float = 2e-3
    matrix_rate: float = 2e-3
    warmup: int = 100
    batch_seconds: int = 80
    lengths: tuple[int, ...] = (6, 8, 10, 12)
    late: float = 0.72
    late_lengths: tuple[int, ...] = (8, 12, 20, 20)
    ema: float = 0.998
    save_every: int = 200
    threads: int = 1


@dataclass
class Models:
    network: AceStep
    text: nn.Module
    tokenizer: Tokenizer

    def parameters(self) -> Iterator[tuple[str, nn.Parameter]]:
        for prefix, module in (("network.", self.network), ("text.", self.text)):
            for name, value in module.named_parameters():
                yield prefix + name, value


def begin(seed: int) -> Models:
    """Networks with their first weights."""
    torch.manual_seed(seed)
    tokenizer = train_text.make_tokenizer()
    network = AceStep(CONFIG, "sft")
    network.silence = torch.tensor(dataset.silence(CONFIG.timbre_frames))
    with torch.no_grad():
        for name, value in network.named_parameters():
            _first(name, value)
    for name, value in network.encoder.timbre_encoder.named_parameters():
        value.requires_grad_(False)
        if name.endswith(("o_proj.weight", "down_proj.weight")):  # no reference is trained, so none is heard
            value.zero_()
    return Models(network, train_text.make_model(tokenizer), tokenizer)


def _first(name: str, value: Tensor) -> None:
    """Norms pass, modulation does not depend on the level yet, and the layers' gates stand half open."""
    if value.ndim == 1 and "norm" in name:
        value.fill_(1)
    elif "special_token" in name or name == "null_condition_emb":
        value.normal_(std=0.5)
    elif name.endswith(("bias", "scale_shift_table", "time_proj.weight")):
        value.zero_()
        if name.startswith("decoder.layers.") and value.ndim == 3:
            value[:, GATES] = 0.5
    elif "proj_out" in name:
        value.normal_(std=0.01)
    else:
        small = 0.3 if name.startswith("decoder.") and name.endswith(("o_proj.weight", "down_proj.weight")) else 1.0
        value.normal_(std=small * value[0].numel() ** -0.5)


class FloatAttention(TorchFunctionMode):
    """Attention in float32 under autocast: on CPUs the bf16 kernel takes twice as long."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is not nn.functional.scaled_dot_product_attention:
            return func(*args, **(kwargs or {}))
        with torch.autocast("cpu", enabled=False):
            return func(*(x.float() for x in args), **(kwargs or {}))


@dataclass(frozen=True)
class Batch:
    """latents: `[b t 64]`; mask: `[b t 1]`; captions and lyrics: token ids `[b n]` with bool masks."""

    latents: Tensor
    mask: Tensor
    tasks: tuple[str, ...]
    captions: tuple[Tensor, Tensor]
    lyrics: tuple[Tensor, Tensor]


def batch(
    step: int, settings: Settings, lengths: tuple[int, ...], answers: dataset.Answers, tokenizer: Tokenizer
) -> Batch:
    """The examples of a step; the same step of the same seed gives the same ones."""
    rng = np.random.default_rng((settings.seed, 3, step))
    seconds = int(rng.choice(lengths))
    size = max(2, settings.batch_seconds // seconds)
    first = settings.seed * 1_000_000_007 + step * 1000
    examples = [dataset.example(first + i, seconds, answers) for i in range(size)]
    return Batch(
        torch.tensor(np.stack([e.latents for e in examples])),
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


def through_codes(network: AceStep, latents: Tensor) -> Tensor:
    """What `AceStep.through_codes` returns, with gradients: rounding passes them on."""
    tokenizer, quantizer = network.tokenizer, network.tokenizer.quantizer
    windows = rearrange(latents, "b (n w) c -> (b n) w c", w=tokenizer.window)
    pooled = tokenizer.attention_pooler(tokenizer.audio_acoustic_proj(windows))
    z = quantizer.project_in(rearrange(pooled, "(b n) d -> b n d", b=len(latents))).float()
    span = torch.tensor(quantizer.levels, dtype=torch.float32) - 1
    limit = 1 + 1 / span
    bounded = torch.tanh(z / limit) * limit
    rounded = 2 * torch.floor(span * (bounded.clamp(-1, 1) + 1) / 2 + 0.5) / span - 1
    return network.detokenizer(quantizer.project_out(bounded + (rounded - bounded).detach()))


def loss(models: Models, given: Batch, generator: torch.Generator) -> tuple[Tensor, dict[str, float]]:
    """Of one batch, with its parts by name."""
    network, data = models.network, given.latents
    size, frames = data.shape[:2]
    source = torch.where(given.mask > 0, network.silent(frames).expand_as(data), data)
    # The codes learn from the covers, or from any song where a batch has none.
    covers = [i for i, task in enumerate(given.tasks) if task == "cover"]
    whole = frames - frames % CONFIG.pool_window
    coded = data[covers or [0], :whole]
    told = through_codes(network, coded).float()
    codes = (told - coded).square().mean()
    if covers:
        source[covers, :whole] = told.detach()
    context = torch.cat([source, given.mask.expand_as(data)], dim=-1)
    t = torch.sigmoid(1.6 * torch.randn(size, generator=generator))
    noise = torch.randn(data.shape, generator=generator)
    x = t[:, None, None] * noise + (1 - t[:, None, None]) * data
    drop = torch.rand(size, generator=generator) < NULL_SHARE
    states, mask = condition(models, given, drop)
    velocity = network.decoder(x, t, context, network.decoder.remember(states, mask))
    error = (velocity.float() - (noise - data)).square()
    flow = (error * (KEPT_WEIGHT + (1 - KEPT_WEIGHT) * given.mask)).mean()
    return flow + CODES_WEIGHT * codes, {"flow": flow.item(), "codes": codes.item()}


class Optimisers:
    """Muon for the matrices inside the stacks, AdamW for everything else."""

    def __init__(self, models: Models, settings: Settings) -> None:
        matrices, rest = [], []
        for name, value in models.parameters():
            if value.requires_grad:
                inside = value.ndim == 2 and ".layers." in name and "scale_shift" not in name
                (matrices if inside else rest).append(value)
        muon = torch.optim.Muon(matrices, lr=settings.matrix_rate, weight_decay=0.01, adjust_lr_fn="match_rms_adamw")
        adamw = torch.optim.AdamW(rest, lr=settings.rate, betas=(0.9, 0.98), weight_decay=0.0, fused=True)
        self.all: tuple[torch.optim.Optimizer, ...] = (muon, adamw)
        self._rates = (settings.matrix_rate, settings.rate)
        self._values = matrices + rest

    def step(self, share: float) -> float:
        """One update at that share of the full rates; returns the norm of the gradients."""
        norm = nn.utils.clip_grad_norm_(self._values, 1.0)
        for optimiser, rate in zip(self.all, self._rates, strict=True):
            for group in optimiser.param_groups:
                group["lr"] = rate * share
            optimiser.step()
            optimiser.zero_grad(set_to_none=True)
        return float(norm)


def rate_share(step: int, progress: float, warmup: int) -> float:
    """Linear warm-up, flat until 60 percent of the run, then a cosine down to a hundredth."""
    fall = min(1.0, max(0.0, (progress - 0.6) / 0.4))
    return min(1.0, (step + 1) / warmup) * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * fall)))


def train(folder: Path, scale: np.ndarray, settings: Settings) -> None:
    """Train to the last step, from where an earlier run in the same folder was stopped."""
    torch.set_num_threads(settings.threads)
    models = begin(settings.seed)
    answers = dataset.Answers(scale)
    run = Run(models, Optimisers(models, settings), {n: value.detach().clone() for n, value in models.parameters()})
    run.resume(folder / "state.pt")
    started, shown = time.time() - run.spent, {"flow": 0.0, "codes": 0.0}
    first = run.step
    while run.step < settings.steps:
        progress = run.step / settings.steps
        lengths = settings.lengths if progress < settings.late else settings.late_lengths
        given = batch(run.step, settings, lengths, answers, models.tokenizer)
        parts, norm = run.update(given, settings, rate_share(run.step, progress, settings.warmup))
        run.spent = time.time() - started
        shown = {k: 0.98 * shown[k] + 0.02 * v for k, v in parts.items()} if run.step > first + 1 else parts
        if run.step % 20 == 0:
            words = " ".join(f"{k} {v:.4f}" for k, v in shown.items())
            logger.info("%d %.1f min, %s, norm %.2f", run.step, run.spent / 60, words, norm)
        if run.step % settings.save_every == 0:
            run.save(folder / "state.pt")
    run.save(folder / "state.pt")


@dataclass
class Run:
    """A training under way; spent: seconds of all its parts."""

    models: Models
    optimisers: Optimisers
    average: dict[str, Tensor]
    step: int = 0
    examples: int = 0
    spent: float = 0.0

    def update(self, given: Batch, settings: Settings, share: float) -> tuple[dict[str, float], float]:
        """One step at that share of the full rates; returns the loss in parts and the norm of the gradients."""
        generator = torch.Generator().manual_seed(settings.seed * 100_003 + self.step)
        with torch.autocast("cpu", torch.bfloat16), FloatAttention():
            total, parts = loss(self.models, given, generator)
        total.backward()
        norm = self.optimisers.step(share)
        decay = min(settings.ema, (1 + self.step) / (10 + self.step))
        with torch.no_grad():
            for name, value in self.models.parameters():
                self.average[name].lerp_(value, 1 - decay)
        self.step += 1
        self.examples += len(given.latents)
        return parts, norm

    def save(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        unfinished = path.with_suffix(".part")
        saved = {
            "step": self.step,
            "examples": self.examples,
            "spent": self.spent,
            "values": {name: value.detach() for name, value in self.models.parameters()},
            "average": self.average,
            "optimisers": [optimiser.state_dict() for optimiser in self.optimisers.all],
        }
        torch.save(saved, unfinished)
        unfinished.replace(path)

    def resume(self, path: Path) -> None:
        """Go on from a saved state, if there is one."""
        if not path.is_file():
            return
        saved = torch.load(path, map_location="cpu", weights_only=True)
        with torch.no_grad():
            for name, value in self.models.parameters():
                value.copy_(saved["values"][name])
                self.average[name].copy_(saved["average"][name])
        for optimiser, values in zip(self.optimisers.all, saved["optimisers"], strict=True):
            optimiser.load_state_dict(values)
        self.step, self.examples, self.spent = (saved[name] for name in ("step", "examples", "spent"))
