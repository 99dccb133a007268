"""Networks that lie partly in main memory: a layer's weights come to the device for its forward and go again.

Large linear layers and embeddings hold nearly all weights of a transformer. Whoever manages the memory decides which of
them stay away; `settle` then brings everything else to the device and hooks the layers that are away. Their own weights
never move, so nothing is copied back. Code that reads the weights of such a layer without calling the layer does not
work while it is away.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import nn

# Smaller layers are not worth a transfer of their own.
SMALLEST = 2**20
CARRIED = ("weight", "bias")

# Brings a layer's weights to the device: copies by name, and what to call once the layer has used them.
Fetch = Callable[[nn.Module], tuple[dict[str, torch.Tensor], Callable[[], None]]]

_HOOKS = "_acestep_xl_hooks"


def streamable(network: nn.Module, smallest: int = SMALLEST) -> list[nn.Module]:
    """The linear layers and embeddings with at least ``smallest`` bytes of weights."""
    layers = [module for module in network.modules() if isinstance(module, (nn.Linear, nn.Embedding))]
    return [layer for layer in layers if layer.weight.numel() * layer.weight.element_size() >= smallest]


def settle(network: nn.Module, away: Sequence[nn.Module], device: torch.device, fetch: Fetch) -> None:
    """Bring to the device what is not ``away`` (layers out of `streamable`), and hook what is."""
    hooked = {id(module) for module in away}
    for module in network.modules():
        _unhook(module)
        stays = CARRIED if id(module) in hooked else ()
        for name, parameter in module.named_parameters(recurse=False):
            if name not in stays and parameter.device != device:
                module._parameters[name] = nn.Parameter(parameter.to(device), parameter.requires_grad)
        for name, buffer in module.named_buffers(recurse=False):
            module._buffers[name] = buffer.to(device)
    hook(away, device, fetch)


def hook(away: Sequence[nn.Module], device: torch.device, fetch: Fetch) -> None:
    """Have the weights of these layers brought for each forward."""
    for module in away:
        module.__dict__[_HOOKS] = _hook(module, device, fetch)


def release(network: nn.Module) -> None:
    """Take all hooks of `settle` off again."""
    for module in network.modules():
        _unhook(module)


@contextmanager
def interruptible(modules: Sequence[nn.Module], check: Callable[[], None]) -> Iterator[None]:
    """Inside the block, ``check`` is called before every block of every network; what it raises stops the network.

    The blocks are the members of module lists. A block that torch compiles is left alone: a hook would compile it anew.
    """
    lists = [part for module in modules for part in module.modules() if isinstance(part, nn.ModuleList)]
    blocks = [block for part in lists for block in part if getattr(block, "_compiled_call_impl", None) is None]
    hooks = [block.register_forward_pre_hook(lambda module, arguments: check()) for block in blocks]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


def _hook(module: nn.Module, device: torch.device, fetch: Fetch) -> list[torch.utils.hooks.RemovableHandle]:
    done: list[Callable[[], None]] = []

    def bring(module: nn.Module, arguments: tuple[object, ...]) -> tuple[object, ...]:
        copies, finish = fetch(module)
        # An attribute of the instance hides the parameter of the same name from the layer's own forward.
        module.__dict__.update(copies)
        done.append(finish)
        return tuple(x.to(device) if isinstance(x, torch.Tensor) else x for x in arguments)

    def leave(module: nn.Module, arguments: object, output: object) -> None:
        _uncover(module)
        while done:
            done.pop()()

    return [module.register_forward_pre_hook(bring), module.register_forward_hook(leave, always_call=True)]


def _unhook(module: nn.Module) -> None:
    for hook in module.__dict__.pop(_HOOKS, ()):
        hook.remove()
    _uncover(module)


def _uncover(module: nn.Module) -> None:
    for name in CARRIED:
        if name in module._parameters:
            module.__dict__.pop(name, None)
