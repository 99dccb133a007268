"""Our networks as ComfyUI's memory manager and samplers see them. Imported only when ComfyUI runs."""

from __future__ import annotations

from collections.abc import Callable

import comfy.latent_formats  # pyright: ignore[reportMissingImports]  # ComfyUI cannot be installed
import comfy.model_management  # pyright: ignore[reportMissingImports]
import comfy.model_patcher  # pyright: ignore[reportMissingImports]
import comfy.model_sampling  # pyright: ignore[reportMissingImports]
import comfy.ops  # pyright: ignore[reportMissingImports]
import torch
from torch import nn

from .offload import hooks
from .protocol import Role

SHIFT = 3.0  # ComfyUI's own setting for ACE-Step 1.5; its schedulers read it
_PATCHER = "_acestep_xl_patcher"


class FlowSampling(comfy.model_sampling.ModelSamplingDiscreteFlow, comfy.model_sampling.CONST):
    """Flow matching for ComfyUI's samplers and schedulers: velocity is noise - data, the noise level is t."""

    def __init__(self) -> None:
        super().__init__()
        self.set_parameters(shift=SHIFT, multiplier=1.0)


class AceStepXL(nn.Module):
    """Wraps one network, so that the attributes ComfyUI sets on a model (device, ...) do not end up on it.

    Has what ComfyUI's samplers and previews read from a model. ComfyUI's log shows this class's name.
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network
        self.latent_format = comfy.latent_formats.ACEAudio15()
        self.model_sampling = FlowSampling()

    def process_latent_in(self, latent: torch.Tensor) -> torch.Tensor:
        """ACE-Step does not scale its latents."""
        return latent

    def process_latent_out(self, latent: torch.Tensor) -> torch.Tensor:
        return latent

    def scale_latent_inpaint(
        self, x: torch.Tensor, sigma: torch.Tensor, noise: torch.Tensor, latent_image: torch.Tensor
    ) -> torch.Tensor:
        """The source at a noise level, which ComfyUI's samplers put back outside a mask."""
        return self.model_sampling.noise_scaling(sigma.reshape([-1] + [1] * (x.ndim - 1)), noise, latent_image)


def compute_device(role: Role) -> torch.device:
    """The device of a role. ComfyUI's options may put text encoders and VAEs on the CPU."""
    return _DEVICES[role][0]()


def patcher_of(module: nn.Module, role: Role = "network") -> comfy.model_patcher.ModelPatcher:
    """The module's one patcher, which lives as long as the module.

    It is an attribute because a WeakKeyDictionary would never drop it: the patcher, its value, refers to the module,
    its key.
    """
    patcher = module.__dict__.get(_PATCHER)
    if patcher is None:
        for layer in hooks.offloadable_layers(module):
            _make_castable(layer)
        compute, offload = _DEVICES[role]
        patcher = comfy.model_patcher.ModelPatcher(AceStepXL(module), load_device=compute(), offload_device=offload())
        module.__dict__[_PATCHER] = patcher
    return patcher


def prepare(patcher: comfy.model_patcher.ModelPatcher) -> None:
    """Make a network runnable that ComfyUI has loaded, perhaps in part.

    ComfyUI moves only what it takes for its own layers. Here everything else, small beside the large layers, is moved
    to the device, and the layers that ComfyUI left in main memory are hooked.
    """
    device = patcher.load_device
    offloaded = [layer for layer in patcher.model.modules() if getattr(layer, "comfy_cast_weights", False)]

    def fetch(layer: nn.Module) -> tuple[dict[str, torch.Tensor], Callable[[], None]]:
        parameters = dict(layer.named_parameters(recurse=False))
        bias_dtype = parameters["bias"].dtype if "bias" in parameters else None
        weight, bias, stream = comfy.ops.cast_bias_weight(
            layer, None, parameters["weight"].dtype, device, bias_dtype, offloadable=True
        )
        copies = {name: copy for name, copy in (("weight", weight), ("bias", bias)) if name in parameters}
        return copies, lambda: comfy.ops.uncast_bias_weight(layer, weight, bias, stream)

    hooks.dispatch(patcher.model, offloaded, device, fetch)


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
