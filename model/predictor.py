"""The sampler's only view of the network: the velocity of a latent, conditional and unconditional."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from .condition import Condition
from .network import AceStep
from .step_cache import Counts, StepCache
from .transformer import TimestepModulation

CONDITION, NEGATIVE, NULL = "condition", "negative", "null"


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
        self._network, self._decoder = network, network.decoder
        self._device = context.device
        self._frames = context.shape[1]
        self._threshold = network.step_cache
        self._caches: dict[str, StepCache] = {}
        self.counts = Counts()
        # Each velocity decides by itself which layers to skip, so with a step cache they are computed one by one.
        self._batched = (context.device.type != "cpu" if batched is None else batched) and not self._threshold
        self._weights = (0.0,) if negative is None else tuple(negative_weights)
        self._inputs = (condition, negative, context)
        self._strengths = network.begin_step(1.0, self._frames)
        self._project()

    @torch.no_grad()
    def _project(self) -> None:
        """Compute what stays the same from step to step while adapters keep their strengths."""
        condition, negative, context = self._inputs
        decoder = self._decoder
        self._timesteps: dict[float, TimestepModulation] = {}
        self._conditions = {
            CONDITION: decoder.project_kv(condition.states, condition.padding_mask),
            NULL: decoder.project_constant(self._network.null_condition_emb),
        }
        if negative is not None:
            self._conditions[NEGATIVE] = decoder.project_kv(negative.states, negative.padding_mask)
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
        strengths = self._network.begin_step(t, self._frames)
        if strengths != self._strengths:
            self._strengths = strengths
            self._project()
        if not unconditional:
            return self._velocities(x, t, CONDITION)[0], None
        against = NEGATIVE if any(self._weights) else NULL
        conditional, other = self._velocities(x, t, CONDITION, against)
        if against == NULL or all(weight == 1 for weight in self._weights):
            return conditional, other
        weight = torch.tensor(self._weights, dtype=x.dtype, device=x.device)[:, None, None]
        return conditional, torch.lerp(self._velocities(x, t, NULL)[0], other, weight)

    def _velocities(self, x: Tensor, t: float, *names: str) -> list[Tensor]:
        """One velocity of x for each condition."""
        self.precompute_timesteps((t,))
        caches = [self._cache(name) for name in names]
        conditions = [self._conditions[name] for name in names]
        velocities = self._decoder.velocities(
            x, self._timesteps[t], self._context, conditions, batched=self._batched, caches=caches
        )
        return [velocity.to(x.dtype) for velocity in velocities]

    def _cache(self, name: str) -> StepCache | None:
        """The step cache of a condition, if the network has a threshold."""
        if not self._threshold:
            return None
        return self._caches.setdefault(name, StepCache(self._threshold, self.counts))
