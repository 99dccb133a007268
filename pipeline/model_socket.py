"""MODEL sockets: our networks, and those of ComfyUI's own loaders, whose layers ours then computes with."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from weakref import WeakKeyDictionary

from torch import nn

from ..host import current_host
from ..host.protocol import Held
from ..model import compiled
from ..model.adapters.attach import Applied, attach
from ..model.borrowed import bind, borrow, own_copy
from ..model.linear import quantise
from ..model.network import AceStep, share

# Our network by the module whose layers it uses.
_borrowed: WeakKeyDictionary[nn.Module, AceStep] = WeakKeyDictionary()


def network_of(model: Any) -> AceStep:
    """The network of a MODEL. Raises ValueError for another kind of model."""
    sockets = current_host().sockets
    network = sockets.network_of(model)
    if network is None:
        foreign = sockets.foreign_network(model)
        assert foreign is not None  # a MODEL holds a network, ours or another
        network = _borrowed.get(foreign.module)
        if network is None:
            network = borrow(foreign.module, foreign.dtype, foreign.read_weights, foreign.silence)
            _borrowed[foreign.module] = network
    if not isinstance(network, AceStep):
        raise ValueError(f"model holds {type(network).__name__}: connect a node that loads ACE-Step 1.5")
    return network


def held(model: Any) -> Held:
    """The network of a MODEL, for the host to load with the patches of other nodes."""
    return Held(network_of(model), model)


def refresh(model: Any) -> None:
    """Take over what others did to a MODEL's weights since. Call it where the model is loaded, before it runs."""
    foreign = current_host().sockets.foreign_network(model)
    if foreign is not None:
        bind(network_of(model), foreign.module, foreign.device)


def adapt(model: Any, weights: str, compile_mode: str, step_cache: float) -> Any:
    """A MODEL with other weights or settings; the one given is unchanged. The arguments are those of the Speed node.

    Patches of other nodes stay patches, except on a network of ComfyUI's loaders that is to have 8-bit weights: there
    they are merged before the weights are rounded.
    """
    host = current_host()
    # A copy of what lies on a card just now would keep that memory for itself.
    host.offload(held(model))
    network, sockets = network_of(model), host.sockets
    if weights != quantise.AS_LOADED and sockets.foreign_network(model) is not None:
        with host.resident([held(model)], 0):
            refresh(model)
            network = own_copy(network)
        adapted = quantise.convert(network, weights)
        result = sockets.make_model(adapted, like=model)
    else:
        adapted = quantise.convert(network, weights)
        result = sockets.replace_network(model, adapted)
    compiled.compile_layers(adapted, compile_mode)
    adapted.step_cache = step_cache
    return result


def with_shift(model: Any, shift: float) -> Any:
    """A MODEL whose noise levels have another shift, as ComfyUI's schedulers read them."""
    return current_host().sockets.set_shift(model, shift)


def with_adapters(model: Any, stack: Sequence[Applied]) -> Any:
    """A MODEL with adapters on top of what it has; the one given is unchanged."""
    network = share(network_of(model))
    attach(network, stack)
    return current_host().sockets.replace_network(model, network)
