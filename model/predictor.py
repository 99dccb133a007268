"""The one thing the sampler sees of the network: velocity of a latent, conditional and unconditional."""

from __future__ import annotations

import torch
from torch import Tensor

from .condition import Condition
from .network import AceStep
from .transformer import LayerCondition


class Predictor:
    """Velocities under a fixed condition and context.

    Built once per run: every layer's keys and values of the condition, and the constant the null condition amounts to,
    are computed here and not at every step. Unconditional means the learned null condition with the same context, so
    guidance contrasts caption, lyrics and timbre but never the source (official inference).
    """

    def __init__(
        self, network: AceStep, condition: Condition, context: Tensor, negative: Condition | None = None
    ) -> None:
        """context: ``[b t 2c]``; condition and negative: batch b or 1. negative replaces the null condition."""
        decoder = network.decoder
        self._decoder = decoder
        self._context = context.to(next(decoder.parameters()).dtype)
        with torch.no_grad():
            self._condition = decoder.remember(condition.states, condition.mask)
            self._null = (
                decoder.remember_constant(network.null_condition_emb)
                if negative is None
                else decoder.remember(negative.states, negative.mask)
            )

    @torch.no_grad()
    def __call__(self, x: Tensor, t: float, *, unconditional: bool) -> tuple[Tensor, Tensor | None]:
        """x: ``[b t c]``; t: 1 (noise) .. 0 (clean). Returns the conditional and, when asked, the unconditional
        velocity (noise - data), both ``[b t c]`` in the format of x."""
        velocity = self._velocity(x, t, self._condition)
        return velocity, self._velocity(x, t, self._null) if unconditional else None

    def _velocity(self, x: Tensor, t: float, condition: list[LayerCondition]) -> Tensor:
        time = torch.full((1,), t, dtype=torch.float32, device=x.device)
        return self._decoder(x, time, self._context.expand(len(x), -1, -1), condition).to(x.dtype)
