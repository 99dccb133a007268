"""Recognises the four layouts in which ACE-Step 1.5 is distributed, and gives the network its official names."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import reduce
from pathlib import Path
from typing import Any

from .config import Config, Training, from_official, from_shapes, training_of
from .formats import gguf_file
from .formats.contents import COMPLETE, MARKER, contents_of, unwrap, wrong_contents
from .formats.files import INDEX_SUFFIX, SHARD, open_file, open_folder
from .formats.tensors import CheckpointError, Tensors, list_names, read_json
from .formats.weights import check_weights

AIO_PREFIX = "model.diffusion_model."
AIO_VAE, AIO_TEXT = "vae.", "text_encoders.qwen3_06b.transformer."
PARTS = {
    "decoder.": "diffusion transformer",
    "encoder.": "condition encoder",
    "tokenizer.": "audio tokenizer",
    "detokenizer.": "audio detokenizer",
    "null_condition_emb": "null condition",
}
TEXT_STEMS, VAE_STEMS = ("model",), ("diffusion_pytorch_model", "model")
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
DIFFUSERS_SILENCE, GGUF_SILENCE = "encoder.silence_latent", "silence_latent"


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
    if (path / "config.json").is_file() or (path / f"model.safetensors{INDEX_SUFFIX}").is_file():
        return _read_official(path)
    raise CheckpointError(
        f"{path} is neither an official ACE-Step 1.5 folder (config.json and model.safetensors) nor a diffusers one "
        f"({', '.join(DIFFUSERS_FOLDERS)}); the folder holds {list_names(path)}"
    )


def open_vae(path: Path) -> Component:
    """Open a separate VAE: a safetensors or GGUF file, or a diffusers folder with its config.json.

    Raises CheckpointError for another file, and for weights that can't be used.
    """
    tensors = open_file(path) if path.is_file() else open_folder(path, *VAE_STEMS)
    tensors = unwrap(tensors.select(AIO_VAE) or tensors)
    return _component(path, tensors, "vae", "ACE-Step's VAE")


def open_text_encoder(path: Path) -> Component:
    """Open a separate text encoder: ComfyUI's single file, a GGUF file, or the folder of the published model.

    Raises CheckpointError for another file, and for weights that can't be used.
    """
    tensors = open_file(path) if path.is_file() else open_folder(path, *TEXT_STEMS)
    tensors = unwrap(tensors.select(AIO_TEXT) or tensors)
    return _component(path, tensors, "text_encoder", "the text encoder Qwen3-Embedding")


def _component(path: Path, tensors: Tensors, contents: str, name: str) -> Component:
    if contents_of(tensors.shapes()) not in (contents, "unknown"):
        raise CheckpointError(f"{path} is not {name}: {wrong_contents(tensors.shapes())}")
    check_weights(path, tensors)
    config = path / "config.json"
    raw = read_json(config) if config.is_file() else gguf_file.config_of(tensors)
    return Component(tensors, raw or None, path)


def _read_file(path: Path) -> Layout:
    if SHARD.search(path.stem):
        raise CheckpointError(f"{path} is one of several shards of a model: choose its folder, {path.parent.name}")
    tensors = open_file(path)
    if {name.startswith(AIO_PREFIX) for name in tensors} == {True, False}:
        network, kind = tensors.select(AIO_PREFIX), "ComfyUI all-in-one"
        parts = {prefix: tensors.select(prefix) for prefix in (AIO_VAE, AIO_TEXT)}
    else:
        network, kind, parts = tensors, "ComfyUI diffusion model", {}
    network, silence = _without_silence(unwrap(network))
    network = _checked(path, network)
    vae, text = (Component(parts[prefix], None, path) if parts.get(prefix) else None for prefix in (AIO_VAE, AIO_TEXT))
    for part in (vae, text):
        if part is not None:
            check_weights(path, part.tensors)
    beside = _config_beside(path)
    raw = gguf_file.config_of(tensors) or beside
    name = path.parent.name if path.stem == "model" else path.stem
    silence = silence or _silence_beside(path)
    layout = Layout(path, kind, network, _config(path, raw, network), training_of(raw, name), silence, vae, text)
    return replace(_with_parts_near(layout, path.parent), kind="official folder") if beside else layout


def _without_silence(network: Tensors) -> tuple[Tensors, Tensors | None]:
    """The network without the silence latent that GGUF files include, ``[t c]``, and that as ``[1 t c]``."""
    if GGUF_SILENCE not in network:
        return network, None
    entry = network.entry(GGUF_SILENCE)
    silence = Tensors({GGUF_SILENCE: entry._replace(shape=(1, *entry.shape[-2:]))}, network.files)
    return network.without(GGUF_SILENCE), silence


def _read_official(path: Path) -> Layout:
    config = path / "config.json"
    raw = read_json(config) if config.is_file() else {}
    network = _checked(path, unwrap(open_folder(path, "model")))
    silence = _silence_beside(path / "model.safetensors")
    layout = Layout(
        path,
        "official folder",
        network,
        _config(config, raw, network),
        training_of(raw, path.name),
        silence,
        vae=None,
        text=None,
    )
    return _with_parts_near(layout, path)


def _read_diffusers(path: Path) -> Layout:
    parts = [
        open_folder(path / folder, "diffusion_pytorch_model", "model").select(
            "", lambda name, prefix=prefix: _official_name(prefix + name)
        )
        for folder, prefix in DIFFUSERS_FOLDERS.items()
    ]
    network = reduce(Tensors.join, parts)
    silence = network.select(DIFFUSERS_SILENCE) if DIFFUSERS_SILENCE in network else None
    network = _checked(path, network.without(DIFFUSERS_SILENCE))
    file = path / "transformer" / "config.json"
    raw = read_json(file)
    try:
        config = replace(
            _config(path, {}, network),
            sliding_window=raw["sliding_window"],
            rope_theta=float(raw["rope_theta"]),
            norm_eps=raw["rms_norm_eps"],
        )
    except (KeyError, TypeError) as error:
        raise CheckpointError(f"{file} lacks {error}; fetch the file again") from error
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


def _checked(path: Path, network: Tensors) -> Tensors:
    """The network's tensors. Raises CheckpointError if they are another model's, incomplete or unusable."""
    if contents_of(network.shapes()) != "network":
        raise CheckpointError(f"{path} is not an ACE-Step 1.5 model: {wrong_contents(network.shapes())}")
    if MARKER not in network:
        wrapped = next(name for name in network if name.endswith(MARKER))
        raise CheckpointError(
            f"{path} holds an ACE-Step 1.5 model under names that start with {wrapped.removesuffix(MARKER)!r}, which "
            "is no known prefix: save the model without it"
        )
    absent = [f"{name} ({prefix}*)" for prefix, name in PARTS.items() if not any(n.startswith(prefix) for n in network)]
    if absent:
        raise CheckpointError(
            f"{path} is not a complete ACE-Step 1.5 model: it has no {', no '.join(absent)}. Choose the complete "
            f"model, such as {COMPLETE}"
        )
    check_weights(path, network)
    return network


def _config(path: Path, raw: Mapping[str, Any], network: Tensors) -> Config:
    """The config from config.json's content, or from the tensors where there is none."""
    if not raw:
        try:
            return from_shapes(network.shapes())
        except (KeyError, IndexError, ValueError, ZeroDivisionError) as error:
            raise CheckpointError(
                f"{path} lacks tensors that determine the sizes of an ACE-Step 1.5 model ({error}); choose the "
                f"complete model, such as {COMPLETE}"
            ) from error
    try:
        return from_official(raw)
    except KeyError as error:
        raise CheckpointError(f"{path} lacks {error}; fetch the file again") from error
    except TypeError as error:
        raise CheckpointError(f"{path} has a value of a wrong type: {error}; fetch the file again") from error


def _config_beside(path: Path) -> dict[str, Any]:
    """The official config.json in a file's folder; empty where there is none, or that of another model."""
    config = path.parent / "config.json"
    raw = read_json(config) if config.is_file() else {}
    return raw if raw.get("model_type") == "acestep" else {}


def _with_parts_near(layout: Layout, folder: Path) -> Layout:
    """The layout with the VAE and the text encoder that official downloads put into its folder or beside that."""
    vae = layout.vae or _open_near(folder, "vae", open_vae, VAE_STEMS)
    text = layout.text or _open_near(folder, "Qwen3-Embedding-0.6B", open_text_encoder, TEXT_STEMS)
    return replace(layout, vae=vae, text=text)


def _open_near(
    folder: Path, name: str, opener: Callable[[Path], Component], stems: tuple[str, ...]
) -> Component | None:
    files = [f"{stem}.safetensors{suffix}" for stem in stems for suffix in ("", INDEX_SUFFIX)]
    for candidate in (folder / name, folder.parent / name):
        if any((candidate / file).is_file() for file in files):
            return opener(candidate)
    return None


def _official_name(name: str) -> str:
    for diffusers, official in DIFFUSERS_NAMES:
        name = name.replace(diffusers, official)
    return name


def _silence_beside(weights: Path) -> Path | None:
    """The silence latent as official folders ship it, or named after a single file."""
    names = (f"{weights.stem}.silence_latent.pt", "silence_latent.pt")
    return next((weights.parent / name for name in names if (weights.parent / name).is_file()), None)
