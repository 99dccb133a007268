"""One layer of the diffusion transformer, and the forms in which it takes a condition."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from .attention import attend
from .config import StackWidth
from .layers import MLP, Attention, Rotary, SelfAttention, Visible, compute_dtype


@dataclass(frozen=True)
class ConditionKV:
    """A condition's keys and values in one layer's cross-attention.

    k, v: ``[b g e d]``; mask: ``[b 1 1 e]`` bool or None.
    """

    k: Tensor
    v: Tensor
    mask: Tensor | None


@dataclass(frozen=True)
class PairedConditions:
    """Two conditions in one batch: the first half of its items attends to the first, the second half to the second."""

    first: LayerCondition
    second: LayerCondition


# A Tensor [1 1 hidden] stands for a condition that repeats one vector, such as the null condition: attention over it
# is the same for every query, so its output is simply added.
LayerCondition = ConditionKV | Tensor | PairedConditions


class CrossAttention(Attention):
    """Attention to the condition, without rotary embedding."""

    def project_kv(self, condition: Tensor, mask: Tensor | None) -> ConditionKV:
        """Keys and values of an embedded condition ``[b e hidden]``; they stay the same for a whole run."""
        condition = condition.to(compute_dtype(self.k_proj))
        key_mask = None if mask is None else mask[:, None, None, :]
        key, value = self.key(condition).transpose(1, 2), self.value(condition).transpose(1, 2)
        return ConditionKV(key, value, key_mask)

    def project_constant(self, token: Tensor) -> Tensor:
        """Output of attention over any number of copies of one token ``[1 1 hidden]``: its projected value."""
        value = self.value(token.to(compute_dtype(self.v_proj)))
        groups = self.q_proj.out_features // self.v_proj.out_features
        return self.output(value.repeat_interleave(groups, dim=2))

    def forward(self, x: Tensor, condition: ConditionKV) -> Tensor:
        q = self.query(x.to(self.dtype)).transpose(1, 2)
        return self.output(attend(q, condition.k, condition.v, condition.mask).transpose(1, 2))


class Layer(nn.Module):
    """Modulated self-attention, plain cross-attention, modulated MLP."""

    def __init__(self, width: StackWidth, eps: float) -> None:
        super().__init__()
        self.self_attn_norm = nn.RMSNorm(width.hidden, eps=eps)
        self.self_attn = SelfAttention(width, eps)
        self.cross_attn_norm = nn.RMSNorm(width.hidden, eps=eps)
        self.cross_attn = CrossAttention(width, eps)
        self.mlp_norm = nn.RMSNorm(width.hidden, eps=eps)
        self.mlp = MLP(width)
        self.scale_shift_table = nn.Parameter(torch.empty(1, 6, width.hidden))

    def forward(
        self, h: Tensor, modulation: Tensor, rotary: Rotary, visible: Visible, condition: LayerCondition
    ) -> Tensor:
        """h: ``[b s hidden]``; modulation: ``[b 6 hidden]``, this layer's table added: shift, 1 + scale and gate of
        self-attention, then those of the MLP."""
        attended = self.self_attend(h, modulation, rotary, visible)
        return self.cross_attend_and_mlp(attended, modulation, condition)

    def self_attend(self, h: Tensor, modulation: Tensor, rotary: Rotary, visible: Visible) -> Tensor:
        """The first part of the layer, which does not see the condition. Shapes as in `forward`."""
        # Split by size, not into chunks: compiled for any size, the last chunk is read as if it were a whole song.
        shift, scale, gate = modulation.split(1, dim=1)[:3]
        x = torch.addcmul(shift, self.self_attn_norm(h), scale)
        return torch.addcmul(h, gate, self.self_attn(x, rotary, visible))

    def cross_attend_and_mlp(self, attended: Tensor, modulation: Tensor, condition: LayerCondition) -> Tensor:
        """The rest of the layer, applied to the result of `self_attend`, which is used up for a pair of conditions."""
        shift, scale, gate = modulation.split(1, dim=1)[3:]
        h = self._cross_attend(attended, condition)
        x = torch.addcmul(shift, self.mlp_norm(h), scale)
        return torch.addcmul(h, gate, self.mlp(x))

    def _cross_attend(self, h: Tensor, condition: LayerCondition) -> Tensor:
        if isinstance(condition, PairedConditions):
            # In place: putting the halves together again would be another pass over both.
            for half, own in zip(h.chunk(2), (condition.first, condition.second), strict=True):
                half.add_(self._attend_to(half, own))
            return h
        return h + self._attend_to(h, condition)

    def _attend_to(self, h: Tensor, condition: LayerCondition) -> Tensor:
        """What the condition adds; nested pairs do not occur."""
        if isinstance(condition, ConditionKV):
            return self.cross_attn(self.cross_attn_norm(h), condition)
        assert isinstance(condition, Tensor)
        return condition
