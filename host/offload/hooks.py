"""Layers whose weights stay in main memory and are copied to the device for each forward.

Large linear layers and embeddings hold nearly all weights of a transformer. Whatever manages the memory picks the
ones to offload; `dispatch` then moves everything else to the device and hooks these. Their parameters never move, so
nothing is copied back. Code that reads the weights of a layer without calling it fails while they are offloaded.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import nn

# Layers with fewer bytes of weights are not worth a transfer of their own.
MIN_BYTES = 2**20
OFFLOADED_PARAMETERS = ("weight", "bias")

# Copies a layer's weights to the device. Returns them by name, and what to call after the layer has used them.
Fetch = Callable[[nn.Module], tuple[dict[str, torch.Tensor], Callable[[], None]]]

_HOOKS = "_acestep_xl_hooks"


def offloadable_layers(network: nn.Module, min_bytes: int = MIN_BYTES) -> list[nn.Module]:
    """The linear layers and embeddings with at least ``min_bytes`` of weights."""
    layers = [module for module in network.modules() if isinstance(module, (nn.Linear, nn.Embedding))]
    return [layer for layer in layers if layer.weight.numel() * layer.weight.element_size() >= min_bytes]


def dispatch(network: nn.Module, offloaded: Sequence[nn.Module], device: torch.device, fetch: Fetch) -> None:
    """Hook the ``offloaded`` layers, some of `offloadable_layers`, and move everything else to the device."""
    hooked = {id(layer) for layer in offloaded}
    for module in network.modules():
        _detach(module)
        excluded = OFFLOADED_PARAMETERS if id(module) in hooked else ()
        for name, parameter in module.named_parameters(recurse=False):
            if name not in excluded and parameter.device != device:
                module._parameters[name] = nn.Parameter(parameter.to(device), parameter.requires_grad)
        for name, buffer in module.named_buffers(recurse=False):
            module._buffers[name] = buffer.to(device)
    attach_hooks(offloaded, device, fetch)


def attach_hooks(layers: Sequence[nn.Module], device: torch.device, fetch: Fetch) -> None:
    """Fetch the weights of these layers before each forward."""
    for layer in layers:
        layer.__dict__[_HOOKS] = _attach(layer, device, fetch)


def detach_hooks(network: nn.Module) -> None:
    """Remove all hooks of `attach_hooks` and `dispatch`."""
    for module in network.modules():
        _detach(module)


@contextmanager
def interruptible(modules: Sequence[nn.Module], check: Callable[[], None]) -> Iterator[None]:
    """Call ``check`` before every block of every network inside the ``with``; what it raises stops the network.

    The blocks are the members of module lists. Compiled blocks are skipped: a hook would trigger a recompilation.
    """
    lists = [part for module in modules for part in module.modules() if isinstance(part, nn.ModuleList)]
    blocks = [block for part in lists for block in part if getattr(block, "_compiled_call_impl", None) is None]
    hooks = [block.register_forward_pre_hook(lambda module, arguments: check()) for block in blocks]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


def _attach(layer: nn.Module, device: torch.device, fetch: Fetch) -> list[torch.utils.hooks.RemovableHandle]:
    callbacks: list[Callable[[], None]] = []

    def before(layer: nn.Module, arguments: tuple[object, ...]) -> tuple[object, ...]:
        copies, after_use = fetch(layer)
        # An attribute of the instance shadows the parameter of the same name in the layer's own forward.
        layer.__dict__.update(copies)
        callbacks.append(after_use)
        return tuple(x.to(device) if isinstance(x, torch.Tensor) else x for x in arguments)

    def after(layer: nn.Module, arguments: object, output: object) -> None:
        _restore(layer)
        while callbacks:
            callbacks.pop()()

    return [layer.register_forward_pre_hook(before), layer.register_forward_hook(after, always_call=True)]


def _detach(module: nn.Module) -> None:
    for hook in module.__dict__.pop(_HOOKS, ()):
        hook.remove()
    _restore(module)


def _restore(module: nn.Module) -> None:
    """Uncover the parameters that fetched copies shadow."""
    for name in OFFLOADED_PARAMETERS:
        if name in module._parameters:
            module.__dict__.pop(name, None)
