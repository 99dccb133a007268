"""Our networks as ComfyUI's MODEL, and ComfyUI's as ours. Imported only when ComfyUI runs."""

from __future__ import annotations

from typing import Any

import comfy.conds  # pyright: ignore[reportMissingImports]  # ComfyUI cannot be installed
import comfy.model_base  # pyright: ignore[reportMissingImports]
import comfy.model_patcher  # pyright: ignore[reportMissingImports]
import comfy.ops  # pyright: ignore[reportMissingImports]
import comfy.supported_models  # pyright: ignore[reportMissingImports]
import comfy.utils  # pyright: ignore[reportMissingImports]
import torch
from comfy.ldm.ace.ace_step15 import get_silence_latent  # pyright: ignore[reportMissingImports]
from torch import nn

from .comfy_memory import is_ours, make_patcher
from .protocol import ForeignNetwork

_ATTACHED = "acestep_xl_network"  # our network over the layers of ComfyUI's, on its MODEL
SILENT_FRAMES = 750  # of ComfyUI's silence latent; beyond its start it repeats one frame
# Keys of a CONDITIONING whose masks our network reads, and the names of its arguments. ComfyUI's own pads nothing.
_MASKS = {"attention_mask": "caption_mask", "conditioning_lyrics_mask": "lyric_mask"}


class AceStepModel(comfy.model_base.ACEStep15):
    """ComfyUI's model of ACE-Step 1.5 around one of our networks."""

    def __init__(self, network: nn.Module) -> None:
        config = {"audio_model": "ace1.5", "disable_unet_model_creation": True}
        super().__init__(comfy.supported_models.ACEStep15(config))
        self.diffusion_model = network
        # What our layers are given in; each casts to what it computes in.
        self.manual_cast_dtype = torch.float32

    def extra_conds(self, **kwargs: Any) -> dict[str, Any]:
        """ComfyUI's, with the masks of a batch of prompts. The signature is ComfyUI's."""
        masks = {name: comfy.conds.CONDRegular(kwargs[key]) for key, name in _MASKS.items() if key in kwargs}
        return {**super().extra_conds(**kwargs), **masks}


def make_model(network: nn.Module, like: Any = None) -> comfy.model_patcher.ModelPatcher:
    """See `protocol.Sockets`."""
    model = make_patcher(AceStepModel(network), "network")
    if like is not None:
        model.object_patches = like.object_patches.copy()
        model.model_options = comfy.utils.deepcopy_list_dict(like.model_options)
    return model


def network_of(model: Any) -> nn.Module | None:
    """See `protocol.Sockets`."""
    if not isinstance(model, comfy.model_patcher.ModelPatcher):
        raise ValueError(f"model is a {type(model).__name__}: connect a node that loads ACE-Step 1.5")
    return model.model.diffusion_model if is_ours(model) else model.get_attachment(_ATTACHED)


def foreign_network(model: comfy.model_patcher.ModelPatcher) -> ForeignNetwork | None:
    """See `protocol.Sockets`."""
    if is_ours(model):
        return None
    if not isinstance(model.model, comfy.model_base.ACEStep15):
        raise ValueError(
            f"model holds {type(model.model).__name__}, not ACE-Step 1.5: load a checkpoint of ACE-Step 1.5, XL or 2B"
        )
    device, dtype = model.load_device, model.model.get_dtype_inference()

    def read_weights(layer: nn.Module) -> dict[str, torch.Tensor]:
        weight, bias, stream = comfy.ops.cast_bias_weight(layer, None, dtype, device, dtype, offloadable=True)
        # Copies, since ComfyUI may use the memory again once a weight is given back.
        values = {"weight": weight.clone()} if bias is None else {"weight": weight.clone(), "bias": bias.clone()}
        comfy.ops.uncast_bias_weight(layer, weight, bias, stream)
        return values

    silence = get_silence_latent(SILENT_FRAMES, "cpu")[0].T.float()
    return ForeignNetwork(model.model.diffusion_model, dtype, device, read_weights, silence)


def replace_network(model: comfy.model_patcher.ModelPatcher, network: nn.Module) -> comfy.model_patcher.ModelPatcher:
    """See `protocol.Sockets`."""
    if not is_ours(model):
        copy = model.clone()
        copy.set_attachments(_ATTACHED, network)
        return copy
    replacement = make_model(network)
    copy = model.clone(model_override=replacement.get_clone_model_override())
    copy.size = 0  # counted anew: the other network's weights may have another format
    copy.patches = {_renamed(key, network): patches for key, patches in copy.patches.items()}
    return copy


def _renamed(key: str, network: nn.Module) -> str:
    """The key of a patched weight in a network whose adapted layers hold it deeper down, in ``base``."""
    prefix = "diffusion_model."
    path, _, leaf = key.removeprefix(prefix).rpartition(".")
    try:
        layer = network.get_submodule(path)
    except AttributeError:
        return key
    while leaf not in layer._parameters and "base" in layer._modules:
        path, layer = f"{path}.base", layer.get_submodule("base")
    return f"{prefix}{path}.{leaf}" if leaf in layer._parameters else key


def set_shift(model: comfy.model_patcher.ModelPatcher, shift: float) -> comfy.model_patcher.ModelPatcher:
    """See `protocol.Sockets`."""
    copy = model.clone()
    sampling = type(model.get_model_object("model_sampling"))(model.model.model_config)
    sampling.set_parameters(shift=shift, multiplier=1.0)
    copy.add_object_patch("model_sampling", sampling)
    return copy
