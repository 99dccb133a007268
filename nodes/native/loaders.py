"""ComfyUI's nodes: models from files."""

from __future__ import annotations

from typing import Any

from ...host import current_host
from ...parameters import native
from ...pipeline.native import loading
from ...pipeline.vae_socket import AudioVAE


class UNETLoader:
    """Loads a network from diffusion_models."""

    FUNCTION = "load"
    RETURN_TYPES = ("MODEL",)

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        return native.with_files("UNETLoader", {"unet_name": loading.names(current_host(), "unet")})

    @classmethod
    def VALIDATE_INPUTS(cls, unet_name: str | None) -> bool | str:
        return loading.problem(current_host(), "unet", unet_name) or True

    def load(self, unet_name: str, weight_dtype: str) -> tuple[Any]:
        return (loading.load_model(unet_name, weight_dtype),)


class CLIPLoader:
    """Loads a text encoder from text_encoders."""

    FUNCTION = "load"
    RETURN_TYPES = ("CLIP",)

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        return native.with_files("CLIPLoader", {"clip_name": loading.names(current_host(), "clip")})

    @classmethod
    def VALIDATE_INPUTS(cls, clip_name: str | None, type: str | None) -> bool | str:
        return loading.clip_problem(current_host(), [clip_name], type) or True

    def load(self, clip_name: str, type: str, device: str = "default") -> tuple[Any]:
        return (loading.load_clip([clip_name]),)


class DualCLIPLoader:
    """Loads a text encoder and a planner from text_encoders."""

    FUNCTION = "load"
    RETURN_TYPES = ("CLIP",)

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        files = loading.names(current_host(), "clip")
        return native.with_files("DualCLIPLoader", {"clip_name1": files, "clip_name2": files})

    @classmethod
    def VALIDATE_INPUTS(cls, clip_name1: str | None, clip_name2: str | None, type: str | None) -> bool | str:
        return loading.clip_problem(current_host(), [clip_name1, clip_name2], type) or True

    def load(self, clip_name1: str, clip_name2: str, type: str, device: str = "default") -> tuple[Any]:
        return (loading.load_clip([clip_name1, clip_name2]),)


class VAELoader:
    """Loads a VAE from vae."""

    FUNCTION = "load"
    RETURN_TYPES = ("VAE",)

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        return native.with_files("VAELoader", {"vae_name": loading.names(current_host(), "vae")})

    @classmethod
    def VALIDATE_INPUTS(cls, vae_name: str | None) -> bool | str:
        return loading.problem(current_host(), "vae", vae_name) or True

    def load(self, vae_name: str) -> tuple[AudioVAE]:
        return (loading.load_audio_vae(vae_name),)


class CheckpointLoaderSimple:
    """Loads network, text encoder and VAE from one file of checkpoints."""

    FUNCTION = "load"
    RETURN_TYPES = ("MODEL", "CLIP", "VAE")

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        return native.with_files("CheckpointLoaderSimple", {"ckpt_name": loading.names(current_host(), "checkpoint")})

    @classmethod
    def VALIDATE_INPUTS(cls, ckpt_name: str | None) -> bool | str:
        return loading.problem(current_host(), "checkpoint", ckpt_name) or True

    def load(self, ckpt_name: str) -> tuple[Any, Any, AudioVAE]:
        return loading.load_checkpoint(ckpt_name)
