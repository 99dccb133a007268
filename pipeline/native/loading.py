"""Model files by the names that ComfyUI's loaders know them by."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from ...host import current_host
from ...host.protocol import Host
from ...model.adapters.attach import Applied
from ...model.adapters.read import read
from ...model.checkpoint import load_network, load_text_encoder, load_vae
from ...model.formats.tensors import CheckpointError
from ...model.layouts import Component, Layout, open_text_encoder, open_vae, recognise
from ...model.linear import quantise
from ...model.precision import choose_dtype, text_vae_dtype
from ...model.silence import published_silence
from ...model.tokenizer import find_tokenizer
from .. import model_files
from ..adapters.files import read_adapter
from ..model_socket import with_adapters
from ..vae_socket import AudioVAE

# ComfyUI's folder for each kind of file that its loaders list.
FOLDERS = {
    "unet": "diffusion_models",
    "clip": "text_encoders",
    "vae": "vae",
    "checkpoint": "checkpoints",
    "lora": "loras",
}
CLIP_TYPE = "ace"
Part = tuple[str, Mapping[str, Any]]
# The folder and the widget of the nodes that load a network.
_NETWORKS = {"UNETLoader": ("unet", "unet_name"), "CheckpointLoaderSimple": ("checkpoint", "ckpt_name")}
# What ComfyUI stores weights as, and the nearest here: with a scale for each row, so that nothing is out of range.
WEIGHT_DTYPES = {
    "default": quantise.AS_LOADED,
    "fp8_e4m3fn": "fp8",
    "fp8_e4m3fn_fast": "fp8 dynamic",
    "fp8_e5m2": "fp8",
}


def names(host: Host, part: str) -> list[str]:
    """The files of a kind, as a node lists them."""
    return host.model_names(FOLDERS[part])


def problem(host: Host, part: str, name: str | None) -> str:
    """Why a file can't be loaded, from its header; "" if it can, or if the name comes over a link."""
    if name is None:
        return ""
    try:
        path = host.model_path(FOLDERS[part], name)
        _OPENERS[part](path)
    except (OSError, ValueError) as error:
        return str(error)
    return ""


def clip_problem(host: Host, file_names: Sequence[str | None], kind: str | None) -> str:
    """Why the text encoder of a CLIP can't be loaded; "" if it can, or if a value comes over a link."""
    if kind not in (CLIP_TYPE, None):
        return f"type is {kind}: ACE-Step 1.5 needs type {CLIP_TYPE}"
    if any(name is None for name in file_names):
        return ""
    try:
        _text_encoder(host, [name for name in file_names if name is not None])
    except (OSError, ValueError) as error:
        return str(error)
    return ""


def load_model(name: str, weight_dtype: str) -> Any:
    """The MODEL of a file in diffusion_models. weight_dtype: one of `WEIGHT_DTYPES`."""
    host = current_host()
    return _model(host, recognise(host.model_path(FOLDERS["unet"], name)), WEIGHT_DTYPES[weight_dtype])


def load_clip(file_names: Sequence[str]) -> Any:
    """The CLIP of files in text_encoders, of which one is the text encoder; a planner among them is not loaded."""
    host = current_host()
    return _clip(host, _text_encoder(host, file_names))


def load_audio_vae(name: str) -> AudioVAE:
    """The VAE of a file in vae."""
    host = current_host()
    return _vae(host, open_vae(host.model_path(FOLDERS["vae"], name)))


def with_lora(model: Any, name: str, strength: float) -> Any:
    """A MODEL with an adapter of a file in loras on top."""
    adapter = read_adapter(name)
    return model if strength == 0 else with_adapters(model, [Applied(adapter, strength)])


def load_checkpoint(name: str) -> tuple[Any, Any, AudioVAE]:
    """MODEL, CLIP and VAE of one file in checkpoints."""
    host = current_host()
    layout = _all_in_one(host.model_path(FOLDERS["checkpoint"], name))
    assert layout.text is not None and layout.vae is not None  # _all_in_one refuses others
    return _model(host, layout, quantise.AS_LOADED), _clip(host, layout.text), _vae(host, layout.vae)


def open_parts(host: Host, model: Part, clip: Part, vae: Part) -> model_files.Files:
    """The files that loader nodes take network, text encoder and VAE from, from their headers. Each: class, inputs.

    Raises FileNotFoundError and CheckpointError.
    """
    folder, widget = _NETWORKS[model[0]]
    layout = recognise(host.model_path(FOLDERS[folder], model[1][widget]))
    if clip[0] == "CheckpointLoaderSimple":
        text = _all_in_one(host.model_path(FOLDERS["checkpoint"], clip[1]["ckpt_name"])).text
    else:
        text = _text_encoder(host, [name for key, name in clip[1].items() if key.startswith("clip_name")])
    if vae[0] == "CheckpointLoaderSimple":
        sound = _all_in_one(host.model_path(FOLDERS["checkpoint"], vae[1]["ckpt_name"])).vae
    else:
        sound = open_vae(host.model_path(FOLDERS["vae"], vae[1]["vae_name"]))
    assert text is not None and sound is not None  # _all_in_one refuses others
    return layout, text, sound


def _model(host: Host, layout: Layout, weights: str) -> Any:
    device = host.compute_device()
    network = load_network(layout, choose_dtype("auto", device), device)
    network.silence = published_silence()
    return host.sockets.make_model(quantise.convert(network, weights))


def _clip(host: Host, component: Component) -> Any:
    device = host.compute_device("text")
    tokenizer = find_tokenizer(component.path, host.tokenizer_bundles())
    dtype = text_vae_dtype(choose_dtype("auto", device))
    return host.sockets.make_clip(load_text_encoder(component, tokenizer, dtype, device))


def _vae(host: Host, component: Component) -> AudioVAE:
    device = host.compute_device("vae")
    return AudioVAE(load_vae(component, text_vae_dtype(choose_dtype("auto", device)), device))


def _text_encoder(host: Host, file_names: Sequence[str]) -> Component:
    """The one text encoder among files; the others may be planners. Raises CheckpointError."""
    components, problems = [], []
    for name in dict.fromkeys(file_names):
        try:
            components.append(open_text_encoder(host.model_path(FOLDERS["clip"], name)))
        except CheckpointError as error:
            problems.append(str(error))
    if not components:
        raise CheckpointError("; ".join(problems))
    # A planner is the same network, only wider or with more tokens.
    return min(components, key=lambda component: sum(map(math.prod, component.tensors.shapes().values())))


def _all_in_one(path: Path) -> Layout:
    layout = recognise(path)
    missing = [name for name, part in (("text encoder", layout.text), ("VAE", layout.vae)) if part is None]
    if missing:
        raise CheckpointError(
            f"{path} holds no {' and no '.join(missing)}: load it with UNETLoader, and the rest with DualCLIPLoader "
            "and VAELoader"
        )
    return layout


_OPENERS: dict[str, Callable[[Path], Any]] = {
    "unet": recognise,
    "vae": open_vae,
    "checkpoint": _all_in_one,
    "lora": read,
}
