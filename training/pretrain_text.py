"""Pretrains the text encoder on prompts alone, before the music.

The transformer's first layer initially averages all condition tokens. So the encoder learns states from whose average a
linear readout recovers every fact of the plan; `initial_weights.py` builds that readout into the first cross-attention.
A prompt costs half a millisecond and music a hundred times as much, so words are cheapest to learn here.
"""

from __future__ import annotations

import logging

import numpy as np
import torch
from tokenizers import Tokenizer
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence

from . import captions, composer, train_text
from .composer import Plan

logger = logging.getLogger(__name__)
SIZE, RATE = 32, 4e-3
TIMBRE_TOKENS = 1  # in the condition, beside caption and lyrics
FACTS: dict[str, tuple[object, ...]] = {
    "beat": composer.BEATS,
    "tonic": tuple(range(12)),
    "mode": tuple(composer.SCALES),
    "metre": (3, 4),
    "level": tuple(composer.LEVELS),
    "bright": (True, False),
    "drums": (True, False),
    "chords": composer.CHORDS,
    "lead": ("voice", "pluck", "none"),
}
FACT_COUNT = sum(map(len, FACTS.values()))


def fact_slices() -> dict[str, slice]:
    """The position of each fact among the FACT_COUNT numbers."""
    slices, start = {}, 0
    for name, values in FACTS.items():
        slices[name] = slice(start, start + len(values))
        start += len(values)
    return slices


def fact_targets(plan: Plan) -> list[float]:
    """The targets `[FACT_COUNT]` of a plan: 1 for its values, -1 for all others."""
    return [1.0 if getattr(plan, name) == value else -1.0 for name, values in FACTS.items() for value in values]


def examples(seed: int, tokenizer: Tokenizer) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Caption ids `[b n]` with their mask, the number of tokens of the condition `[b]`, and targets `[b
    FACT_COUNT]`."""
    rng = np.random.default_rng((seed, 5))
    rows, totals, targets = [], [], []
    for number in range(SIZE):
        plan = composer.draw_plan(seed * 1000 + number, int(rng.integers(4, 31)))
        prompt = captions.prompt(plan, rng, str(rng.choice(("text2music", "repaint", "cover"))), omit=0.03, near=0.4)
        rows.append(torch.tensor(train_text.token_rows(tokenizer, prompt.caption_text)))
        totals.append(len(rows[-1]) + len(train_text.token_rows(tokenizer, prompt.lyric_text)) + TIMBRE_TOKENS)
        targets.append(fact_targets(plan))
    lengths = torch.tensor([len(row) for row in rows])
    ids = pad_sequence(rows, batch_first=True)
    mask = torch.arange(ids.shape[1]) < lengths[:, None]
    return ids, mask, torch.tensor(totals), torch.tensor(targets)


def pretrain(model: nn.Module, tokenizer: Tokenizer, seed: int, steps: int) -> Tensor:
    """Train the encoder in place; returns the readout `[FACT_COUNT text_dim]`."""
    width = model.get_parameter("embed_tokens.weight").shape[1]
    readout = nn.Parameter(torch.randn(FACT_COUNT, width) * width**-0.5)
    values = [*model.parameters(), readout]
    optimiser = torch.optim.AdamW(values, lr=RATE, betas=(0.9, 0.98), weight_decay=0.0, fused=True)
    for step in range(steps):
        share = min(1.0, (step + 1) / 50) * max(0.02, min(1.0, 2 * (1 - step / steps)))
        optimiser.param_groups[0]["lr"] = RATE * share
        ids, mask, totals, targets = examples(seed * 100_000 + step, tokenizer)
        states = model(input_ids=ids, use_cache=False).last_hidden_state * mask[..., None]
        predictions = states.sum(dim=1) / totals[:, None] @ readout.T
        loss = (predictions - targets).square().mean()
        loss.backward()
        nn.utils.clip_grad_norm_(values, 1.0)
        optimiser.step()
        optimiser.zero_grad(set_to_none=True)
        if step % 100 == 0 or step == steps - 1:
            logger.info("text %d: loss %.4f, accuracy %s", step, loss.item(), accuracy(predictions, targets))
    return readout.detach()


def accuracy(predictions: Tensor, targets: Tensor) -> dict[str, float]:
    """The accuracy of each fact in a batch."""
    return {
        name: round(float((predictions[:, part].argmax(1) == targets[:, part].argmax(1)).float().mean()), 2)
        for name, part in fact_slices().items()
    }
