"""The complete ACE-Step 1.5 network, with the parameter names of the official checkpoint."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .audio_codes import Detokenizer, Tokenizer
from .condition import ConditionEncoder
from .config import Config, Training
from .layers import compute_dtype
from .silence import lengthen
from .transformer import Transformer

# The audio code with which ComfyUI fills up a song whose codes end early.
FILLER_CODE = 35847


class Adapters(Protocol):
    """What is attached to a network; see adapters/attach.py."""

    def begin_step(self, network: AceStep, t: float, frames: int) -> tuple[float, ...]: ...


class AceStep(nn.Module):
    """Condition encoder, audio tokenizer and detokenizer, diffusion transformer and the learned null condition.

    ``silence`` is what the VAE encodes silence to, ``[s c]``: the model was trained with it, never with zeros, wherever
    a source or a reference is absent. It travels with the weights but is not one. ``step_cache`` is the threshold below
    which a step's change is small enough to skip most layers; 0 skips nothing (see step_cache.py).
    """

    silence: Tensor
    adapters: Adapters | None

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
        self.register_module("adapters", None)
        self.register_buffer("silence", torch.empty(0, config.latent_channels), persistent=False)

    @property
    def name(self) -> str:
        """Size and training, for messages: "XL sft", "2B turbo"."""
        return f"{'XL' if self.config.is_xl else '2B'} {self.training_kind}"

    @property
    def dtype(self) -> torch.dtype:
        """The dtype that the transformer computes in."""
        return compute_dtype(self.decoder.condition_embedder)

    def silent(self, frames: int) -> Tensor:
        """The silence latent over ``frames`` frames, ``[t c]``."""
        return lengthen(self.silence, frames)

    def silent_reference(self) -> Tensor:
        """The timbre reference that means none, ``[1 t c]``."""
        return self.silent(self.config.timbre_frames)[None]

    @torch.no_grad()
    def round_trip_codes(self, latents: Tensor) -> Tensor:
        """Latents ``[b t c]`` after an encode to 5 Hz codes and back, which is all that a cover keeps of its source."""
        codes = self.tokenizer(latents, self.silence)
        return self.detokenizer(codes.quantized)[:, : latents.shape[1]]

    def begin_step(self, t: float, frames: int) -> tuple[float, ...]:
        """Give the adapters the strengths of an evaluation at level t, 1 (noise) .. 0, of a song of latent frames.

        Returns the strengths that layers took which see no place in the song; where they are others than before, a
        projected condition and an embedded noise level are out of date. Empty if no strength varies.
        """
        return () if self.adapters is None else self.adapters.begin_step(self, t, frames)

    @torch.no_grad()
    def forward(
        self,
        x: Tensor,
        timestep: Tensor,
        context: Tensor,
        lyric_embed: Tensor,
        refer_audio: Tensor,
        audio_codes: Tensor | None = None,
        is_covers: bool | None = None,
        replace_with_null_embeds: bool = False,
        caption_mask: Tensor | None = None,
        lyric_mask: Tensor | None = None,
        control: object = None,
        transformer_options: object = None,
    ) -> Tensor:
        """The velocity of x as ComfyUI's samplers ask a network for it, ``[b c t]``.

        x: ``[b c t]``; timestep: ``[b]`` in 1 (noise) .. 0; context: caption states ``[b n d]``, and lyric_embed:
        ``[b m d]``, with masks where something is padded; refer_audio: ``[b c s]``, the timbre reference, which is also
        the source: as it is where is_covers is False, else after an encode to codes. audio_codes: ``[b n]``, the source
        as 5 Hz codes. replace_with_null_embeds: take the null condition instead of prompt and timbre. control,
        transformer_options: ComfyUI passes them to every network; this one has no use for them.

        Source: ComfyUI 0.20.1, comfy/model_base.py (ACEStep15) and comfy/ldm/ace/ace_step15.py. Unlike there, XL reads
        the timbre from its class token, and a source becomes the codes of the official tokenizer.
        """
        if self.adapters is not None:
            self.begin_step(float(timestep[0]), x.shape[2])
        references = refer_audio.transpose(1, 2)
        source = self._native_source(references, audio_codes, is_covers, x.shape[2])
        tokens = self.decoder.embed_context(torch.cat([source, torch.ones_like(source)], dim=2))
        if replace_with_null_embeds:
            condition = self.decoder.project_constant(self.null_condition_emb)
        else:
            masks = (_mask(caption_mask, context), _mask(lyric_mask, lyric_embed))
            owners = range(len(references))
            packed = self.encoder(context, masks[0], lyric_embed, masks[1], references, owners)
            condition = self.decoder.project_kv(packed.states, packed.padding_mask)
        # One embedding serves the whole batch where all its songs are at one level.
        levels = timestep[:1] if bool((timestep == timestep[0]).all()) else timestep
        modulation = self.decoder.embed_timesteps(levels)
        return self.decoder.velocities(x.transpose(1, 2), modulation, tokens, [condition])[0].transpose(1, 2)

    def _native_source(
        self, references: Tensor, audio_codes: Tensor | None, is_covers: bool | None, frames: int
    ) -> Tensor:
        """What ComfyUI takes as the source of a run over so many frames, ``[b t c]``."""
        if is_covers is False:
            return references[:, :frames]
        if audio_codes is None:
            return self.round_trip_codes(references)[:, :frames]
        missing = max(0, -(-frames // self.config.pool_window) - audio_codes.shape[1])
        indices = F.pad(audio_codes.long(), (0, missing), value=FILLER_CODE)[..., None]
        return self.detokenizer(self.tokenizer.quantizer.lookup(indices))[:, :frames]


def _mask(mask: Tensor | None, states: Tensor) -> Tensor:
    """A mask ``[b n]`` of states ``[b n d]`` as bool; without one every token counts."""
    ones = torch.ones(states.shape[:2], dtype=torch.bool, device=states.device)
    return ones if mask is None else mask.to(states.device).bool().expand_as(ones)


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
