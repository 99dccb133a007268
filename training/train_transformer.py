"""Trains the transformer, its condition encoder and the text encoder together on the loss of `objective`.

Weights are averaged over the run (EMA), and an interrupted run resumes.
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

from . import dataset, initial_weights, pretrain_codes, pretrain_text, train_text
from .objective import CONFIG, Batch, Models, Settings, compute_loss, make_batch

logger = logging.getLogger(__name__)
FINISH_RATE = 0.4  # first factor of the rate in the finish


def initialise(seed: int, text_steps: int, code_steps: int, responses: dataset.ImpulseResponses) -> Models:
    """Networks with initial weights, and text encoder and audio codes pretrained for these numbers of steps."""
    torch.manual_seed(seed)
    tokenizer = train_text.make_tokenizer()
    text = train_text.make_model(tokenizer)
    readout = pretrain_text.pretrain(text, tokenizer, seed, text_steps)
    network = AceStep(CONFIG, "sft")
    network.silence = torch.tensor(dataset.silence(CONFIG.timbre_frames))
    initial_weights.fill(network, readout)
    pretrain_codes.pretrain(network, responses, seed, code_steps)
    return Models(network, text, tokenizer)


def make_optimiser(models: Models, settings: Settings) -> torch.optim.AdamW:
    """AdamW over groups of weights, each with its factor of the rate."""
    groups_by_factor: dict[float, list[nn.Parameter]] = {}
    for name, value in models.parameters():
        if value.requires_grad:
            groups_by_factor.setdefault(layer_rate(name), []).append(value)
    groups = [{"params": values, "factor": factor} for factor, values in groups_by_factor.items()]
    return torch.optim.AdamW(groups, lr=settings.rate, betas=(0.9, 0.98), weight_decay=0.0, fused=True)


def layer_rate(name: str) -> float:
    """Factor of the learning rate for a weight.

    Designed weights move little. Many features of the noise level's embedding and of the prompt's facts are nearly the
    same number in every token: their weights step together, and at the full rate the first layer's output grows
    fiftyfold within two hundred steps and drowns everything else.
    """
    if name.startswith("text."):
        return 0.1
    if "time_embed" in name:
        return 0.06
    return 0.1 if ".decoder.layers.0." in name or "condition_embedder" in name or "text_projector" in name else 1.0


def rate_at(step: int, settings: Settings) -> float:
    """Factor of the learning rate at a step: linear warm-up, constant until 60 percent of the steps, then a cosine to
    1/100.

    The finish starts from FINISH_RATE and has no constant part.
    """
    is_finish = step >= settings.steps
    done = step - settings.steps if is_finish else step
    progress = done / (settings.finish_steps if is_finish else settings.steps)
    fall = progress if is_finish else max(0.0, (progress - 0.6) / 0.4)
    peak = FINISH_RATE if is_finish else 1.0
    return peak * min(1.0, (done + 1) / settings.warmup) * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * fall)))


def train(folder: Path, scale: np.ndarray, settings: Settings) -> None:
    """Train to the last step, resuming an interrupted run in the same folder."""
    torch.set_num_threads(settings.threads)
    state = folder / "state.pt"
    responses = dataset.ImpulseResponses(scale)
    text_steps, code_steps = (0, 0) if state.is_file() else (settings.text_steps, settings.code_steps)
    models = initialise(settings.seed, text_steps, code_steps, responses)
    run = Run(models, make_optimiser(models, settings), {n: value.detach().clone() for n, value in models.parameters()})
    run.resume(state)
    started, smoothed = time.time() - run.spent, {"flow": 0.0, "stream": 0.0}
    first = run.step
    while run.step < settings.steps + settings.finish_steps:
        batch = make_batch(run.step, settings, responses, models.tokenizer)
        parts, norm = run.update(batch, settings, rate_at(run.step, settings))
        run.spent = time.time() - started
        smoothed = {k: 0.98 * smoothed[k] + 0.02 * v for k, v in parts.items()} if run.step > first + 1 else parts
        if run.step % 20 == 0:
            losses = " ".join(f"{k} {v:.4f}" for k, v in smoothed.items())
            logger.info("%d %.1f min, %s, norm %.2f", run.step, run.spent / 60, losses, norm)
        if run.step % settings.save_every == 0:
            run.save(state)
    run.save(state)


@dataclass
class Run:
    """A training in progress. spent: seconds so far, over all of its sessions."""

    models: Models
    optimiser: torch.optim.AdamW
    average: dict[str, Tensor]
    step: int = 0
    examples: int = 0
    spent: float = 0.0

    def update(self, batch: Batch, settings: Settings, factor: float) -> tuple[dict[str, float], float]:
        """Take one step at a factor of the rate; returns the parts of the loss and the norm of the gradients."""
        generator = torch.Generator().manual_seed(settings.seed * 100_003 + self.step)
        total, parts = compute_loss(self.models, batch, generator)
        total.backward()
        norm = self._step(settings.rate * factor)
        decay = min(settings.ema, (1 + self.step) / (10 + self.step))
        with torch.no_grad():
            for name, value in self.models.parameters():
                self.average[name].lerp_(value, 1 - decay)
        self.step += 1
        self.examples += len(batch.latents)
        return parts, norm

    def _step(self, rate: float) -> float:
        """Update the weights; returns the norm of the gradients."""
        groups = self.optimiser.param_groups
        norm = nn.utils.clip_grad_norm_([value for group in groups for value in group["params"]], 1.0)
        for group in groups:
            group["lr"] = rate * group["factor"]
        self.optimiser.step()
        self.optimiser.zero_grad(set_to_none=True)
        return float(norm)

    def save(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_suffix(".part")
        saved = {
            "step": self.step,
            "examples": self.examples,
            "spent": self.spent,
            "values": {name: value.detach() for name, value in self.models.parameters()},
            "average": self.average,
            "optimiser": self.optimiser.state_dict(),
        }
        torch.save(saved, part)
        part.replace(path)

    def resume(self, path: Path) -> None:
        """Load a saved state, if there is one."""
        if not path.is_file():
            return
        saved = torch.load(path, map_location="cpu", weights_only=True)
        with torch.no_grad():
            for name, value in self.models.parameters():
                value.copy_(saved["values"][name])
                self.average[name].copy_(saved["average"][name])
        self.optimiser.load_state_dict(saved["optimiser"])
        self.step, self.examples, self.spent = (saved[name] for name in ("step", "examples", "spent"))
