"""Files to modules: built on the meta device, memory-mapped, cast while loading, strict about every key."""

from __future__ import annotations

import logging
import pickle
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor, nn

from .formats.safetensors import CheckpointError, Tensors
from .layouts import Component, Layout
from .network import AceStep
from .precision import network_dtypes
from .text import TextEncoder, build_text_model, qwen3_config, text_state
from .tokens import load_tokenizer
from .vae import Oobleck
from .vae_config import VAEConfig
from .vae_keys import vae_state

logger = logging.getLogger(__name__)

SHOWN_KEYS = 5
ALIGNMENT = 64


class Networks(NamedTuple):
    """The three networks of a checkpoint."""

    network: AceStep
    text: nn.Module
    vae: Oobleck


def load_network(layout: Layout, dtype: torch.dtype, device: torch.device) -> AceStep:
    """The network of a checkpoint in ``dtype`` (fp16 keeps what overflows in float32), on the CPU, to be run on
    ``device``. ``silence`` is still empty where the checkpoint does not bring it; see ``give_silence``."""
    with torch.device("meta"):
        network = AceStep(layout.config, layout.training)
    assign(network, layout.network, network_dtypes(dtype), device, str(layout.path))
    network.silence = torch.empty(0, layout.config.latent_channels)
    if isinstance(layout.silence, Path):
        network.silence = _read_silence(layout.silence, layout.config.latent_channels)
    elif layout.silence is not None:
        network.silence = next(iter(layout.silence.values()))[0].float()
    return network.eval()


def build_on_meta(layout: Layout, text: Component, vae: Component, dtypes: tuple[torch.dtype, torch.dtype]) -> Networks:
    """A checkpoint on the meta device, from the headers of its files: shapes and formats, no weights.

    dtypes: of the network, and of text encoder and VAE.
    """
    dtype, side = dtypes
    with torch.device("meta"):
        network = AceStep(layout.config, layout.training)
        sound = Oobleck(_vae_config(vae)).to(side)
    for name, parameter in network.named_parameters():
        parameter.data = parameter.data.to(network_dtypes(dtype)(name))
    config = qwen3_config(text.tensors.shapes(), dict(text.config) if text.config else None)
    return Networks(network, build_text_model(config).to(side), sound)


def give_silence(network: AceStep, vae: Oobleck) -> None:
    """Fill in the silence latent by encoding silence, for layouts that do not ship it.

    Only the first frames of encoded silence differ (they see the start of the signal); the rest is one frame repeated.
    """
    if len(network.silence):
        return
    frames = vae.encode_overlap + 1
    samples = (frames + vae.encode_overlap) * vae.config.hop
    silence = torch.zeros(1, vae.config.audio_channels, samples, device=next(vae.parameters()).device)
    network.silence = vae.encode(silence)[0].T[:frames].float().cpu().contiguous()


def load_vae(component: Component, dtype: torch.dtype, device: torch.device) -> Oobleck:
    """The VAE in ``dtype``, on the CPU, to be run on ``device``; weight norm is folded in float32 first."""
    try:
        config = _vae_config(component)
        state = vae_state(component.tensors)
    except (KeyError, ValueError) as error:
        raise CheckpointError(f"{component.path} is not ACE-Step's VAE: {error}") from error
    with torch.device("meta"):
        vae = Oobleck(config)
    assign(vae, state, lambda _: dtype, device, str(component.path))
    return vae.eval()


def _vae_config(component: Component) -> VAEConfig:
    if component.config is None:
        return VAEConfig.from_state(component.tensors.shapes())
    return VAEConfig.from_diffusers(dict(component.config))


def load_text_encoder(component: Component, tokenizer: Path, dtype: torch.dtype, device: torch.device) -> TextEncoder:
    """The text encoder in ``dtype``, on the CPU, to be run on ``device``, with the tokenizer of a folder."""
    try:
        tensors = text_state(component.tensors)
        shapes = {name: tuple(tensor.shape) for name, tensor in tensors.items()}
        config = qwen3_config(shapes, dict(component.config) if component.config else None)
    except (KeyError, ValueError) as error:
        raise CheckpointError(f"{component.path} is not the text encoder Qwen3-Embedding: {error}") from error
    model = build_text_model(config)
    assign(model, tensors, lambda _: dtype, device, str(component.path))
    return TextEncoder(model.eval(), load_tokenizer(tokenizer))


def assign(
    module: nn.Module,
    tensors: Mapping[str, Tensor],
    dtype: Callable[[str], torch.dtype],
    device: torch.device,
    source: str,
) -> None:
    """Give a module built on the meta device its tensors, one at a time.

    A tensor that is in its format already stays mapped to the file. Only where the CPU computes with it is it moved to
    aligned memory: a file aligns to 8 bytes, and CPU kernels round differently on addresses that are not multiples of
    64, so that two files with the same weights would give two songs.
    Every key that is missing, extra or has another shape is reported at once in one CheckpointError; the module is
    touched only when there is none.
    """
    wanted = {name: tuple(value.shape) for name, value in module.state_dict().items()}
    have = tensors.shapes() if isinstance(tensors, Tensors) else {k: tuple(v.shape) for k, v in tensors.items()}
    problems = [
        _listed("missing", [n for n in wanted if n not in have]),
        _listed("unknown", [n for n in have if n not in wanted]),
        _listed("misshapen", [f"{n} {have[n]}, expected {s}" for n, s in wanted.items() if have.get(n, s) != s]),
    ]
    if any(problems):
        raise CheckpointError(f"{source} does not fit the network: {'; '.join(p for p in problems if p)}")
    settle = _aligned if device.type == "cpu" else _as_is
    state = {name: settle(tensors[name].to(dtype(name))) for name in wanted}
    module.load_state_dict(state, strict=True, assign=True)
    module.requires_grad_(False)


def _aligned(tensor: Tensor) -> Tensor:
    return tensor if tensor.data_ptr() % ALIGNMENT == 0 else tensor.clone()


def _as_is(tensor: Tensor) -> Tensor:
    return tensor


def _listed(problem: str, keys: list[str]) -> str:
    if not keys:
        return ""
    more = f" and {len(keys) - SHOWN_KEYS} more" if len(keys) > SHOWN_KEYS else ""
    return f"{len(keys)} {problem}: {', '.join(keys[:SHOWN_KEYS])}{more}"


def _read_silence(path: Path, channels: int) -> Tensor:
    """silence_latent.pt: ``[1 c t]`` on disk, ``[t c]`` in memory."""
    try:
        silence = torch.load(path, map_location="cpu", weights_only=True)
    except (RuntimeError, EOFError, pickle.UnpicklingError) as error:
        raise CheckpointError(f"{path} can't be read: {error}; fetch the file again") from error
    if not isinstance(silence, Tensor) or silence.ndim != 3 or silence.shape[:2] != (1, channels):
        raise CheckpointError(f"{path} does not hold a silence latent [1 {channels} t]")
    return silence[0].T.float().contiguous()


def first_damaged(module: nn.Module) -> str | None:
    """Name of the first weight that holds NaN or infinity, to explain a result that does.

    Weights of 8 bits are told by their scales: what was damaged before made them NaN or infinite.
    """
    state = ((name, value) for name, value in module.state_dict().items() if value.dtype.itemsize > 1)
    return next((name for name, value in state if not torch.isfinite(value).all()), None)
