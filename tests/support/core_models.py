"""ComfyUI's own tiny ACE-Step 1.5 beside ours with the same weights, for code that runs in ComfyUI's process.

ComfyUI's loaders take the sizes of the published encoder for granted, so its classes are built here as they build them,
only smaller.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import comfy.model_management
import comfy.model_patcher
import comfy.sd
import comfy.supported_models
import torch
from comfy.text_encoders import ace15

from acestep_xl.host import current_host
from acestep_xl.model import random_network
from acestep_xl.model.config import SLIDING_WINDOW, Config, StackWidth
from acestep_xl.model.network import AceStep
from acestep_xl.model.qwen3 import build_text_model, qwen3_config, text_state
from acestep_xl.model.silence import published_silence
from acestep_xl.model.text import TextEncoder
from acestep_xl.model.tokenizer import load_tokenizer

HEAD = 16
ENCODER = StackWidth(64, 192, 16, 8, HEAD)  # ComfyUI fixes heads and proportions of the tokenizer's layers
TEXT = {"hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 2, "num_attention_heads": 2}


class Parts(NamedTuple):
    """MODEL and CLIP."""

    model: Any
    clip: Any


def config(is_xl: bool, window: int = SLIDING_WINDOW) -> Config:
    decoder = StackWidth(80, 96, 16, 8, HEAD) if is_xl else ENCODER
    layers = {"decoder_layers": 3, "lyric_layers": 1, "timbre_layers": 1, "pooler_layers": 2}
    return Config(decoder, ENCODER, **layers, text_dim=64, sliding_window=window)


def both(is_xl: bool, window: int = SLIDING_WINDOW) -> tuple[Parts, Parts]:
    """ComfyUI's parts, and ours. window: of our layers that slide, in tokens to each side."""
    clip = _core_clip()
    network = random_network.fill(AceStep(config(is_xl, window))).eval().requires_grad_(False)
    network.silence = published_silence()
    core = Parts(_core_model(network), clip)
    sockets = current_host().sockets
    return core, Parts(sockets.make_model(network), sockets.make_clip(_encoder(clip)))


def _core_model(network: AceStep) -> Any:
    sizes = network.config
    model_config = comfy.supported_models.ACEStep15(
        {
            "audio_model": "ace1.5",
            "hidden_size": sizes.decoder.hidden,
            "intermediate_size": sizes.decoder.intermediate,
            "num_heads": sizes.decoder.heads,
            "head_dim": HEAD,
            "num_dit_layers": sizes.decoder_layers,
            "encoder_hidden_size": sizes.encoder.hidden,
            "encoder_intermediate_size": sizes.encoder.intermediate,
            "encoder_num_heads": sizes.encoder.heads,
            "text_hidden_dim": sizes.text_dim,
            "num_lyric_layers": sizes.lyric_layers,
            "num_timbre_layers": sizes.timbre_layers,
            "num_tokenizer_layers": sizes.pooler_layers,
            "fsq_dim": sizes.encoder.hidden,
            "dtype": torch.float32,
        }
    )
    model = model_config.get_model({}, device=None)
    model.diffusion_model.load_state_dict(network.state_dict())
    model.requires_grad_(False)
    return comfy.model_patcher.CoreModelPatcher(
        model,
        load_device=comfy.model_management.get_torch_device(),
        offload_device=comfy.model_management.unet_offload_device(),
    )


class _Target:
    params: dict[str, Any] = {}  # noqa: RUF012 - ComfyUI's shape
    clip = ace15.te(lm_model="absent")
    tokenizer = ace15.ACE15Tokenizer


def _core_clip() -> Any:
    sizes = {**TEXT, "num_key_value_heads": 1}
    clip = comfy.sd.CLIP(_Target, model_options={"_model_config": sizes, "dtype": torch.float32})
    network = clip.cond_stage_model.qwen3_06b.transformer
    generator = torch.Generator().manual_seed(0)
    network.load_state_dict(
        {
            name: torch.randn(value.shape, generator=generator) * 0.5 / value.shape[-1] ** 0.5 + (value.ndim == 1)
            for name, value in network.state_dict().items()
        }
    )
    return clip


def _encoder(clip: Any) -> TextEncoder:
    state = {name: value.clone() for name, value in clip.cond_stage_model.qwen3_06b.transformer.state_dict().items()}
    model = build_text_model(qwen3_config({name: tuple(value.shape) for name, value in state.items()}, None))
    model.load_state_dict(text_state(state), strict=True, assign=True)
    bundle = current_host().tokenizer_bundles()[-1]
    return TextEncoder(model.eval().requires_grad_(False), load_tokenizer(bundle))


def difference(a: torch.Tensor, b: torch.Tensor) -> float:
    """The largest difference, relative to the largest value."""
    return float((a - b).abs().max() / b.abs().max())
