"""Teaches the text encoder what prompts say, before there is any music.

The transformer's first layer begins by averaging all condition tokens. So the encoder learns states whose average tells
every fact of the plan to a linear readout; `first_weights.py` builds that readout into the first cross-attention.
Prompts cost half a millisecond each and music a hundred times as much, so this is the cheap place to learn words.
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
NOTHING = 1  # condition tokens beside caption and lyrics: the timbre's
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
TOLD = sum(map(len, FACTS.values()))


def places() -> dict[str, slice]:
    """Where each fact lies among the TOLD numbers."""
    out, at = {}, 0
    for name, values in FACTS.items():
        out[name] = slice(at, at + len(values))
        at += len(values)
    return out


def truth(plan: Plan) -> list[float]:
    """`[TOLD]` 1 for what a plan is and -1 for everything else."""
    return [1.0 if getattr(plan, name) == value else -1.0 for name, values in FACTS.items() for value in values]


def examples(seed: int, tokenizer: Tokenizer) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Caption ids `[b n]` with their mask, tokens of the whole condition `[b]`, truths `[b TOLD]`."""
    rng = np.random.default_rng((seed, 5))
    rows, totals, truths = [], [], []
    for number in range(SIZE):
        plan = composer.draw(seed * 1000 + number, int(rng.integers(4, 31)))
        prompt = captions.prompt(plan, rng, str(rng.choice(("text2music", "repaint", "cover"))), omit=0.03, near=0.4)
        rows.append(torch.tensor(train_text.token_rows(tokenizer, prompt.caption_text)))
        totals.append(len(rows[-1]) + len(train_text.token_rows(tokenizer, prompt.lyric_text)) + NOTHING)
        truths.append(truth(plan))
    lengths = torch.tensor([len(row) for row in rows])
    ids = pad_sequence(rows, batch_first=True)
    mask = torch.arange(ids.shape[1]) < lengths[:, None]
    return ids, mask, torch.tensor(totals), torch.tensor(truths)


def pretrain(model: nn.Module, tokenizer: Tokenizer, seed: int, steps: int) -> Tensor:
    """Train the encoder in place; returns the readout `[TOLD text_dim]`."""
    width = model.get_parameter("embed_tokens.weight").shape[1]
    readout = nn.Parameter(torch.randn(TOLD, width) * width**-0.5)
    values = [*model.parameters(), readout]
    optimiser = torch.optim.AdamW(values, lr=RATE, betas=(0.9, 0.98), weight_decay=0.0, fused=True)
    for step in range(steps):
        share = min(1.0, (step + 1) / 50) * max(0.02, min(1.0, 2 * (1 - step / steps)))
        optimiser.param_groups[0]["lr"] = RATE * share
        ids, mask, totals, truths = examples(seed * 100_000 + step, tokenizer)
        states = model(input_ids=ids, use_cache=False).last_hidden_state * mask[..., None]
        told = states.sum(dim=1) / totals[:, None] @ readout.T
        loss = (told - truths).square().mean()
        loss.backward()
        nn.utils.clip_grad_norm_(values, 1.0)
        optimiser.step()
        optimiser.zero_grad(set_to_none=True)
        if step % 100 == 0 or step == steps - 1:
            logger.info("text %d: loss %.4f, right %s", step, loss.item(), right(told, truths))
    return readout.detach()


def right(told: Tensor, truths: Tensor) -> dict[str, float]:
    """Share of a batch in which each fact is read rightly."""
    return {
        name: round(float((told[:, at].argmax(1) == truths[:, at].argmax(1)).float().mean()), 2)
        for name, at in places().items()
    }
