"""Adapters on a network: attached at strengths that can be changed later."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import cast

from torch import Tensor, nn

from ...parameters.adapters import STRENGTH
from ..network import AceStep, replace_layer
from .adapter import Adapter, Entry
from .fit import check_fit
from .linear import AdaptedLinear, Dequantisable, innermost
from .reach import FIXED, over_tokens, reach_of
from .sizes import GROUPS, OTHER, parameter_shapes
from .updates.update import merge

# Their weights are read without calling the layer (audio_codes.py).
READ_DIRECTLY = (".quantizer.project_in", ".quantizer.project_out")


@dataclass(frozen=True)
class Applied:
    """An adapter at a strength. groups: further factors by group of modules (`sizes.GROUPS`, "other"); 1 if absent.

    over_progress: a further factor at each progress, 0 (first step) .. 1 (last). over_song: further factors ``[t]`` for
    the latent frames of a song of so many. See reach.py for what they reach; None is 1 throughout.
    """

    adapter: Adapter
    strength: float = STRENGTH.default
    groups: Mapping[str, float] = field(default_factory=dict)
    over_progress: Callable[[float], float] | None = None
    over_song: Callable[[int], Tensor] | None = None

    @property
    def varies(self) -> bool:
        """Whether its strength depends on the step or on the place in the song."""
        return self.over_progress is not None or self.over_song is not None

    def strength_of(self, group: str) -> float:
        """The strength that a group of modules takes."""
        return self.strength * self.groups.get(group, 1.0)


class AttachedAdapters(nn.Module):
    """The stack on a network, as its submodule ``adapters``, and the originals of small parameters that it changed.

    Small are the parameters of anything but linear layers: they hold merged values, which a new strength replaces.
    """

    def __init__(self, stack: tuple[Applied, ...], merged: bool) -> None:
        super().__init__()
        self.stack, self.merged = stack, merged
        self.present = stack  # with the strengths that the network computes with now
        self.small: dict[str, list[tuple[int, Entry]]] = {}

    def original(self, parameter: str) -> Tensor:
        """The value of a small parameter without any adapter."""
        return cast(Tensor, self._buffers[_buffer_name(parameter)])

    def keep(self, parameter: str, value: Tensor, updates: list[tuple[int, Entry]]) -> None:
        """Remember a small parameter's original, unless it is there already, and what changes it, in order."""
        if parameter not in self.small:
            self.register_buffer(_buffer_name(parameter), value.detach())
        self.small[parameter] = [*self.small.get(parameter, []), *updates]

    def share(self) -> AttachedAdapters:
        """The same stack for another network over the same tensors; see `network.share`."""
        copy = AttachedAdapters(self.stack, self.merged)
        copy.present = self.present
        copy.small = {name: list(updates) for name, updates in self.small.items()}
        for name, buffer in self._buffers.items():
            copy.register_buffer(name, buffer)
        return copy

    def begin_step(self, network: AceStep, t: float, frames: int) -> tuple[float, ...]:
        """See `AceStep.begin_step`."""
        if not any(applied.varies for applied in self.stack):
            return ()
        songs = [None if entry.over_song is None else over_tokens(entry.over_song, frames) for entry in self.stack]
        present = [
            entry
            if entry.over_progress is None
            else replace(entry, strength=entry.strength * entry.over_progress(1 - t))
            for entry in self.stack
        ]
        _update(network, self, present, songs)
        means = (1.0 if song is None else float(song.mean()) for song in songs)
        return tuple(entry.strength * mean for entry, mean in zip(present, means, strict=True))


def attach(network: AceStep, stack: Sequence[Applied], *, merged: bool = False) -> None:
    """Attach adapters, applied in order, to a network in place: pass a copy by `network.share`.

    merged: write the changes into weights of 16 bits and more, once, from the original, and rounded once; the network
    then runs at its former speed, and its strengths are final. Weights of 8 bits or fewer are never merged, since
    rounding would swallow a weak adapter.

    Raises AdapterError if an adapter does not fit, ValueError for a strength out of range, an unknown group, and for
    adapters on a network with merged ones, and for a strength that varies where it is merged.
    """
    check_strengths(stack)
    if merged and any(applied.varies for applied in stack):
        raise ValueError("a merged adapter has one strength: leave out the curve and the regions, or don't merge it")
    check_fit([applied.adapter for applied in stack], network.config, network.name)
    present = attached(network)
    if present is not None and (merged or present.merged):
        raise ValueError("adapters are merged all at once, into a network without any: merge the whole stack together")
    whole = tuple(stack) if present is None else (*present.stack, *stack)
    updates = _by_parameter(stack, first=len(whole) - len(stack))
    layers = {name: _linear_layer(network, name) for name in updates}
    _check_parameters(network, [name for name, layer in layers.items() if layer is None])
    state = AttachedAdapters(whole, merged) if present is None else present
    state.stack, state.present = whole, (*state.present[: len(whole) - len(stack)], *stack)
    network.add_module("adapters", state)
    # Small parameters first: layers copy their bias when they are wrapped.
    for name in sorted(updates, key=lambda name: layers[name] is not None):
        layer = layers[name]
        if layer is None:
            state.keep(name, network.get_parameter(_present_name(network, name)), updates[name])
            _merge_small(network, state, name)
        elif merged and not isinstance(layer, Dequantisable):
            _merge_weight(layer, updates[name], whole)
        else:
            _wrap(network, name.removesuffix(".weight"), updates[name], whole)


def set_strengths(network: AceStep, strengths: Sequence[float]) -> None:
    """Give the attached adapters other strengths, one for each in order; factors of groups stay.

    It may be called before every step: nothing is loaded or built again, except the norms of a DoRA above an adapter
    whose strength changed. What was computed with the old strengths before, such as a projected condition, stays.
    Raises ValueError for another number of strengths, one out of range, and for merged adapters.
    """
    state = attached(network)
    count = 0 if state is None else len(state.stack)
    if state is None or len(strengths) != count:
        raise ValueError(f"{len(strengths)} strengths for {count} adapters; give one for each")
    if state.merged:
        raise ValueError("the adapters are merged, so their strengths are final: attach them unmerged")
    stack = [replace(applied, strength=strength) for applied, strength in zip(state.stack, strengths, strict=True)]
    check_strengths(stack)
    state.stack = tuple(stack)
    _update(network, state, stack, [None] * count)


def _update(
    network: AceStep, state: AttachedAdapters, present: Sequence[Applied], songs: Sequence[Tensor | None]
) -> None:
    """Compute with other strengths from now on. songs: of each adapter, factors ``[s]`` for the song's tokens."""
    previous, state.present = state.present, tuple(present)
    # A layer precedes what it wraps, so the reverse goes from the innermost outwards.
    changed: set[nn.Module] = set()
    for layer in reversed([module for module in network.modules() if isinstance(module, AdaptedLinear)]):
        if layer.base in changed:
            layer.refresh()
            changed.add(layer)
        source = state.stack if layer.reach == FIXED else present
        if layer.set_strength(source[layer.position].strength_of(layer.group), songs[layer.position]):
            changed.add(layer)
    means = [1.0 if song is None else float(song.mean()) for song in songs]
    state.present = tuple(replace(e, strength=e.strength * mean) for e, mean in zip(present, means, strict=True))
    for name, updates in state.small.items():
        if any(state.present[i].strength != previous[i].strength for i, _ in updates):
            _merge_small(network, state, name)


def attached(network: AceStep) -> AttachedAdapters | None:
    """The adapters on a network, None if there are none."""
    state = getattr(network, "adapters", None)
    return state if isinstance(state, AttachedAdapters) else None


def check_strengths(stack: Sequence[Applied]) -> None:
    """Raise ValueError for strengths out of range and unknown groups; lists all of them."""
    problems = []
    lowest, highest = cast(float, STRENGTH.minimum), cast(float, STRENGTH.maximum)
    for applied in stack:
        unknown = [name for name in applied.groups if name not in (*GROUPS, OTHER)]
        if unknown:
            problems.append(f"groups {', '.join(unknown)} are unknown; allowed: {', '.join((*GROUPS, OTHER))}")
        for value in (applied.strength, *applied.groups.values()):
            if not (math.isfinite(value) and lowest <= value <= highest):
                problems.append(
                    f"strength {value:g} of {applied.adapter.path.name}; allowed: {lowest:g} to {highest:g}"
                )
    if problems:
        raise ValueError("\n".join(problems))


def _by_parameter(stack: Sequence[Applied], first: int) -> dict[str, list[tuple[int, Entry]]]:
    """What changes each parameter, in order, with the position of its adapter; first: that of the first one."""
    updates: dict[str, list[tuple[int, Entry]]] = {}
    for position, applied in enumerate(stack, first):
        for entry in applied.adapter.entries:
            updates.setdefault(entry.parameter, []).append((position, entry))
    return updates


def _check_parameters(network: AceStep, small: list[str]) -> None:
    """Raise ValueError if small parameters have to change in a network whose layers are another program's."""
    is_own = "weight" in innermost(network.decoder.condition_embedder)._parameters
    if small and not is_own:
        raise ValueError(
            f"the adapter changes {small[0]}, which no linear layer is, and the model's layers are ComfyUI's own: "
            "load the model with this pack's loader"
        )


def _linear_layer(network: AceStep, parameter: str) -> nn.Module | None:
    """The linear layer, adapted or not, whose weight a parameter is; None for any other parameter."""
    path, _, leaf = parameter.rpartition(".")
    is_linear = leaf == "weight" and len(parameter_shapes(network.config)[parameter]) == 2
    return network.get_submodule(path) if is_linear and not path.endswith(READ_DIRECTLY) else None


def _wrap(network: AceStep, path: str, updates: list[tuple[int, Entry]], stack: Sequence[Applied]) -> None:
    for position, entry in updates:
        strength = stack[position].strength_of(entry.group)
        base = network.get_submodule(path)
        reach = reach_of(entry.parameter)
        layer = AdaptedLinear(base, entry.update, strength, position=position, group=entry.group, reach=reach)
        replace_layer(network, path, layer.train(base.training))


def _merge_weight(layer: nn.Module, updates: list[tuple[int, Entry]], stack: Sequence[Applied]) -> None:
    weight = cast(Tensor, layer.weight)
    layer._parameters["weight"] = _merged(weight, updates, stack)


def _merge_small(network: AceStep, state: AttachedAdapters, parameter: str) -> None:
    stack = state.stack if reach_of(parameter) == FIXED else state.present
    path, _, leaf = _present_name(network, parameter).rpartition(".")
    module = network.get_submodule(path)
    module._parameters[leaf] = _merged(state.original(parameter), state.small[parameter], stack)
    # Layers above hold a copy of the bias.
    layer = network.get_submodule(parameter.rpartition(".")[0])
    while leaf == "bias" and isinstance(layer, AdaptedLinear):
        if layer.bias is not None:
            layer.bias = module._parameters[leaf].detach()  # pyright: ignore[reportOptionalMemberAccess]
        layer = layer.base


def _merged(weight: Tensor, updates: list[tuple[int, Entry]], stack: Sequence[Applied]) -> nn.Parameter:
    """The weight with its updates, rounded once to its own dtype."""
    strengths = [(entry.update, stack[position].strength_of(entry.group)) for position, entry in updates]
    return nn.Parameter(merge(weight, strengths).to(weight.dtype), requires_grad=False)


def _present_name(network: AceStep, parameter: str) -> str:
    """Where a layer's bias lies once the layer is adapted."""
    path, _, leaf = parameter.rpartition(".")
    layer = network.get_submodule(path)
    while isinstance(layer, AdaptedLinear):
        path, layer = f"{path}.base", layer.base
    return f"{path}.{leaf}".lstrip(".")


def _buffer_name(parameter: str) -> str:
    return parameter.replace(".", "__")
