"""The complete ACE-Step 1.5 network, with the parameter names of the official checkpoint."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

import torch
from torch import Tensor, nn

from .audio_codes import Detokenizer, Tokenizer
from .condition import ConditionEncoder
from .config import Config, Training
from .transformer import Transformer


class AceStep(nn.Module):
    """Condition encoder, audio tokenizer and detokenizer, diffusion transformer and the learned null condition.

    ``silence`` is what the VAE encodes silence to, ``[s c]``: the model was trained with it, never with zeros, wherever
    a source or a reference is absent. It travels with the weights but is not one. ``step_cache`` is the threshold below
    which a step's change is small enough to skip most layers; 0 skips nothing (see step_cache.py).
    """

    silence: Tensor

    def __init__(self, config: Config, training_kind: Training = "unknown") -> None:
        super().__init__()
        self.config = config
        self.training_kind: Training = training_kind
        self.step_cache = 0.0
        self.decoder = Transformer(config)
        self.encoder = ConditionEncoder(config)
        self.tokenizer = Tokenizer(config)
        self.detokenizer = Detokenizer(config)
        self.null_condition_emb = nn.Parameter(torch.empty(1, 1, config.encoder.hidden))
        self.register_buffer("silence", torch.empty(0, config.latent_channels), persistent=False)

    @property
    def name(self) -> str:
        """Size and training, for messages: "XL sft", "2B turbo"."""
        return f"{'XL' if self.config.is_xl else '2B'} {self.training_kind}"

    def silent(self, frames: int) -> Tensor:
        """The silence latent over ``frames`` frames, ``[t c]``; beyond its length the last frame repeats."""
        missing = frames - len(self.silence)
        if missing <= 0:
            return self.silence[:frames]
        return torch.cat([self.silence, self.silence[-1:].expand(missing, -1)])

    def silent_reference(self) -> Tensor:
        """The timbre reference that means none, ``[1 t c]``."""
        return self.silent(self.config.timbre_frames)[None]

    @torch.no_grad()
    def round_trip_codes(self, latents: Tensor) -> Tensor:
        """Latents ``[b t c]`` after an encode to 5 Hz codes and back, which is all that a cover keeps of its source."""
        codes = self.tokenizer(latents, self.silence)
        return self.detokenizer(codes.quantized)[:, : latents.shape[1]]


@runtime_checkable
class Shareable(Protocol):
    """A layer that is not built from the config, such as one with 8-bit weights, and that copies itself."""

    def share(self) -> nn.Module:
        """Another layer over the same tensors, with parameters of its own."""
        ...


def share(network: AceStep) -> AceStep:
    """A copy over the same tensors, whose layers, hooks and settings are its own.

    Its parameters are its own too: a host that moves one network must not move the other.
    """
    with torch.device("meta"):
        copy = AceStep(network.config, network.training_kind)
    _share_tensors(network, copy)
    return copy.train(network.training)


def _share_tensors(original: nn.Module, copy: nn.Module) -> None:
    for key, value in original.named_parameters(recurse=False):
        copy._parameters[key] = nn.Parameter(value.detach(), requires_grad=False)
    copy._buffers.update(original.named_buffers(recurse=False))
    for name, child in original.named_children():
        if isinstance(child, Shareable):
            copy.add_module(name, child.share())
        else:
            _share_tensors(child, copy.get_submodule(name))


def replace_layer(network: AceStep, name: str, layer: nn.Module) -> None:
    """Put another layer in the place of the one called ``name``."""
    parent, _, child = name.rpartition(".")
    network.get_submodule(parent).add_module(child, layer)


def parameter_count(config: Config) -> int:
    """Number of parameters of a configuration, without allocating any."""
    with torch.device("meta"):
        return sum(p.numel() for p in AceStep(config).parameters())
