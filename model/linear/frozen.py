"""What linear layers have in common whose weights are stored in another form than they are multiplied in."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class FrozenLinear(nn.Linear):
    """A linear layer ``y = x @ W.T + bias`` that makes W, ``[n k]``, anew for each forward.

    Its tensors are plain ones that any host moves, measures and streams; the large one is called weight. dtype: of x, y
    and W.
    """

    dtype: torch.dtype
    # Changes to W that its stored form could not hold, such as a LoRA of ComfyUI's; see host/comfy_memory.py.
    weight_patches: tuple[Callable[[Tensor], Tensor], ...] = ()

    @property
    @abstractmethod
    def stored_as(self) -> str:
        """The form of the weights, for messages: "8 bits", "Q4_K"."""

    @abstractmethod
    def dequantise(self) -> Tensor:
        """W in the layer's dtype."""

    @abstractmethod
    def share(self) -> FrozenLinear:
        """Another layer over the same tensors; see `network.share`."""

    def work_bytes(self) -> int:
        """The most that `dequantise` allocates, its result included."""
        return self.in_features * self.out_features * self.dtype.itemsize

    def forward(self, input: Tensor) -> Tensor:
        """``[... k]`` to ``[... n]``, both in the layer's dtype."""
        weight = self.dequantise()
        for patch in self.weight_patches:
            weight = patch(weight.float()).to(self.dtype)
        return F.linear(input, weight, self.bias)

    def convert_weight(self, weight: Tensor, inplace: bool = False) -> Tensor:
        """W on the device of a copy of its stored form; ComfyUI asks for it to merge models."""
        return self.dequantise().to(weight.device)
