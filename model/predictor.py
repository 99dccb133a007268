"""The one thing the sampler sees of the network: velocity of a latent, conditional and unconditional."""

from __future__ import annotations

from collections.abc import Sequence

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
        self,
        network: AceStep,
        condition: Condition,
        context: Tensor,
        negative: Condition | None = None,
        negative_weights: Sequence[float] = (1.0,),
    ) -> None:
        """context: ``[b t 2c]``; condition and negative: batch b or 1.

        The unconditional velocity of item i is negative_weights[i] of the negative condition's and the rest of the null
        condition's; without a negative condition it is the null condition's.
        """
        decoder = network.decoder
        self._decoder = decoder
        self._context = context.to(next(decoder.parameters()).dtype)
        self._weights = (0.0,) if negative is None else tuple(negative_weights)
        with torch.no_grad():
            self._condition = decoder.remember(condition.states, _padding(condition))
            self._null = decoder.remember_constant(network.null_condition_emb)
            self._negative = None if negative is None else decoder.remember(negative.states, _padding(negative))

    @torch.no_grad()
    def __call__(self, x: Tensor, t: float, *, unconditional: bool) -> tuple[Tensor, Tensor | None]:
        """x: ``[b t c]``; t: 1 (noise) .. 0 (clean). Returns the conditional and, when asked, the unconditional
        velocity (noise - data), both ``[b t c]`` in the format of x."""
        velocity = self._velocity(x, t, self._condition)
        return velocity, self._unconditional(x, t) if unconditional else None

    def _unconditional(self, x: Tensor, t: float) -> Tensor:
        if self._negative is None or not any(self._weights):
            return self._velocity(x, t, self._null)
        negative = self._velocity(x, t, self._negative)
        if all(weight == 1 for weight in self._weights):
            return negative
        weight = torch.tensor(self._weights, dtype=x.dtype, device=x.device)[:, None, None]
        return torch.lerp(self._velocity(x, t, self._null), negative, weight)

    def _velocity(self, x: Tensor, t: float, condition: list[LayerCondition]) -> Tensor:
        time = torch.full((1,), t, dtype=torch.float32, device=x.device)
        return self._decoder(x, time, self._context.expand(len(x), -1, -1), condition).to(x.dtype)


def _padding(condition: Condition) -> Tensor | None:
    """The mask of a condition that has padding. One without needs none, and attention without a mask is faster."""
    return None if condition.mask is None or bool(condition.mask.all()) else condition.mask
