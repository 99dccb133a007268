"""A linear layer that stays as it is, with one adapter's update of it."""

from __future__ import annotations

from typing import Protocol, cast, runtime_checkable

import torch
from torch import Tensor, nn

from ..layers import compute_dtype
from .reach import RUN, SONG
from .updates.decomposed import Decomposed
from .updates.forms import Form
from .updates.update import Update, merge


@runtime_checkable
class Dequantisable(Protocol):
    """A linear layer whose weight is not stored as plain numbers."""

    def dequantise(self) -> Tensor:
        """The weight ``[n k]`` in the dtype that the layer computes in."""
        ...


class AdaptedLinear(nn.Module):
    """The sum of a layer and an update; several of them around each other are a stack, the outermost applied last.

    ``base`` is a linear layer of any kind, also one with 8-bit or streamed weights, or another AdaptedLinear. Its
    weight is read here, once, and again only where the update depends on what lies below and that changes.
    """

    strength: Tensor
    over_song: Tensor | None
    bias: Tensor | None

    def __init__(
        self, base: nn.Module, update: Update, strength: float, *, position: int, group: str, reach: str = SONG
    ) -> None:
        """position: of the adapter in the network's stack; group: whose strength the layer takes; reach: what that
        strength follows, see reach.py."""
        super().__init__()
        self.base = base
        self.update, self.position, self.group, self.reach = update, position, group, reach
        self.value = strength
        weight = self._weight_to_form()
        self.form = update.form(weight, compute_dtype(base))
        self.register_buffer("strength", torch.tensor(strength, dtype=torch.float32, device=weight.device))
        self.register_buffer("over_song", None)  # ``[s 1]``, the strength at each token where it is not the same
        bias = innermost(base).bias if self.form.reads_output else None
        # A copy, since a streamed layer's own bias is elsewhere while this one computes.
        self.register_buffer("bias", None if bias is None else cast(Tensor, bias).detach().clone())

    @property
    def in_features(self) -> int:
        return cast(int, self.base.in_features)

    @property
    def out_features(self) -> int:
        return cast(int, self.base.out_features)

    @property
    def dtype(self) -> torch.dtype:
        """Of what goes in and comes out."""
        return compute_dtype(self.base)

    def forward(self, x: Tensor) -> Tensor:
        """``[... k]`` to ``[... n]``."""
        strength = self.strength if self.over_song is None else self.over_song
        y = self.base(self.form.before(x, strength))
        return self.form.after(y, x, strength, self.bias)

    def set_strength(self, strength: float, song: Tensor | None = None) -> bool:
        """Take another strength; whether it differs from the last. song: factors ``[s]`` for the tokens of the song."""
        if self.reach == SONG:
            self._set_song(strength, song)
        elif song is not None and self.reach == RUN:
            strength *= float(song.mean())
        changed = strength != self.value
        if changed:
            self.value = strength
            self.strength.fill_(strength)
        return changed

    def _set_song(self, strength: float, song: Tensor | None) -> None:
        if song is None:
            self.over_song = None
            return
        values = (strength * song)[:, None].to(self.strength.device, self.dtype)
        if self.over_song is not None and self.over_song.shape == values.shape:
            self.over_song.copy_(values)  # in place, for what was compiled with it
        else:
            self.over_song = values

    def refresh(self) -> None:
        """Take note of new strengths below, where the update depends on the weight."""
        if isinstance(self.update, Decomposed):
            self.form = self.update.form(self._weight_to_form(), compute_dtype(self.base))

    def share(self) -> AdaptedLinear:
        """Another layer over the same tensors, with a strength of its own; see `network.share`."""
        copy = AdaptedLinear.__new__(AdaptedLinear)
        nn.Module.__init__(copy)
        copy.base = share_layer(self.base)
        copy.update, copy.position, copy.group, copy.value = self.update, self.position, self.group, self.value
        copy.reach = self.reach
        copy.form = self.form.share()
        copy.register_buffer("strength", self.strength.clone())
        copy.register_buffer("over_song", None if self.over_song is None else self.over_song.clone())
        copy.register_buffer("bias", self.bias)
        return copy

    def _weight_to_form(self) -> Tensor:
        """The weight ``[n k]`` that the update is applied to, in float32; zeros where only its size matters."""
        if not isinstance(self.update, Decomposed):
            device = next(innermost(self.base).parameters()).device
            return torch.zeros((), device=device).expand(self.out_features, self.in_features)
        updates: list[tuple[Update, float]] = []
        layer = self.base
        while isinstance(layer, AdaptedLinear):
            updates.insert(0, (layer.update, layer.value))
            layer = layer.base
        return merge(weight_of(layer), updates)


def move_adapters(network: nn.Module, device: torch.device) -> None:
    """Bring what adapters add to layers to a device, for layers that someone else moves."""
    for part in network.modules():
        if isinstance(part, (AdaptedLinear, Form)):
            for name, buffer in part.named_buffers(recurse=False):
                part._buffers[name] = buffer.to(device)


def innermost(layer: nn.Module) -> nn.Module:
    """The layer below all adapters."""
    while isinstance(layer, AdaptedLinear):
        layer = layer.base
    return layer


def weight_of(layer: nn.Module) -> Tensor:
    """A linear layer's weight ``[n k]``, dequantised if it is stored in 8 bits or fewer."""
    return layer.dequantise() if isinstance(layer, Dequantisable) else cast(Tensor, layer.weight).detach()


def share_layer(layer: nn.Module) -> nn.Module:
    """Another linear layer over the same tensors. Raises TypeError for a class that can't be copied."""
    share = getattr(layer, "share", None)
    if share is not None:
        return share()
    if type(layer) is not nn.Linear:
        raise TypeError(f"{type(layer).__name__} has no method share(), by which layers are copied")
    with torch.device("meta"):
        copy = nn.Linear(layer.in_features, layer.out_features, layer.bias is not None)
    for name, value in layer.named_parameters(recurse=False):
        copy._parameters[name] = nn.Parameter(value.detach(), requires_grad=False)
    return copy.train(layer.training)
