"""The sampler's only view of the network: the velocity of a latent, conditional and unconditional."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from .condition import Condition
from .network import AceStep
from .step_cache import Counts, StepCache
from .transformer import TimestepModulation
from .transformer_layer import LayerCondition


class Predictor:
    """Velocities under a fixed condition and context.

    Built once per run: every layer's keys and values of the condition, and the constant that the null condition
    amounts to, are computed here rather than at every step. Unconditional means the learned null condition with the
    same context, so guidance contrasts caption, lyrics and timbre but never the source (official inference).
    """

    def __init__(
        self,
        network: AceStep,
        condition: Condition,
        context: Tensor,
        negative: Condition | None = None,
        negative_weights: Sequence[float] = (1.0,),
        batched: bool | None = None,
    ) -> None:
        """context: ``[b t 2c]``; condition and negative: batch b or 1.

        The unconditional velocity of item i is negative_weights[i] of the negative condition's plus the rest of the
        null condition's; without a negative condition it is the null condition's. batched: compute the two velocities
        of a guided step in one batch. None: yes, except on a CPU, which one song keeps busy and which would only need
        more memory.
        """
        self._decoder = decoder = network.decoder
        self._device = context.device
        self._threshold = network.step_cache
        self._caches: dict[int, StepCache] = {}
        self.counts = Counts()
        # Each velocity decides by itself which layers to skip, so with a step cache they are computed one by one.
        self._batched = (context.device.type != "cpu" if batched is None else batched) and not self._threshold
        self._timesteps: dict[float, TimestepModulation] = {}
        self._weights = (0.0,) if negative is None else tuple(negative_weights)
        with torch.no_grad():
            self._condition = decoder.project_kv(condition.states, condition.padding_mask)
            self._null = decoder.project_constant(network.null_condition_emb)
            self._negative = None if negative is None else decoder.project_kv(negative.states, negative.padding_mask)
            self._context = decoder.embed_context(context)

    @torch.no_grad()
    def precompute_timesteps(self, levels: Sequence[float]) -> None:
        """Embed these noise levels in one batch, which costs little more than embedding one.

        Optional: other levels are embedded when they are evaluated.
        """
        new = [t for t in dict.fromkeys(levels) if t not in self._timesteps]
        if new:
            batch = self._decoder.embed_timesteps(torch.tensor(new, dtype=torch.float32, device=self._device))
            embeddings, modulations = batch.embedding.split(1), batch.modulation.split(1)
            self._timesteps |= {
                t: TimestepModulation(embedding, modulation)
                for t, embedding, modulation in zip(new, embeddings, modulations, strict=True)
            }

    @torch.no_grad()
    def __call__(self, x: Tensor, t: float, *, unconditional: bool) -> tuple[Tensor, Tensor | None]:
        """x: ``[b t c]``; t: 1 (noise) .. 0 (clean). Returns the conditional and, when asked, the unconditional
        velocity (noise - data), both ``[b t c]`` in the dtype of x."""
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
        velocities = self._decoder.velocities(
            x, self._timesteps[t], self._context, [*conditions], batched=self._batched, caches=caches
        )
        return [velocity.to(x.dtype) for velocity in velocities]

    def _cache(self, condition: list[LayerCondition]) -> StepCache | None:
        """The step cache of a condition, if the network has a threshold."""
        if not self._threshold:
            return None
        # The lists live as long as this object, so their ids stay unique.
        return self._caches.setdefault(id(condition), StepCache(self._threshold, self.counts))
