"""Which files a loader's choices stand for, by ComfyUI's folder names."""

from __future__ import annotations

from pathlib import Path

from .. import parameters
from ..host.protocol import Host
from ..model.layouts import Component, Layout, recognise, text_component, vae_component

# Where a model of each role can lie, by ComfyUI's folder names; the first folder that has the name wins.
MODEL_KINDS = ("diffusion_models", "checkpoints", "diffusers")
TEXT_KINDS = ("text_encoders", "diffusers")
VAE_KINDS = ("vae", "diffusers")
# What "auto" looks for beside a checkpoint that does not bring the part itself, by words in the file's name.
AUTO_WORDS = {"text_encoder": ("qwen", "0.6b"), "vae": ("ace", "1.5", "vae")}


def find(host: Host, model: str, text_encoder: str, vae: str) -> tuple[Layout, Component, Component]:
    """The checkpoint, its text encoder and its VAE by the names that the node was given, without their weights."""
    layout = recognise(_path(host, MODEL_KINDS, model))
    text = _component(host, "text_encoder", text_encoder, layout.text)
    return layout, text, _component(host, "vae", vae, layout.vae)


def _component(host: Host, role: str, name: str, brought: Component | None) -> Component:
    """The part the user chose, or for "auto" the one the checkpoint brings, or the one file that is surely it."""
    kinds, opener = (TEXT_KINDS, text_component) if role == "text_encoder" else (VAE_KINDS, vae_component)
    if name != parameters.AUTO:
        return opener(_path(host, kinds, name))
    if brought is not None:
        return brought
    words = AUTO_WORDS[role]
    found = [n for n in host.model_names(kinds[0]) if all(word in n.lower() for word in words)]
    if len(found) == 1:
        return opener(host.model_path(kinds[0], found[0]))
    raise FileNotFoundError(
        f"{role} = auto: the checkpoint brings none, and {len(found)} files in {kinds[0]} are named like one"
        f"{': ' + ', '.join(found) if found else ''}. Choose one by name, or run `acestep-xl download xl-sft`"
    )


def model_choices(host: Host, kinds: tuple[str, ...]) -> list[str]:
    """Every name of these kinds, the ones that look like ACE-Step first, so that they are the default."""
    names = list(dict.fromkeys(name for kind in kinds for name in host.model_names(kind)))
    return sorted(names, key=lambda name: ("ace" not in name.lower(), name.lower()))


def _path(host: Host, kinds: tuple[str, ...], name: str) -> Path:
    for kind in kinds:
        if name in host.model_names(kind):
            return host.model_path(kind, name)
    searched = host.search_folders()
    places = ", ".join(str(folder) for kind in kinds for folder in searched.get(kind, []))
    raise FileNotFoundError(f"no model named {name!r}; looked in {places or 'no folder'}")
