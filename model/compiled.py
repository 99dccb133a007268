"""The transformer's layers compiled by torch: fewer passes over memory, and with CUDA graphs fewer launches.

One layer is compiled, not the whole network: all layers share what comes out of it, so that it takes seconds and not
minutes, and a stop is heard between two layers. Lengths are symbols in it, so that another duration needs nothing new.
"""

from __future__ import annotations

import types
import weakref
from collections.abc import Callable
from typing import Any, cast

import torch
from torch import nn

from .network import AceStep
from .transformer import Layer

OFF, ON, GRAPHS = "off", "on", "cuda graphs"
MODES = (OFF, ON, GRAPHS)


def compile_layers(network: AceStep, mode: str) -> None:
    """Compile the layers of a network of one's own (see quantise.copy_of) when they first run. mode: one of MODES.

    All but the first, which both halves of a guided step run in part together.
    """
    if mode == OFF:
        return
    for first in (1, 2):  # full and sliding attention
        forward = _compiled(mode)
        for index in range(first, len(network.decoder.layers), 2):
            layer = cast(Layer, network.decoder.layers[index])
            # An attribute of the instance hides the class's forward; hooks on the layer stay outside of the compiled.
            layer.__dict__["forward"] = CompiledForward(layer, forward, starts=mode == GRAPHS and index == 1)


def check(mode: str, device: torch.device) -> None:
    """Refuse a mode that a device does not have. Raises ValueError that says what to choose."""
    if mode not in MODES:
        raise ValueError(f"compile = {mode!r} is unknown; allowed: {', '.join(MODES)}")
    if mode == GRAPHS and device.type != "cuda":
        raise ValueError(
            f"compile = {GRAPHS} needs an NVIDIA or AMD card, and this device is {device.type}; choose {ON}"
        )


class CompiledForward:
    """Forward of one layer: compiled, or as written where a host brings its weights while it runs."""

    def __init__(self, layer: Layer, forward: Callable[..., Any], starts: bool) -> None:
        """starts: whether the compiled part of a pass through the network begins with this layer, after which the
        results that CUDA graphs left of the last pass may be overwritten."""
        self._layer = weakref.ref(layer)  # which owns this object
        self._forward, self._starts = forward, starts

    def __call__(self, *arguments: Any) -> Any:
        layer = self._layer()
        assert layer is not None, "a layer outlives its own forward"
        if _streamed(layer):
            return Layer.forward(layer, *arguments)
        if self._starts:
            torch.compiler.cudagraph_mark_step_begin()
        try:
            return self._forward(layer, *arguments)
        except RuntimeError as error:
            from torch._dynamo.exc import TorchDynamoException  # imported by now, and slow to import before

            if not isinstance(error, TorchDynamoException):
                raise
            raise RuntimeError(
                f"compile: torch could not compile a layer ({_first_line(error)}). A CPU needs a C++ compiler such as "
                "g++, a graphics card needs Triton; install it, or set compile to off"
            ) from error


def _compiled(mode: str) -> Callable[..., Any]:
    # torch counts the versions of a code object, one for each kind of batch and condition, and gives up at eight.
    # Code of its own keeps the count of one network from those of others.
    original = Layer.forward
    own = types.FunctionType(original.__code__.replace(), original.__globals__, original.__name__)
    return torch.compile(own, dynamic=True, mode="reduce-overhead" if mode == GRAPHS else None)


def _streamed(layer: nn.Module) -> bool:
    """Whether a part of the layer has hooks, as host/offload/hooks.py sets to bring weights that are away."""
    return any(part._forward_pre_hooks for part in layer.modules() if part is not layer)


def _first_line(error: BaseException) -> str:
    text = str(error).strip() or type(error).__name__
    return text.splitlines()[0]
