"""Recognises the four layouts in which ACE-Step 1.5 is distributed, and gives the network its official names."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import reduce
from pathlib import Path
from typing import Any

from .config import Config, Training, from_official, from_shapes, training_of
from .formats.files import open_file, open_folder
from .formats.tensors import CheckpointError, Tensors, list_names, read_json

AIO_PREFIX = "model.diffusion_model."
AIO_VAE, AIO_TEXT = "vae.", "text_encoders.qwen3_06b.transformer."
MARKER = "encoder.lyric_encoder.layers.0.input_layernorm.weight"
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
    """A text encoder or VAE: tensors under the names of their file, and the config beside them, if any."""

    tensors: Tensors
    config: Mapping[str, Any] | None
    path: Path


@dataclass(frozen=True)
class Layout:
    """One checkpoint on disk. ``network`` has official names; vae and text are None where they are not included."""

    path: Path
    kind: str
    network: Tensors
    config: Config
    training: Training
    silence: Path | Tensors | None
    vae: Component | None
    text: Component | None


def recognise(path: Path) -> Layout:
    """Identify a checkpoint's layout by its contents. Raises CheckpointError for anything but ACE-Step 1.5."""
    if not path.exists():
        raise CheckpointError(f"{path} does not exist")
    if path.is_file():
        return _read_file(path)
    if all((path / folder).is_dir() for folder in DIFFUSERS_FOLDERS):
        return _read_diffusers(path)
    if (path / "config.json").is_file():
        return _read_official(path)
    raise CheckpointError(
        f"{path} is neither an official ACE-Step 1.5 folder (config.json and model.safetensors) nor a diffusers one "
        f"({', '.join(DIFFUSERS_FOLDERS)}); the folder holds {list_names(path)}"
    )


def open_vae(path: Path) -> Component:
    """Open a separate VAE: a safetensors file, or a diffusers folder with its config.json."""
    if path.is_file():
        tensors = open_file(path)
        return Component(tensors.select(AIO_VAE) or tensors, None, path)
    config = path / "config.json"
    tensors = open_folder(path, "diffusion_pytorch_model", "model")
    return Component(tensors, read_json(config) if config.is_file() else None, path)


def open_text_encoder(path: Path) -> Component:
    """Open a separate text encoder: ComfyUI's single file, or the folder of the published model."""
    if path.is_file():
        return Component(open_file(path), None, path)
    config = path / "config.json"
    return Component(open_folder(path, "model"), read_json(config) if config.is_file() else None, path)


def _read_file(path: Path) -> Layout:
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


def _read_official(path: Path) -> Layout:
    raw = read_json(path / "config.json")
    network = open_folder(path, "model")
    _check_is_acestep(path, network)
    try:
        config = from_official(raw)
    except KeyError as error:
        raise CheckpointError(f"{path / 'config.json'} lacks {error}; fetch the file again") from error
    vae, text = (_folder_inside_or_beside(path, name) for name in ("vae", "Qwen3-Embedding-0.6B"))
    return Layout(
        path,
        "official folder",
        network,
        config,
        training_of(raw, path.name),
        _silence_beside(path / "model.safetensors"),
        open_vae(vae) if vae else None,
        open_text_encoder(text) if text else None,
    )


def _read_diffusers(path: Path) -> Layout:
    parts = [
        open_folder(path / folder, "diffusion_pytorch_model", "model").select(
            "", lambda name, prefix=prefix: _official_name(prefix + name)
        )
        for folder, prefix in DIFFUSERS_FOLDERS.items()
    ]
    network = reduce(Tensors.join, parts)
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
        open_vae(vae) if vae.is_dir() else None,
        open_text_encoder(text) if text.is_dir() else None,
    )


def _official_name(name: str) -> str:
    for diffusers, official in DIFFUSERS_NAMES:
        name = name.replace(diffusers, official)
    return name


def _folder_inside_or_beside(path: Path, name: str) -> Path | None:
    return next((parent / name for parent in (path, path.parent) if (parent / name).is_dir()), None)


def _check_is_acestep(path: Path, network: Tensors) -> None:
    if MARKER not in network:
        first = ", ".join(list(network)[:3]) or "none"
        raise CheckpointError(
            f"{path} is not an ACE-Step 1.5 model: it has no {MARKER} (its first tensors: {first}). "
            "ACE-Step 1.0 and other models are not supported"
        )


def _silence_beside(weights: Path) -> Path | None:
    """The silence latent as official folders ship it, or named after a single file."""
    names = (f"{weights.stem}.silence_latent.pt", "silence_latent.pt")
    return next((weights.parent / name for name in names if (weights.parent / name).is_file()), None)
