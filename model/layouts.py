"""Recognises the four layouts in which people have ACE-Step 1.5, and gives each component official names."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from .config import Config, Training, from_official, from_shapes, training_of
from .formats.safetensors import CheckpointError, Tensors, listing, open_file, open_folder, read_json

AIO_PREFIX = "model.diffusion_model."
AIO_VAE, AIO_TEXT = "vae.", "text_encoders.qwen3_06b.transformer."
NETWORK_MARK = "encoder.lyric_encoder.layers.0.input_layernorm.weight"
DIFFUSERS_FOLDERS = {
    "transformer": "decoder.",
    "condition_encoder": "encoder.",
    "audio_tokenizer": "tokenizer.",
    "audio_token_detokenizer": "detokenizer.",
}
DIFFUSERS_NAMES = (
    (".to_q.", ".q_proj."),
    (".to_k.", ".k_proj."),
    (".to_v.", ".v_proj."),
    (".to_out.0.", ".o_proj."),
    (".norm_q.", ".q_norm."),
    (".norm_k.", ".k_norm."),
    ("decoder.proj_in_conv.", "decoder.proj_in.1."),
    ("decoder.proj_out_conv.", "decoder.proj_out.1."),
    ("encoder.null_condition_emb", "null_condition_emb"),
)
DIFFUSERS_SILENCE = "encoder.silence_latent"


@dataclass(frozen=True)
class Component:
    """Tensors of a text encoder or VAE in whatever names their file has, with the config that came along, if any."""

    tensors: Tensors
    config: Mapping[str, Any] | None
    path: Path


@dataclass(frozen=True)
class Layout:
    """One checkpoint on disk. ``network`` has official names; vae and text are set where the checkpoint brings them."""

    path: Path
    kind: str
    network: Tensors
    config: Config
    training: Training
    silence: Path | Tensors | None
    vae: Component | None
    text: Component | None


def recognise(path: Path) -> Layout:
    """Tell a checkpoint's layout from what it holds. Anything but ACE-Step 1.5 is a CheckpointError that says why."""
    if not path.exists():
        raise CheckpointError(f"{path} does not exist")
    if path.is_file():
        return _file(path)
    if all((path / folder).is_dir() for folder in DIFFUSERS_FOLDERS):
        return _diffusers(path)
    if (path / "config.json").is_file():
        return _official(path)
    raise CheckpointError(
        f"{path} is neither an official ACE-Step 1.5 folder (config.json and model.safetensors) nor a diffusers one "
        f"({', '.join(DIFFUSERS_FOLDERS)}); it holds {listing(path)}"
    )


def vae_component(path: Path) -> Component:
    """A VAE by itself: a safetensors file, or a diffusers folder with its config.json."""
    if path.is_file():
        tensors = open_file(path)
        return Component(tensors.select(AIO_VAE) or tensors, None, path)
    config = path / "config.json"
    tensors = open_folder(path, "diffusion_pytorch_model", "model")
    return Component(tensors, read_json(config) if config.is_file() else None, path)


def text_component(path: Path) -> Component:
    """A text encoder by itself: ComfyUI's single file, or the folder of the published model."""
    if path.is_file():
        return Component(open_file(path), None, path)
    config = path / "config.json"
    return Component(open_folder(path, "model"), read_json(config) if config.is_file() else None, path)


def _file(path: Path) -> Layout:
    tensors = open_file(path)
    if any(name.startswith(AIO_PREFIX) for name in tensors):
        network, kind = tensors.select(AIO_PREFIX), "ComfyUI all-in-one"
        parts = {prefix: tensors.select(prefix) for prefix in (AIO_VAE, AIO_TEXT)}
    else:
        network, kind, parts = tensors, "ComfyUI diffusion model", {}
    _check_is_acestep(path, network)
    vae, text = (Component(parts[prefix], None, path) if parts.get(prefix) else None for prefix in (AIO_VAE, AIO_TEXT))
    config = from_shapes(network.shapes())
    return Layout(path, kind, network, config, training_of({}, path.stem), _silence_beside(path), vae, text)


def _official(path: Path) -> Layout:
    raw = read_json(path / "config.json")
    network = open_folder(path, "model")
    _check_is_acestep(path, network)
    try:
        config = from_official(raw)
    except KeyError as error:
        raise CheckpointError(f"{path / 'config.json'} lacks {error}; fetch the file again") from error
    places = (path, path.parent)
    vae = next((p / "vae" for p in places if (p / "vae").is_dir()), None)
    text = next((p / "Qwen3-Embedding-0.6B" for p in places if (p / "Qwen3-Embedding-0.6B").is_dir()), None)
    return Layout(
        path,
        "official folder",
        network,
        config,
        training_of(raw, path.name),
        _silence_beside(path / "model.safetensors"),
        vae_component(vae) if vae else None,
        text_component(text) if text else None,
    )


def _diffusers(path: Path) -> Layout:
    network: Tensors | None = None
    for folder, prefix in DIFFUSERS_FOLDERS.items():
        tensors = open_folder(path / folder, "diffusion_pytorch_model", "model")
        part = tensors.select("", lambda name, prefix=prefix: _name(prefix + name))
        network = part if network is None else network.join(part)
    assert network is not None
    silence = network.select(DIFFUSERS_SILENCE) if DIFFUSERS_SILENCE in network else None
    network = network.without(DIFFUSERS_SILENCE)
    _check_is_acestep(path, network)
    raw = read_json(path / "transformer" / "config.json")
    config = replace(
        from_shapes(network.shapes()),
        sliding_window=raw["sliding_window"],
        rope_theta=float(raw["rope_theta"]),
        norm_eps=raw["rms_norm_eps"],
    )
    vae, text = path / "vae", path / "text_encoder"
    return Layout(
        path,
        "diffusers folder",
        network,
        config,
        training_of(raw, path.name),
        silence,
        vae_component(vae) if vae.is_dir() else None,
        text_component(text) if text.is_dir() else None,
    )


def _name(diffusers: str) -> str:
    for theirs, official in DIFFUSERS_NAMES:
        diffusers = diffusers.replace(theirs, official)
    return diffusers


def _check_is_acestep(path: Path, network: Tensors) -> None:
    if NETWORK_MARK not in network:
        first = ", ".join(list(network)[:3]) or "no tensors"
        raise CheckpointError(
            f"{path} is not an ACE-Step 1.5 model: it lacks {NETWORK_MARK} (it begins with {first}). "
            "ACE-Step 1.0 and other models do not fit this pack"
        )


def _silence_beside(weights: Path) -> Path | None:
    """silence_latent.pt as the official folders ship it, or named after a single file."""
    names = (f"{weights.stem}.silence_latent.pt", "silence_latent.pt")
    return next((weights.parent / name for name in names if (weights.parent / name).is_file()), None)
