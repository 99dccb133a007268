"""Tiny checkpoints in every published layout, all with the same weights.

The names of each layout come from the library that owns it (diffusers' own classes save the diffusers folders) or are
written out here from ComfyUI's files; nothing uses the reader's own tables.
"""

from __future__ import annotations

import json
import re
from functools import cache
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor

from acestep_xl.model import random_network
from acestep_xl.model.checkpoint import give_silence
from acestep_xl.model.config import Config, to_official
from acestep_xl.model.tokenizer import demo_tokenizer, save_tokenizer
from acestep_xl.model.vae.config import VAEConfig
from acestep_xl.model.vae.oobleck import Oobleck

LAYOUTS = ("official", "shards", "split", "all_in_one", "diffusers")
NAME = "acestep_v1.5_xl_sft_tiny"
SILENCE_FRAMES = 15000
# diffusers' class ties the encoder's channels to its output, twice the latent channels.
VAE_CONFIG = VAEConfig(encoder_channels=128, decoder_channels=4, channel_multiples=(1, 1, 1, 1, 1))


def official_config(config: Config, **extra: object) -> dict[str, object]:
    """The official config.json of a published SFT or base checkpoint, which keeps the default version "turbo"."""
    return to_official(config) | {"model_version": "turbo", "is_turbo": False} | extra


def network_state() -> dict[str, Tensor]:
    return {name: tensor.clone() for name, tensor in random_network.network().state_dict().items()}


def text_state() -> dict[str, Tensor]:
    return {name: tensor.clone() for name, tensor in random_network.text_encoder().model.state_dict().items()}


@cache
def vae() -> Oobleck:
    return random_network.fill(Oobleck(VAE_CONFIG), random_network.VAE_GAIN).eval()


def vae_state() -> dict[str, Tensor]:
    """diffusers' names, with the weight norm that every published VAE has."""
    state: dict[str, Tensor] = {}
    for name, tensor in vae().state_dict().items():
        if name.endswith(".weight"):
            stem = name.removesuffix(".weight")
            state[f"{stem}.weight_g"] = tensor.flatten(1).norm(dim=1).view(-1, 1, 1)
            state[f"{stem}.weight_v"] = tensor.clone()
        else:
            state[name] = tensor.clone()
    return state


@cache
def silence() -> Tensor:
    """What the official folder ships: the VAE's encoding of silence, ``[1 c t]``."""
    network = random_network.network()
    give_silence(network, vae())
    return network.silent(SILENCE_FRAMES).T[None].contiguous()


def write(layout: str, models: Path) -> str:
    """Write the checkpoint below a folder laid out like ComfyUI's ``models``; returns the name the loader shows."""
    return WRITERS[layout](models)


def write_official(models: Path) -> str:
    folder = _official_parts(models)
    save_file(network_state(), folder / "model.safetensors")
    return folder.name


def write_shards(models: Path) -> str:
    folder = _official_parts(models)
    state = network_state()
    names = sorted(state)
    shards = {"model-00001-of-00002.safetensors": names[::2], "model-00002-of-00002.safetensors": names[1::2]}
    for file, part in shards.items():
        save_file({name: state[name] for name in part}, folder / file)
    index = {"metadata": {}, "weight_map": {name: file for file, part in shards.items() for name in part}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    return folder.name


def write_split(models: Path) -> str:
    for kind in ("diffusion_models", "text_encoders", "vae"):
        (models / kind).mkdir(parents=True, exist_ok=True)
    save_file(network_state(), models / "diffusion_models" / f"{NAME}.safetensors")
    text = {f"model.{name}": tensor for name, tensor in text_state().items()}
    save_file(text, models / "text_encoders" / "qwen_0.6b_ace15.safetensors")
    save_tokenizer(demo_tokenizer(), models / "text_encoders" / "qwen_0.6b_ace15")
    save_file(stable_audio_names(vae_state()), models / "vae" / "ace_1.5_vae.safetensors")
    return f"{NAME}.safetensors"


def write_all_in_one(models: Path) -> str:
    (models / "checkpoints").mkdir(parents=True, exist_ok=True)
    text = {f"text_encoders.qwen3_06b.transformer.model.{n}": t for n, t in text_state().items()}
    planner = {"text_encoders.qwen3_2b.transformer.model.norm.weight": torch.ones(8)}
    network = {f"model.diffusion_model.{n}": t for n, t in network_state().items()}
    vae = {f"vae.{n}": t for n, t in stable_audio_names(vae_state()).items()}
    save_file(network | text | planner | vae, models / "checkpoints" / f"{NAME}_aio.safetensors")
    save_tokenizer(demo_tokenizer(), models / "checkpoints" / "tokenizer")
    return f"{NAME}_aio.safetensors"


def write_diffusers(models: Path) -> str:
    folder = models / "diffusers" / f"{NAME}-diffusers"
    for name, module in diffusers_parts(random_network.CONFIG, network_state(), silence()).items():
        module.save_pretrained(folder / name)
    diffusers_vae().save_pretrained(folder / "vae")
    _text_folder(folder / "text_encoder")
    save_tokenizer(demo_tokenizer(), folder / "tokenizer")
    (folder / "model_index.json").write_text(json.dumps({"_class_name": "AceStepPipeline"}))
    return folder.name


def diffusers_parts(config: Config, state: dict[str, Tensor], silence_latent: Tensor) -> dict[str, Any]:
    """diffusers' own modules with the weights of an official state dict."""
    prefixes = {
        "transformer": "decoder.",
        "condition_encoder": "encoder.",
        "audio_tokenizer": "tokenizer.",
        "audio_token_detokenizer": "detokenizer.",
    }
    parts = _diffusers_modules(config)
    for name, module in parts.items():
        weights = {k.removeprefix(prefixes[name]): v for k, v in state.items() if k.startswith(prefixes[name])}
        weights = {_diffusers_name(k): v for k, v in weights.items()}
        if name == "condition_encoder":
            weights["null_condition_emb"] = state["null_condition_emb"]
            frames = silence_latent.transpose(1, 2)
            tail = frames[:, -1:].expand(-1, SILENCE_FRAMES - frames.shape[1], -1)
            weights["silence_latent"] = torch.cat([frames, tail], dim=1)
        module.load_state_dict(weights, strict=True)
        module.eval()
    return parts


def _diffusers_modules(config: Config) -> dict[str, Any]:
    from diffusers.models.transformers.ace_step_transformer import AceStepTransformer1DModel
    from diffusers.pipelines.ace_step.modeling_ace_step import (
        AceStepAudioTokenDetokenizer,
        AceStepAudioTokenizer,
        AceStepConditionEncoder,
    )

    narrow = {
        "hidden_size": config.encoder.hidden,
        "intermediate_size": config.encoder.intermediate,
        "num_attention_heads": config.encoder.heads,
        "num_key_value_heads": config.encoder.kv_heads,
        "head_dim": config.encoder.head_dim,
        "sliding_window": config.sliding_window,
    }
    return {
        "transformer": AceStepTransformer1DModel(
            hidden_size=config.decoder.hidden,
            intermediate_size=config.decoder.intermediate,
            num_hidden_layers=config.decoder_layers,
            num_attention_heads=config.decoder.heads,
            num_key_value_heads=config.decoder.kv_heads,
            head_dim=config.decoder.head_dim,
            sliding_window=config.sliding_window,
            encoder_hidden_size=config.encoder.hidden,
        ),
        "condition_encoder": AceStepConditionEncoder(
            text_hidden_dim=config.text_dim,
            num_lyric_encoder_hidden_layers=config.lyric_layers,
            num_timbre_encoder_hidden_layers=config.timbre_layers,
            **narrow,
        ),
        "audio_tokenizer": AceStepAudioTokenizer(
            fsq_dim=config.encoder.hidden, num_attention_pooler_hidden_layers=config.pooler_layers, **narrow
        ),
        "audio_token_detokenizer": AceStepAudioTokenDetokenizer(
            num_attention_pooler_hidden_layers=config.pooler_layers, **narrow
        ),
    }


def with_weight_norm(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """A VAE's weights ``[n ...]`` as length and direction, ``weight_g`` and ``weight_v``; the rest as it is."""
    normed: dict[str, Tensor] = {}
    for name, tensor in state.items():
        if name.endswith(".weight"):
            normed[f"{name}_g"] = tensor.flatten(1).norm(dim=1).view(-1, 1, 1)
            normed[f"{name}_v"] = tensor
        else:
            normed[name] = tensor
    return normed


def stable_audio_names(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """ComfyUI's VAE file: numbered layers, parametrised weight norm, flat Snake parameters."""
    depth = 1 + max(int(m[1]) for m in (re.match(r"decoder\.block\.(\d+)\.", k) for k in state) if m)
    unit = {"snake1": 0, "conv1": 1, "snake2": 2, "conv2": 3}
    inside = {
        "encoder": {"res_unit1": 0, "res_unit2": 1, "res_unit3": 2, "snake1": 3, "conv1": 4},
        "decoder": {"snake1": 0, "conv_t1": 1, "res_unit1": 2, "res_unit2": 3, "res_unit3": 4},
    }
    leaf = {"weight_g": "parametrizations.weight.original0", "weight_v": "parametrizations.weight.original1"}
    renamed: dict[str, Tensor] = {}
    for name, tensor in state.items():
        part, *rest = name.split(".")
        last = leaf.get(rest[-1], rest[-1])
        if rest[0] == "block":
            layer = f"layers.{int(rest[1]) + 1}.layers.{inside[part][rest[2]]}"
            if rest[2].startswith("res_unit"):
                layer += f".layers.{unit[rest[3]]}"
        else:
            layer = f"layers.{ {'conv1': 0, 'snake1': depth + 1, 'conv2': depth + 2}[rest[0]] }"
        renamed[f"{part}.{layer}.{last}"] = tensor.flatten() if last in ("alpha", "beta") else tensor
    return renamed


def _official_parts(models: Path) -> Path:
    folder = models / "diffusers" / NAME
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps(official_config(random_network.CONFIG)))
    torch.save(silence(), folder / "silence_latent.pt")
    diffusers_vae().save_pretrained(folder.parent / "vae")
    _text_folder(folder.parent / "Qwen3-Embedding-0.6B")
    save_tokenizer(demo_tokenizer(), folder.parent / "Qwen3-Embedding-0.6B")
    return folder


def diffusers_vae() -> Any:
    """The VAE as diffusers' class."""
    from diffusers.models.autoencoders.autoencoder_oobleck import AutoencoderOobleck

    model = AutoencoderOobleck(**VAE_CONFIG.to_diffusers())
    model.load_state_dict(vae_state(), strict=True)
    return model.eval()


def _text_folder(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    config = {**random_network.TEXT_CONFIG, "vocab_size": demo_tokenizer().get_vocab_size(), "rope_theta": 1_000_000.0}
    (folder / "config.json").write_text(json.dumps(config))
    save_file(text_state(), folder / "model.safetensors")


def _diffusers_name(name: str) -> str:
    for ours, theirs in (
        (".q_proj.", ".to_q."),
        (".k_proj.", ".to_k."),
        (".v_proj.", ".to_v."),
        (".o_proj.", ".to_out.0."),
        (".q_norm.", ".norm_q."),
        (".k_norm.", ".norm_k."),
        ("proj_in.1.", "proj_in_conv."),
        ("proj_out.1.", "proj_out_conv."),
    ):
        name = name.replace(ours, theirs)
    return name


WRITERS = {
    "official": write_official,
    "shards": write_shards,
    "split": write_split,
    "all_in_one": write_all_in_one,
    "diffusers": write_diffusers,
}
