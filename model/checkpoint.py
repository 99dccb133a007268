"""Files to modules: built on the meta device, cast tensor by tensor, strict about every key."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from .fit import empty_network, empty_text_encoder, empty_vae, fit_to, misfits
from .formats.file_kinds import describe, identify
from .formats.tensors import CheckpointError, Tensors
from .layouts import Component, Layout
from .linear.packed import PackedLinear, pack_layers
from .network import AceStep
from .precision import network_dtypes
from .text import TextEncoder
from .tokenizer import load_tokenizer
from .vae.keys import vae_state
from .vae.oobleck import Oobleck

ALIGNMENT = 64


def load_network(layout: Layout, dtype: torch.dtype, device: torch.device) -> AceStep:
    """Load the network in ``dtype`` (in fp16, what would overflow stays float32) on the CPU, to run on ``device``.

    ``silence`` stays empty where the checkpoint does not include it; see ``give_silence``.
    """
    silence = read_silence(layout)
    network = empty_network(layout)
    assign(network, layout.network, network_dtypes(dtype), device, str(layout.path))
    network.silence = silence
    return network.eval()


def read_silence(layout: Layout) -> Tensor:
    """The silence latent of a checkpoint, ``[t c]``; empty if it includes none. Raises CheckpointError."""
    if isinstance(layout.silence, Path):
        return _read_silence(layout.silence, layout.config.latent_channels)
    if layout.silence is not None:
        return next(iter(layout.silence.values()))[0].float()
    return torch.empty(0, layout.config.latent_channels)


def give_silence(network: AceStep, vae: Oobleck) -> None:
    """Encode silence into the network's silence latent, for layouts that do not ship one.

    Only the first frames of encoded silence differ, because they see the start of the signal; the rest is one frame
    repeated.
    """
    if len(network.silence):
        return
    frames = vae.encode_overlap + 1
    samples = (frames + vae.encode_overlap) * vae.config.hop
    silence = torch.zeros(1, vae.config.audio_channels, samples, device=next(vae.parameters()).device)
    network.silence = vae.encode(silence)[0].T[:frames].float().cpu().contiguous()


def load_vae(component: Component, dtype: torch.dtype, device: torch.device) -> Oobleck:
    """Load the VAE in ``dtype`` on the CPU, to run on ``device``; weight norm is folded in float32 first."""
    vae, _ = empty_vae(component)
    assign(vae, vae_state(component.tensors), lambda _: dtype, device, str(component.path))
    return vae.eval()


def load_text_encoder(component: Component, tokenizer: Path, dtype: torch.dtype, device: torch.device) -> TextEncoder:
    """Load the text encoder in ``dtype`` on the CPU, to run on ``device``, and the tokenizer in a folder."""
    model, tensors = empty_text_encoder(component)
    assign(model, tensors, lambda _: dtype, device, str(component.path))
    return TextEncoder(model.eval(), load_tokenizer(tokenizer))


def assign(
    module: nn.Module,
    tensors: Mapping[str, Tensor],
    dtype: Callable[[str], torch.dtype],
    device: torch.device,
    source: str,
) -> None:
    """Assign tensors, one at a time, to a module built on the meta device. dtype: called with each name.

    A tensor that already has its dtype stays mapped to the file, unless the CPU computes with it: a file aligns to 8
    bytes, and CPU kernels round differently on addresses that are not multiples of 64, so two files with the same
    weights would give two songs. There it is copied to aligned memory. Packed weights of linear layers stay mapped and
    packed, see linear/packed.py; others are unpacked.

    Raises CheckpointError naming every missing, unknown or misshapen tensor at once; the module is then unchanged.
    """
    tensors = fit_to(module, tensors) if isinstance(tensors, Tensors) else tensors
    shapes = tensors.shapes() if isinstance(tensors, Tensors) else {k: tuple(v.shape) for k, v in tensors.items()}
    if problems := misfits(module, shapes, source):
        raise CheckpointError(problems)
    packed = pack_layers(module, tensors, dtype) if isinstance(tensors, Tensors) else set()

    def load(name: str) -> Tensor:
        tensor = tensors[name].to(dtype(name))
        return _align(tensor) if device.type == "cpu" else tensor

    # Not strict, because packed layers have their weights and scales already; every name was compared above.
    state = {name: load(name) for name in tensors if name not in packed}
    module.load_state_dict(state, strict=False, assign=True)
    module.requires_grad_(False)


def _align(tensor: Tensor) -> Tensor:
    return tensor if tensor.data_ptr() % ALIGNMENT == 0 else tensor.clone()


def _read_silence(path: Path, channels: int) -> Tensor:
    """silence_latent.pt: ``[1 c t]`` on disk, ``[t c]`` in memory."""
    if identify(path) != "torch":
        raise CheckpointError(f"{path} can't be read: {describe(path)}")
    try:
        silence = torch.load(path, map_location="cpu", weights_only=True)
    except (RuntimeError, EOFError, pickle.UnpicklingError) as error:
        # torch's own message advises to unpickle the file, which could run code, and to report an issue.
        raise CheckpointError(
            f"{path} can't be read: it is damaged, or holds something else than a tensor; fetch the file again, or "
            "remove it, and the VAE encodes silence instead"
        ) from error
    if not isinstance(silence, Tensor) or silence.ndim != 3 or silence.shape[:2] != (1, channels):
        raise CheckpointError(f"{path} does not hold a silence latent [1 {channels} t]")
    return silence[0].T.float().contiguous()


def first_damaged(module: nn.Module) -> str | None:
    """Name of the first weight with NaN or infinity, to explain a result that has them.

    8-bit weights show it in their scales, which a damaged row makes NaN or infinite; packed ones when unpacked.
    """
    state = ((name, value) for name, value in module.state_dict().items() if value.dtype.itemsize > 1)
    packed = ((name, part) for name, part in module.named_modules() if isinstance(part, PackedLinear))
    damaged = [name for name, value in state if not torch.isfinite(value).all()]
    damaged += [f"{name}.weight" for name, layer in packed if not torch.isfinite(layer.dequantise()).all()]
    return next(iter(damaged), None)
