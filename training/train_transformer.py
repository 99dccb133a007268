"""Trains the transformer, its condition encoder and the text encoder together, on what `objective` says.

Weights are averaged over the run (EMA), and a run goes on where it was stopped.
"""

from __future__ import annotations

import logging
import math
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from acestep_xl.model.network import AceStep

from . import dataset, first_weights, pretrain_codes, pretrain_text, train_text
from .objective import CONFIG, Batch, Models, Settings, batch, loss

logger = logging.getLogger(__name__)
FINISH_RATE = 0.4


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


def rate_share(step: int, settings: Settings) -> float:
    """Linear warm-up, flat until 60 percent of the steps, then a cosine down to a hundredth; in the finish from
    FINISH_RATE and without the flat part."""
    finish = step >= settings.steps
    done = step - settings.steps if finish else step
    progress = done / (settings.finish_steps if finish else settings.steps)
    fall = progress if finish else max(0.0, (progress - 0.6) / 0.4)
    top = FINISH_RATE if finish else 1.0
    return top * min(1.0, (done + 1) / settings.warmup) * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * fall)))


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
        parts, norm = run.update(given, settings, rate_share(run.step, settings))
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

    def update(self, given: Batch, settings: Settings, share: float) -> tuple[dict[str, float], float]:
        """One step at that share of the full rates; returns the loss in parts and the norm of the gradients."""
        generator = torch.Generator().manual_seed(settings.seed * 100_003 + self.step)
        total, parts = loss(self.models, given, generator)
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
