"""The one thing the sampler sees of the network: velocity of a latent, conditional and unconditional."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from .condition import Condition
from .network import AceStep
from .step_cache import Counts, StepCache
from .transformer import LayerCondition, Moment


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
        together: bool | None = None,
    ) -> None:
        """context: ``[b t 2c]``; condition and negative: batch b or 1.

        The unconditional velocity of item i is negative_weights[i] of the negative condition's and the rest of the null
        condition's; without a negative condition it is the null condition's. together: compute the two velocities of a
        guided step in one batch; None: except on a CPU, which is busy with one song already and only needs more memory.
        """
        self._decoder = decoder = network.decoder
        self._device = context.device
        self._threshold = network.step_cache
        self._caches: dict[int, StepCache] = {}
        self.counts = Counts()
        # Each velocity decides for itself what of the last step it uses again, so they are computed one by one.
        self._together = (context.device.type != "cpu" if together is None else together) and not self._threshold
        self._moments: dict[float, Moment] = {}
        self._weights = (0.0,) if negative is None else tuple(negative_weights)
        with torch.no_grad():
            self._condition = decoder.remember(condition.states, _padding(condition))
            self._null = decoder.remember_constant(network.null_condition_emb)
            self._negative = None if negative is None else decoder.remember(negative.states, _padding(negative))
            self._setting = decoder.settle(context)

    @torch.no_grad()
    def precompute_timesteps(self, levels: Sequence[float]) -> None:
        """Prepare for these noise levels all at once, which costs hardly more than one of them at its step.

        Levels that were not announced are prepared when they come.
        """
        new = [t for t in dict.fromkeys(levels) if t not in self._moments]
        if new:
            moment = self._decoder.moment(torch.tensor(new, dtype=torch.float32, device=self._device))
            embeddings, modulations = moment.embedding.split(1), moment.modulation.split(1)
            self._moments |= {t: Moment(e, m) for t, e, m in zip(new, embeddings, modulations, strict=True)}

    @torch.no_grad()
    def __call__(self, x: Tensor, t: float, *, unconditional: bool) -> tuple[Tensor, Tensor | None]:
        """x: ``[b t c]``; t: 1 (noise) .. 0 (clean). Returns the conditional and, when asked, the unconditional
        velocity (noise - data), both ``[b t c]`` in the format of x."""
        if not unconditional:
            return self._velocities(x, t, self._condition)[0], None
        against = self._null if self._negative is None or not any(self._weights) else self._negative
        conditional, other = self._velocities(x, t, self._condition, against)
        if against is self._null or all(weight == 1 for weight in self._weights):
            return conditional, other
        weight = torch.tensor(self._weights, dtype=x.dtype, device=x.device)[:, None, None]
        return conditional, torch.lerp(self._velocities(x, t, self._null)[0], other, weight)

    def _velocities(self, x: Tensor, t: float, *conditions: list[LayerCondition]) -> list[Tensor]:
        """One velocity of x for each condition."""
        self.precompute_timesteps((t,))
        caches = [self._cache(condition) for condition in conditions]
        found = self._decoder.velocities(
            x, self._moments[t], self._setting, [*conditions], together=self._together, caches=caches
        )
        return [velocity.to(x.dtype) for velocity in found]

    def _cache(self, condition: list[LayerCondition]) -> StepCache | None:
        """What earlier evaluations under this condition left behind, where a threshold allows to use it."""
        if not self._threshold:
            return None
        # The lists live as long as this object, so their ids are theirs alone.
        return self._caches.setdefault(id(condition), StepCache(self._threshold, self.counts))


def _padding(condition: Condition) -> Tensor | None:
    """The mask of a condition that has padding. One without needs none, and attention without a mask is faster."""
    return None if condition.mask is None or bool(condition.mask.all()) else condition.mask
