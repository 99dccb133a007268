"""The transformer's layers compiled by torch: fewer passes over memory, and with CUDA graphs fewer launches.

One layer is compiled, not the whole network: all layers share the result, so compiling takes seconds instead of
minutes, and an interruption takes effect between two layers. Lengths are symbolic, so no duration compiles anew.
"""

from __future__ import annotations

import types
import weakref
from collections.abc import Callable
from typing import Any, cast

import torch
from torch import nn

from .network import AceStep
from .transformer_layer import Layer

OFF, ON, GRAPHS = "off", "on", "cuda graphs"
MODES = (OFF, ON, GRAPHS)


def compile_layers(network: AceStep, mode: str) -> None:
    """Compile a network's layers when they first run; use a copy (see network.share). mode: one of MODES.

    The first layer stays as it is, because its self-attention runs apart from the rest (see Transformer.velocities).
    """
    if mode == OFF:
        return
    for first in (1, 2):  # full and sliding attention
        forward = _compile_forward(mode)
        for index in range(first, len(network.decoder.layers), 2):
            layer = cast(Layer, network.decoder.layers[index])
            # An instance attribute shadows the class's forward; hooks on the layer stay outside of the compiled code.
            layer.__dict__["forward"] = CompiledForward(layer, forward, begins_step=mode == GRAPHS and index == 1)


def check(mode: str, device: torch.device) -> None:
    """Refuse a mode that the device does not have. Raises ValueError that says what to choose."""
    if mode not in MODES:
        raise ValueError(f"compile = {mode!r} is unknown; allowed: {', '.join(MODES)}")
    if mode == GRAPHS and device.type != "cuda":
        raise ValueError(
            f"compile = {GRAPHS} needs an NVIDIA or AMD card, and this device is {device.type}; choose {ON}"
        )


class CompiledForward:
    """A layer's forward: compiled, or eager where a host streams the layer's weights."""

    def __init__(self, layer: Layer, forward: Callable[..., Any], begins_step: bool) -> None:
        """begins_step: whether this is the first compiled layer of a pass through the network; after it, the outputs
        that CUDA graphs kept of the last pass may be overwritten."""
        self._layer = weakref.ref(layer)  # which owns this object
        self._forward, self._begins_step = forward, begins_step

    def __call__(self, *arguments: Any) -> Any:
        layer = self._layer()
        assert layer is not None, "the layer no longer exists"
        if _is_streamed(layer):
            return Layer.forward(layer, *arguments)
        if self._begins_step:
            torch.compiler.cudagraph_mark_step_begin()
        try:
            return self._forward(layer, *arguments)
        except RuntimeError as error:
            from torch._dynamo.exc import TorchDynamoException  # slow to import, and imported by now

            if not isinstance(error, TorchDynamoException):
                raise
            raise RuntimeError(
                f"compile: torch could not compile a layer ({_first_line(error)}). A CPU needs a C++ compiler such as "
                "g++, a graphics card needs Triton; install it, or set compile to off"
            ) from error


def _compile_forward(mode: str) -> Callable[..., Any]:
    # torch counts the versions of a code object, one for each kind of batch and condition, and gives up at eight.
    # A copy of the code gives each network its own count.
    original = Layer.forward
    forward = types.FunctionType(original.__code__.replace(), original.__globals__, original.__name__)
    return torch.compile(forward, dynamic=True, mode="reduce-overhead" if mode == GRAPHS else None)


def _is_streamed(layer: nn.Module) -> bool:
    """Whether parts of the layer have hooks, as host/offload/hooks.py attaches to fetch offloaded weights."""
    return any(part._forward_pre_hooks for part in layer.modules() if part is not layer)


def _first_line(error: BaseException) -> str:
    text = str(error).strip() or type(error).__name__
    return text.splitlines()[0]
