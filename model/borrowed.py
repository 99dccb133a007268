"""This network over the layers of another implementation, such as ComfyUI's.

The other network's layers compute: their weights, patches, number formats and memory management stay whoever's they
are, and nothing is copied. Only the arithmetic between the layers is this one's.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

import torch
from torch import Tensor, nn

from .adapters.attach import attach, attached
from .adapters.linear import innermost, move_adapters
from .config import Shapes, from_shapes
from .network import AceStep, replace_layer

# The weights of a layer by name, ready to compute with: on the device, in the dtype, patches applied.
ReadWeights = Callable[[nn.Module], dict[str, Tensor]]
LAYERS = (nn.Linear, nn.RMSNorm, nn.Conv1d, nn.ConvTranspose1d)


class BorrowedLayer(nn.Module):
    """A layer of another network in the place of one of ours."""

    def __init__(self, layer: nn.Module, shape: tuple[int, ...], dtype: torch.dtype, read_weights: ReadWeights) -> None:
        super().__init__()
        self.layer = layer
        self.shape, self.dtype = shape, dtype
        self._read_weights = read_weights

    @property
    def out_features(self) -> int:
        return self.shape[0]

    @property
    def in_features(self) -> int:
        return self.shape[1]

    @property
    def weight(self) -> Tensor:
        """The weight as it is computed with; a new tensor where the other network keeps it in another form."""
        return self._read_weights(self.layer)["weight"]

    @property
    def bias(self) -> Tensor | None:
        return self._read_weights(self.layer).get("bias")

    def share(self) -> BorrowedLayer:
        """Another reference to the same layer; see `network.share`."""
        return BorrowedLayer(self.layer, self.shape, self.dtype, self._read_weights)

    def forward(self, x: Tensor) -> Tensor:
        return self.layer(x)


def borrow(module: nn.Module, dtype: torch.dtype, read_weights: ReadWeights, silence: Tensor) -> AceStep:
    """The network over the layers of a module with the parameter names of the official checkpoint.

    Call `bind` before each use. dtype: what the module computes in. silence: what the VAE encodes silence to, a
    latent ``[t c]``. Raises ValueError if it is not an ACE-Step 1.5 network, naming what is missing or does not fit.
    """
    shapes = _shapes(module)
    kind = type(module).__name__
    try:
        config = from_shapes(shapes)
    except (KeyError, ZeroDivisionError) as error:
        raise ValueError(
            f"the model is a {kind}, not an ACE-Step 1.5 network ({error} is missing): connect a loader of ACE-Step 1.5"
        ) from error
    with torch.device("meta"):
        network = AceStep(config)
    expected = {name: tuple(value.shape) for name, value in network.named_parameters()}
    if misfits := [name for name, shape in expected.items() if shapes.get(name) != shape]:
        raise ValueError(
            f"the model, a {kind}, is not an ACE-Step 1.5 network as published: {len(misfits)} of {len(expected)} "
            f"weights are missing or have another shape, such as {', '.join(misfits[:3])}"
        )
    for name in [name for name, layer in network.named_modules() if isinstance(layer, LAYERS)]:
        shape = expected[f"{name}.weight"]
        replace_layer(network, name, BorrowedLayer(module.get_submodule(name), shape, dtype, read_weights))
    network.silence = silence
    return network.eval()


def bind(network: AceStep, module: nn.Module, device: torch.device) -> None:
    """Take over the module's parameters outside of layers as they are now, on a device, with all that adapters add.

    Whoever patches or moves a module replaces its parameters.
    """
    for name, part in network.named_modules():
        if isinstance(part, BorrowedLayer) or name.endswith(".layer"):
            continue
        for key in part._parameters:
            parameter = module.get_parameter(f"{name}.{key}" if name else key)
            value = parameter.detach().to(device, network.dtype)
            part._parameters[key] = nn.Parameter(value, requires_grad=False)
    move_adapters(network, device)


def own_copy(network: AceStep) -> AceStep:
    """A network of its own with the weights that a borrowed one computes with now, patches included, on the CPU.

    Its adapters are attached to the copy, so that other weights of the copy leave them whole.
    """
    with torch.device("meta"):
        copy = AceStep(network.config, network.training_kind)
    with torch.no_grad():
        for name, part in copy.named_modules():
            source = innermost(network.get_submodule(name))
            for key, _ in list(part.named_parameters(recurse=False)):
                value = cast(Tensor, getattr(source, key)).detach().to("cpu", copy=True)
                part._parameters[key] = nn.Parameter(value, requires_grad=False)
    copy.silence, copy.step_cache = network.silence, network.step_cache
    if adapters := attached(network):
        attach(copy, adapters.stack)
    return copy.eval()


def _shapes(module: nn.Module) -> Shapes:
    """The shapes of the weights as they are computed with: a layer knows its own, whatever form it stores them in."""
    shapes: dict[str, tuple[int, ...]] = {}
    for name, layer in module.named_modules():
        prefix = f"{name}." if name else ""
        shapes |= {f"{prefix}{key}": tuple(value.shape) for key, value in layer.named_parameters(recurse=False)}
        if f"{prefix}weight" in shapes and hasattr(layer, "out_features") and hasattr(layer, "in_features"):
            shapes[f"{prefix}weight"] = (cast(int, layer.out_features), cast(int, layer.in_features))
    return shapes
