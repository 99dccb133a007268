"""This project's network and diffusers' with the same random weights, and single steps of each."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from checkpoints import XL
from diffusers.models.autoencoders.autoencoder_oobleck import AutoencoderOobleck
from diffusers.models.transformers.ace_step_transformer import AceStepTransformer1DModel
from torch import Tensor

from acestep_xl.model import context
from acestep_xl.model.condition import Condition
from acestep_xl.model.config import Config, from_official
from acestep_xl.model.network import AceStep
from acestep_xl.model.predictor import Predictor
from acestep_xl.model.vae.config import VAEConfig
from acestep_xl.model.vae.keys import vae_state
from acestep_xl.model.vae.oobleck import Oobleck

TOKENS = 500  # of the packed condition: a caption and the lyrics of a song
SMALL_2B = XL | {
    "hidden_size": 2048,
    "intermediate_size": 6144,
    "num_attention_heads": 16,
    "num_hidden_layers": 24,
}
TINY = XL | {
    "hidden_size": 256,
    "intermediate_size": 768,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 64,
    "encoder_hidden_size": 128,
    "encoder_intermediate_size": 384,
    "encoder_num_attention_heads": 2,
    "encoder_num_key_value_heads": 2,
    "num_hidden_layers": 4,
}
SIZES: dict[str, dict[str, Any]] = {"tiny": TINY, "2B": SMALL_2B, "XL": XL}
NAMES = {
    ".q_proj.": ".to_q.",
    ".k_proj.": ".to_k.",
    ".v_proj.": ".to_v.",
    ".o_proj.": ".to_out.0.",
    ".q_norm.": ".norm_q.",
    ".k_norm.": ".norm_k.",
    "proj_in.1.": "proj_in_conv.",
    "proj_out.1.": "proj_out_conv.",
}


@dataclass(frozen=True)
class Rivals:
    """Both transformers with shared weights. ``config`` has the requested number of decoder layers."""

    config: Config
    ours: AceStep
    theirs: AceStepTransformer1DModel


def make_rivals(size: str, layers: int | None, dtype: torch.dtype, device: torch.device) -> Rivals:
    """Both transformers in a size of SIZES, with all layers (None) or fewer."""
    official = SIZES[size] | ({} if layers is None else {"num_hidden_layers": layers})
    # The encoders are not part of a step; one layer each saves memory.
    official |= {f"num_{part}_hidden_layers": 1 for part in ("lyric_encoder", "timbre_encoder", "attention_pooler")}
    config = from_official(official)
    torch.manual_seed(0)
    with torch.device("meta"):
        ours = AceStep(config, "sft")
    ours = ours.to_empty(device=device).to(dtype).eval().requires_grad_(False)
    for name, weight in ours.named_parameters():
        _fill(name, weight)
    ours.silence = torch.zeros(0, config.latent_channels, device=device)
    with torch.device("meta"):
        theirs = AceStepTransformer1DModel(**_diffusers_config(official))
    theirs.load_state_dict(_diffusers_state(ours.decoder.state_dict()), strict=True, assign=True)
    return Rivals(config, ours, theirs.eval().requires_grad_(False))


def _fill(name: str, weight: Tensor) -> None:
    if "norm" in name and weight.ndim == 1:
        weight.fill_(1)
    else:
        weight.normal_(0, 0.02)


def _diffusers_config(official: Mapping[str, Any]) -> dict[str, Any]:
    same = ("hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads", "num_key_value_heads")
    return {key: official[key] for key in (*same, "head_dim", "encoder_hidden_size", "sliding_window")}


def _diffusers_state(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    renamed = {}
    for name, weight in state.items():
        for ours, diffusers in NAMES.items():
            name = name.replace(ours, diffusers)
        renamed[name] = weight
    return renamed


class Song:
    """A latent and its condition, for guided and unguided steps of both transformers."""

    def __init__(self, pair: Rivals, seconds: float, batch: int) -> None:
        weight = pair.ours.null_condition_emb
        frames, generator = round(25 * seconds), torch.Generator(weight.device).manual_seed(1)

        def draw(*shape: int) -> Tensor:
            return torch.randn(*shape, generator=generator, device=weight.device, dtype=weight.dtype)

        self.pair = pair
        self.x = draw(batch, frames, pair.config.latent_channels)
        self.states = draw(batch, TOKENS, pair.config.encoder.hidden)
        source = draw(1, frames, pair.config.latent_channels)
        self.context = context.join(source, torch.ones_like(source[..., :1])).expand(batch, -1, -1)
        self.condition = Condition(self.states, None)
        self.predictor = Predictor(pair.ours, self.condition, self.context)

    def step_ours(self, guided: bool) -> tuple[Tensor, Tensor | None]:
        """The velocities of a step as this project computes them."""
        return self.predictor(self.x, 0.5, unconditional=guided)

    @torch.no_grad()
    def step_diffusers(self, guided: bool) -> tuple[Tensor, Tensor | None]:
        """The velocities of a step as diffusers' pipeline requests them: if guided, both in one batch."""
        null = self.pair.ours.null_condition_emb.expand(len(self.x), TOKENS, -1)
        copies = 2 if guided else 1
        t = torch.full((copies * len(self.x),), 0.5, device=self.x.device, dtype=self.x.dtype)
        (velocity,) = self.pair.theirs(
            hidden_states=torch.cat([self.x] * copies),
            timestep=t,
            timestep_r=t,
            encoder_hidden_states=torch.cat([self.states, null][:copies]),
            context_latents=torch.cat([self.context] * copies),
            return_dict=False,
        )
        first, *rest = velocity.chunk(copies)
        return first, rest[0] if rest else None


def required_operations(config: Config, tokens: int, batch: int, guided: bool) -> float:
    """Floating-point operations of matrix products and attention that a step can't avoid, two per multiplication.

    Not counted: the condition's keys and values, which are the same at every step, the null half's cross-attention,
    which is a constant, and a second self-attention in the first layer, which both halves share. A query of a sliding
    layer sees at most 2 * window + 1 keys.
    """
    width, layers = config.decoder, config.decoder_layers
    inner, projections, mlp = _products(config)
    cross = 2 * width.hidden * inner + 2 * TOKENS * inner
    keys = [min(tokens, 2 * config.sliding_window + 1), tokens]
    self_attention = [projections + 2 * inner * keys[layer % 2] for layer in range(layers)]
    halves = 2 if guided else 1
    all_layers = halves * (sum(self_attention) + layers * mlp) + layers * cross
    return 2.0 * batch * tokens * (all_layers - (halves - 1) * self_attention[0])


def diffusers_operations(config: Config, tokens: int, batch: int, guided: bool) -> float:
    """Operations of a step of diffusers, counted alike: everything for both halves, with dense attention."""
    width, halves = config.decoder, 2 if guided else 1
    inner, projections, mlp = _products(config)
    keys = 2 * width.hidden * width.kv_heads * width.head_dim
    cross = 2 * width.hidden * inner + 2 * TOKENS * inner + keys * TOKENS / tokens
    return 2.0 * batch * tokens * halves * config.decoder_layers * (projections + 2 * inner * tokens + mlp + cross)


def _products(config: Config) -> tuple[int, int, int]:
    """Width of all heads, and multiplications per token of self-attention's projections and of the MLP."""
    width = config.decoder
    inner, inner_kv = width.heads * width.head_dim, width.kv_heads * width.head_dim
    return inner, width.hidden * (2 * inner + 2 * inner_kv), 3 * width.hidden * width.intermediate


@dataclass(frozen=True)
class VAEs:
    """Both autoencoders at full size with the same random weights; only the decoders are used."""

    ours: Oobleck
    theirs: Any


def make_vaes(dtype: torch.dtype, device: torch.device) -> VAEs:
    torch.manual_seed(0)
    config = VAEConfig()
    theirs: Any = AutoencoderOobleck(**config.to_diffusers())
    theirs = theirs.eval().requires_grad_(False)
    ours = Oobleck(config)
    ours.load_state_dict(vae_state(theirs.state_dict()), strict=True)
    return VAEs(ours.eval().requires_grad_(False).to(device, dtype), theirs.to(device, dtype))
