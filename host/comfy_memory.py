"""Our modules under ComfyUI's memory manager. Imported only when ComfyUI runs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import comfy.model_management  # pyright: ignore[reportMissingImports]  # ComfyUI cannot be installed
import comfy.model_patcher  # pyright: ignore[reportMissingImports]
import comfy.ops  # pyright: ignore[reportMissingImports]
import torch
from comfy.patcher_extension import CallbacksMP  # pyright: ignore[reportMissingImports]
from torch import nn

from .offload import hooks
from .protocol import Role

_PATCHER = "_acestep_xl_patcher"
_OURS = "acestep_xl"  # the key of our callback on a patcher, by which it is known


class Part(nn.Module):
    """Wraps one of our modules, so that the attributes ComfyUI sets on a model (device, ...) do not end up on it."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module


class Patcher(comfy.model_patcher.ModelPatcher):
    """ComfyUI's patcher of a model that holds one of our modules.

    ComfyUI merges a patch, such as a LoRA, into the weight. A weight with 8 bits would lose most of it, so there the
    patch goes to the layer, which applies it to its dequantised weight in every forward (`weight_patches`).
    """

    def patch_weight_to_device(
        self,
        key: str,
        device_to: torch.device | None = None,
        inplace_update: bool = False,
        return_weight: bool = False,
        force_cast: bool = False,
    ) -> Any:
        layer = _unmerged_layer(self.model, key)
        if layer is None:
            return super().patch_weight_to_device(key, device_to, inplace_update, return_weight, force_cast)
        patch = comfy.model_patcher.LowVramPatch(key, self.patches)
        if return_weight:
            return patch(layer.dequantise()) if key in self.patches else layer.dequantise()
        layer.weight_patches = (patch,) if key in self.patches else ()
        return layer.weight

    def unpatch_model(self, device_to: torch.device | None = None, unpatch_weights: bool = True) -> None:
        super().unpatch_model(device_to, unpatch_weights)
        if unpatch_weights:
            for layer in self.model.modules():
                if hasattr(layer, "weight_patches"):
                    layer.weight_patches = ()


def make_patcher(model: nn.Module, role: Role) -> Patcher:
    """A patcher of a ComfyUI model, or of what stands for one, whose modules are ours."""
    for layer in hooks.offloadable_layers(model):
        _make_castable(layer)
    compute, offload = _DEVICES[role]
    patcher = Patcher(model, load_device=compute(), offload_device=offload())
    # ComfyUI's own nodes load it too.
    patcher.add_callback_with_key(CallbacksMP.ON_LOAD, _OURS, lambda patcher, *load_arguments: prepare(patcher))
    return patcher


def patcher_of(module: nn.Module, role: Role) -> Patcher:
    """The one patcher of a module that is on no MODEL or CLIP socket, which lives as long as the module.

    It is an attribute because a WeakKeyDictionary would never drop it: the patcher, its value, refers to the module,
    its key.
    """
    patcher = module.__dict__.get(_PATCHER)
    if patcher is None:
        patcher = make_patcher(Part(module), role)
        module.__dict__[_PATCHER] = patcher
    return patcher


def is_ours(patcher: comfy.model_patcher.ModelPatcher) -> bool:
    return bool(patcher.get_callbacks(CallbacksMP.ON_LOAD, _OURS))


def prepare(patcher: comfy.model_patcher.ModelPatcher) -> None:
    """Make a module of ours runnable that ComfyUI has loaded, perhaps in part.

    ComfyUI moves only what it takes for its own layers. Here everything else, small beside the large layers, is moved
    to the device, and the layers that ComfyUI left in main memory are hooked.
    """
    device = patcher.load_device
    layers = list(patcher.model.modules())
    for layer in layers:
        if hasattr(layer, "weight_patches") and getattr(layer, "weight_function", None):
            layer.weight_patches, layer.weight_function = tuple(layer.weight_function), []
    offloaded = [layer for layer in layers if getattr(layer, "comfy_cast_weights", False)]

    def fetch(layer: nn.Module) -> tuple[dict[str, torch.Tensor], Callable[[], None]]:
        parameters = dict(layer.named_parameters(recurse=False))
        bias_dtype = parameters["bias"].dtype if "bias" in parameters else None
        weight, bias, stream = comfy.ops.cast_bias_weight(
            layer, None, parameters["weight"].dtype, device, bias_dtype, offloadable=True
        )
        copies = {name: copy for name, copy in (("weight", weight), ("bias", bias)) if name in parameters}
        return copies, lambda: comfy.ops.uncast_bias_weight(layer, weight, bias, stream)

    hooks.dispatch(patcher.model, offloaded, device, fetch)


def compute_device(role: Role) -> torch.device:
    """The device of a role. ComfyUI's options may put text encoders and VAEs on the CPU."""
    return _DEVICES[role][0]()


def _unmerged_layer(model: nn.Module, key: str) -> Any | None:
    """The layer with 8-bit weights that a key of a state dict belongs to, if it is one's weight."""
    name, _, parameter = key.rpartition(".")
    layer = model.get_submodule(name)
    return layer if parameter == "weight" and hasattr(layer, "weight_patches") else None


def _make_castable(layer: nn.Module) -> None:
    """Give a layer the attributes by which ComfyUI knows one it may leave in main memory.

    ComfyUI sets the first when it does so, and fills the next two.
    """
    layer.__dict__.update(comfy_cast_weights=False, weight_function=[], bias_function=[])
    if "bias" not in layer._parameters:
        layer.__dict__["bias"] = None


# Compute and offload device by role.
_DEVICES: dict[Role, tuple[Callable[[], torch.device], Callable[[], torch.device]]] = {
    "network": (comfy.model_management.get_torch_device, comfy.model_management.unet_offload_device),
    "text": (comfy.model_management.text_encoder_device, comfy.model_management.text_encoder_offload_device),
    "vae": (comfy.model_management.vae_device, comfy.model_management.vae_offload_device),
}
