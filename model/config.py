"""The sizes of an ACE-Step 1.5 network, read from a config file or from the checkpoint's tensor shapes."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

Training = Literal["sft", "base", "turbo", "unknown"]
Shapes = Mapping[str, tuple[int, ...]]

# No tensor shape shows these; they are the same in every published checkpoint (official configuration class).
SLIDING_WINDOW = 128
TIMBRE_FRAMES = 750
FSQ_LEVELS = (8, 8, 8, 5, 5, 5)
ROPE_THETA = 1_000_000.0
NORM_EPS = 1e-6


@dataclass(frozen=True)
class StackWidth:
    """Sizes of the layers in one transformer stack."""

    hidden: int
    intermediate: int
    heads: int
    kv_heads: int
    head_dim: int


@dataclass(frozen=True)
class Config:
    """Everything that determines the network's parameters and arithmetic."""

    decoder: StackWidth
    encoder: StackWidth
    decoder_layers: int
    lyric_layers: int
    timbre_layers: int
    pooler_layers: int
    text_dim: int
    latent_channels: int = 64
    patch_size: int = 2
    pool_window: int = 5
    fsq_levels: tuple[int, ...] = FSQ_LEVELS
    timbre_frames: int = TIMBRE_FRAMES
    sliding_window: int = SLIDING_WINDOW
    rope_theta: float = ROPE_THETA
    norm_eps: float = NORM_EPS

    @property
    def is_xl(self) -> bool:
        """XL has a transformer wider than its condition encoder; in the 2B model both have one width."""
        return self.encoder.hidden != self.decoder.hidden

    @property
    def timbre_class_token(self) -> bool:
        """XL reads the timbre from a prepended class token, 2B from the first audio frame (official modeling files)."""
        return self.is_xl

    def window(self, layer: int) -> int | None:
        """Attention window of a layer in tokens to each side: even layers slide, odd layers attend to everything."""
        return self.sliding_window if layer % 2 == 0 else None


def from_official(config: Mapping[str, Any]) -> Config:
    """Read the official ``config.json``.

    Raises KeyError for a missing field, ValueError if the layers do not alternate between sliding and full attention.
    """
    layers = int(config["num_hidden_layers"])
    expected = ["sliding_attention" if i % 2 == 0 else "full_attention" for i in range(layers)]
    if list(config.get("layer_types") or expected) != expected:
        raise ValueError(f"layer_types {config['layer_types']} is not the alternating pattern this network implements")
    decoder = StackWidth(
        hidden=config["hidden_size"],
        intermediate=config["intermediate_size"],
        heads=config["num_attention_heads"],
        kv_heads=config["num_key_value_heads"],
        head_dim=config["head_dim"],
    )
    encoder = StackWidth(
        hidden=config.get("encoder_hidden_size") or decoder.hidden,
        intermediate=config.get("encoder_intermediate_size") or decoder.intermediate,
        heads=config.get("encoder_num_attention_heads") or decoder.heads,
        kv_heads=config.get("encoder_num_key_value_heads") or decoder.kv_heads,
        head_dim=decoder.head_dim,
    )
    return Config(
        decoder=decoder,
        encoder=encoder,
        decoder_layers=layers,
        lyric_layers=config["num_lyric_encoder_hidden_layers"],
        timbre_layers=config["num_timbre_encoder_hidden_layers"],
        pooler_layers=config["num_attention_pooler_hidden_layers"],
        text_dim=config["text_hidden_dim"],
        latent_channels=config["audio_acoustic_hidden_dim"],
        patch_size=config["patch_size"],
        pool_window=config["pool_window_size"],
        fsq_levels=tuple(config["fsq_input_levels"]),
        timbre_frames=config["timbre_fix_frame"],
        sliding_window=config["sliding_window"],
        rope_theta=float(config["rope_theta"]),
        norm_eps=config["rms_norm_eps"],
    )


def to_official(config: Config) -> dict[str, Any]:
    """The fields of the official ``config.json`` for a network; the inverse of from_official.

    Raises ValueError if the encoder and the decoder differ in head_dim, for which the official config has one field.
    """
    if config.encoder.head_dim != config.decoder.head_dim:
        raise ValueError(
            f"the official config has one head_dim; the encoder's is {config.encoder.head_dim} and the decoder's "
            f"{config.decoder.head_dim}"
        )
    return {
        "hidden_size": config.decoder.hidden,
        "intermediate_size": config.decoder.intermediate,
        "num_attention_heads": config.decoder.heads,
        "num_key_value_heads": config.decoder.kv_heads,
        "head_dim": config.decoder.head_dim,
        "encoder_hidden_size": config.encoder.hidden,
        "encoder_intermediate_size": config.encoder.intermediate,
        "encoder_num_attention_heads": config.encoder.heads,
        "encoder_num_key_value_heads": config.encoder.kv_heads,
        "num_hidden_layers": config.decoder_layers,
        "num_lyric_encoder_hidden_layers": config.lyric_layers,
        "num_timbre_encoder_hidden_layers": config.timbre_layers,
        "num_attention_pooler_hidden_layers": config.pooler_layers,
        "text_hidden_dim": config.text_dim,
        "audio_acoustic_hidden_dim": config.latent_channels,
        "patch_size": config.patch_size,
        "pool_window_size": config.pool_window,
        "fsq_dim": config.encoder.hidden,
        "fsq_input_levels": list(config.fsq_levels),
        "fsq_input_num_quantizers": 1,
        "timbre_fix_frame": config.timbre_frames,
        "sliding_window": config.sliding_window,
        "rope_theta": config.rope_theta,
        "rms_norm_eps": config.norm_eps,
        "model_type": "acestep",
    }


def from_shapes(shapes: Shapes) -> Config:
    """Infer the config from tensor shapes in the official key layout.

    For files without a config (ComfyUI's). What no shape shows (window, rotary base, quantiser levels) has the value of
    every published checkpoint.
    """
    return Config(
        decoder=_width(shapes, "decoder.layers.0", "self_attn"),
        encoder=_width(shapes, "encoder.lyric_encoder.layers.0", "self_attn"),
        decoder_layers=_count(shapes, "decoder.layers."),
        lyric_layers=_count(shapes, "encoder.lyric_encoder.layers."),
        timbre_layers=_count(shapes, "encoder.timbre_encoder.layers."),
        pooler_layers=_count(shapes, "detokenizer.layers."),
        text_dim=shapes["encoder.text_projector.weight"][1],
        latent_channels=shapes["decoder.proj_out.1.weight"][1],
        patch_size=shapes["decoder.proj_in.1.weight"][2],
        pool_window=shapes["detokenizer.special_tokens"][1],
    )


def training_of(config: Mapping[str, Any], name: str) -> Training:
    """How a checkpoint was trained: from its config where that is conclusive, else from the one such word in its name.

    A config's ``model_version`` "turbo" is not conclusive: SFT and base checkpoints are published with that default. A
    name with several of the words, as of a merge, decides nothing.
    """
    version, is_turbo = config.get("model_version"), config.get("is_turbo")
    if is_turbo:
        return "turbo"
    if version == "sft" or version == "base":
        return version
    words = re.split(r"[^a-z0-9]+", name.lower())
    trainings: list[Training] = [training for training in ("sft", "base", "turbo") if training in words]
    if len(trainings) != 1 or (trainings == ["turbo"] and is_turbo is False):
        return "unknown"
    return trainings[0]


def _width(shapes: Shapes, layer: str, attention: str) -> StackWidth:
    head_dim = shapes[f"{layer}.{attention}.q_norm.weight"][0]
    intermediate, hidden = shapes[f"{layer}.mlp.gate_proj.weight"]
    return StackWidth(
        hidden=hidden,
        intermediate=intermediate,
        heads=shapes[f"{layer}.{attention}.q_proj.weight"][0] // head_dim,
        kv_heads=shapes[f"{layer}.{attention}.k_proj.weight"][0] // head_dim,
        head_dim=head_dim,
    )


def _count(shapes: Shapes, prefix: str) -> int:
    return len({key[len(prefix) :].split(".")[0] for key in shapes if key.startswith(prefix)})
