"""Trains the transformer, its condition encoder and the text encoder together.

Rectified flow in the project's convention: x_t = t * noise + (1 - t) * data, velocity = noise - data. Twelve percent
of the examples see the null condition. Weights are averaged over the run (EMA), and a run goes on where it was stopped.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from tokenizers import Tokenizer
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence

from acestep_xl.model.condition import pack
from acestep_xl.model.config import Config, Width
from acestep_xl.model.network import AceStep

from . import dataset, first_weights, pretrain_codes, pretrain_text, sounds, train_text

logger = logging.getLogger(__name__)

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
STREAM_WEIGHT, STREAM_POWER = 0.05, 1.5
FINISH_RATE, FINISH_DRUMS = 0.3, 8.0


@dataclass(frozen=True)
class Settings:
    """steps: of the training; finish_steps: after them. text_steps and code_steps: of the text encoder and of the audio
    codes, before the rest. rate: of AdamW. batch_seconds: of music per step. whole: share of the steps after which
    songs are whole; until then they are parts of crop frames, so that a step has more songs. lengths: of the songs in
    seconds, whole_lengths where they are whole."""

    seed: int = 1
    steps: int = 6400
    finish_steps: int = 1400
    text_steps: int = 500
    code_steps: int = 2000
    rate: float = 1e-3
    warmup: int = 30
    batch_seconds: int = 64
    lengths: tuple[int, ...] = (6, 10, 16, 20)
    crop: int = 64
    whole: float = 0.8
    whole_lengths: tuple[int, ...] = (8, 10, 12, 16)
    ema: float = 0.995
    save_every: int = 100
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


def begin(seed: int, text_steps: int, code_steps: int, answers: dataset.Answers) -> Models:
    """Networks with their first weights; text encoder and audio codes have learned for that many steps."""
    torch.manual_seed(seed)
    tokenizer = train_text.make_tokenizer()
    text = train_text.make_model(tokenizer)
    readout = pretrain_text.pretrain(text, tokenizer, seed, text_steps)
    network = AceStep(CONFIG, "sft")
    network.silence = torch.tensor(dataset.silence(CONFIG.timbre_frames))
    first_weights.fill(network, readout)
    pretrain_codes.pretrain(network, answers, seed, code_steps)
    return Models(network, text, tokenizer)


@dataclass(frozen=True)
class Batch:
    """latents and silence: `[b t 64]`; mask: `[b t 1]`; captions and lyrics: token ids `[b n]` with bool masks."""

    latents: Tensor
    silence: Tensor
    mask: Tensor
    tasks: tuple[str, ...]
    captions: tuple[Tensor, Tensor]
    lyrics: tuple[Tensor, Tensor]


def batch(step: int, settings: Settings, answers: dataset.Answers, tokenizer: Tokenizer) -> Batch:
    """The examples of a step; the same step of the same seed gives the same ones."""
    rng = np.random.default_rng((settings.seed, 3, step))
    whole = step >= settings.whole * settings.steps
    seconds = int(rng.choice(settings.whole_lengths if whole else settings.lengths))
    frames = seconds * sounds.RATE // sounds.HOP if whole else settings.crop
    size = max(2, settings.batch_seconds * sounds.RATE // (sounds.HOP * frames))
    first = settings.seed * 1_000_000_007 + step * 1000
    examples = [dataset.example(first + i, seconds, answers, None if whole else settings.crop) for i in range(size)]
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


def loss(
    models: Models, given: Batch, generator: torch.Generator, drums: float = 1.0
) -> tuple[Tensor, dict[str, float]]:
    """Of one batch, with its parts by name. drums: how much the channels of hi-hat and snare count."""
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
    error[..., [sounds.HAT, sounds.SNARE]] *= drums
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


def optimiser_of(models: Models, settings: Settings) -> torch.optim.AdamW:
    """Every group of weights with its share of the rate."""
    shares: dict[float, list[nn.Parameter]] = {}
    for name, value in models.parameters():
        if value.requires_grad:
            shares.setdefault(rate_of(name), []).append(value)
    groups = [{"params": values, "own": share} for share, values in shares.items()]
    return torch.optim.AdamW(groups, lr=settings.rate, betas=(0.9, 0.98), weight_decay=0.0, fused=True)


def rate_of(name: str) -> float:
    """Share of the rate at which a weight is trained.

    What begins arranged moves little. Many features of the noise level's embedding, and of what the prompt tells, are
    nearly the same number in every token: their weights step together, and at the full rate the first layer's output
    grows fiftyfold within two hundred steps and drowns everything else.
    """
    if name.startswith("text."):
        return 0.1
    if "time_embed" in name:
        return 0.06
    return 0.1 if ".decoder.layers.0." in name or "condition_embedder" in name or "text_projector" in name else 1.0


def rate_share(step: int, progress: float, warmup: int) -> float:
    """Linear warm-up, flat until 60 percent of the run, then a cosine down to a hundredth."""
    fall = min(1.0, max(0.0, (progress - 0.6) / 0.4))
    return min(1.0, (step + 1) / warmup) * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * fall)))


def plan_of(step: int, settings: Settings) -> tuple[float, float]:
    """Share of the rate, and how much drums count: in the finish, a second and lower fall, much more.

    Two channels of 64 tell whether a song has drums. What is left in them where none are asked for is plainly heard.
    """
    if step < settings.steps:
        return rate_share(step, step / settings.steps, settings.warmup), 1.0
    done = step - settings.steps
    fall = 0.5 * (1 + math.cos(math.pi * done / settings.finish_steps))
    return min(1.0, (done + 1) / settings.warmup) * (0.01 + FINISH_RATE * fall), FINISH_DRUMS


def train(folder: Path, scale: np.ndarray, settings: Settings) -> None:
    """Train to the last step, from where an earlier run in the same folder was stopped."""
    torch.set_num_threads(settings.threads)
    state = folder / "state.pt"
    answers = dataset.Answers(scale)
    new = not state.is_file()
    models = begin(settings.seed, settings.text_steps if new else 0, settings.code_steps if new else 0, answers)
    run = Run(models, optimiser_of(models, settings), {n: value.detach().clone() for n, value in models.parameters()})
    run.resume(state)
    started, shown = time.time() - run.spent, {"flow": 0.0, "stream": 0.0}
    first = run.step
    while run.step < settings.steps + settings.finish_steps:
        given = batch(run.step, settings, answers, models.tokenizer)
        parts, norm = run.update(given, settings, *plan_of(run.step, settings))
        run.spent = time.time() - started
        shown = {k: 0.98 * shown[k] + 0.02 * v for k, v in parts.items()} if run.step > first + 1 else parts
        if run.step % 20 == 0:
            words = " ".join(f"{k} {v:.4f}" for k, v in shown.items())
            logger.info("%d %.1f min, %s, norm %.2f", run.step, run.spent / 60, words, norm)
        if run.step % settings.save_every == 0:
            run.save(state)
    run.save(state)


@dataclass
class Run:
    """A training under way; spent: seconds of all its parts."""

    models: Models
    optimiser: torch.optim.AdamW
    average: dict[str, Tensor]
    step: int = 0
    examples: int = 0
    spent: float = 0.0

    def update(
        self, given: Batch, settings: Settings, share: float, drums: float = 1.0
    ) -> tuple[dict[str, float], float]:
        """One step at that share of the full rates; returns the loss in parts and the norm of the gradients."""
        generator = torch.Generator().manual_seed(settings.seed * 100_003 + self.step)
        total, parts = loss(self.models, given, generator, drums)
        total.backward()
        norm = self._step(settings.rate * share)
        decay = min(settings.ema, (1 + self.step) / (10 + self.step))
        with torch.no_grad():
            for name, value in self.models.parameters():
                self.average[name].lerp_(value, 1 - decay)
        self.step += 1
        self.examples += len(given.latents)
        return parts, norm

    def _step(self, rate: float) -> float:
        """Move the weights; returns the norm of the gradients."""
        groups = self.optimiser.param_groups
        norm = nn.utils.clip_grad_norm_([value for group in groups for value in group["params"]], 1.0)
        for group in groups:
            group["lr"] = rate * group["own"]
        self.optimiser.step()
        self.optimiser.zero_grad(set_to_none=True)
        return float(norm)

    def save(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        unfinished = path.with_suffix(".part")
        saved = {
            "step": self.step,
            "examples": self.examples,
            "spent": self.spent,
            "values": {name: value.detach() for name, value in self.models.parameters()},
            "average": self.average,
            "optimiser": self.optimiser.state_dict(),
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
        self.optimiser.load_state_dict(saved["optimiser"])
        self.step, self.examples, self.spent = (saved[name] for name in ("step", "examples", "spent"))
