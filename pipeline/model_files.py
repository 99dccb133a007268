"""Which files a loader's choices stand for, by ComfyUI's folder names."""

from __future__ import annotations

from pathlib import Path

from .. import parameters
from ..host.protocol import Host
from ..model.layouts import Component, Layout, open_text_encoder, open_vae, recognise

# ComfyUI's folders for each part of a model; the first that has the name wins.
MODEL_KINDS = ("diffusion_models", "checkpoints", "diffusers")
TEXT_KINDS = ("text_encoders", "diffusers")
VAE_KINDS = ("vae", "diffusers")
# Words that "auto" looks for in file names where a checkpoint lacks the part.
AUTO_WORDS = {"text_encoder": ("qwen", "0.6b"), "vae": ("ace", "1.5", "vae")}


def find(host: Host, model: str, text_encoder: str, vae: str) -> tuple[Layout, Component, Component]:
    """The checkpoint, its text encoder and its VAE by the loader's choices, without reading weights."""
    layout = recognise(_path(host, MODEL_KINDS, model))
    text = _component(host, "text_encoder", text_encoder, layout.text)
    return layout, text, _component(host, "vae", vae, layout.vae)


def _component(host: Host, role: str, name: str, included: Component | None) -> Component:
    """The part the user chose; for "auto" the one in the checkpoint, or the only file that is named like one."""
    kinds, opener = (TEXT_KINDS, open_text_encoder) if role == "text_encoder" else (VAE_KINDS, open_vae)
    if name != parameters.AUTO:
        return opener(_path(host, kinds, name))
    if included is not None:
        return included
    words = AUTO_WORDS[role]
    matches = [n for n in host.model_names(kinds[0]) if all(word in n.lower() for word in words)]
    if len(matches) == 1:
        return opener(host.model_path(kinds[0], matches[0]))
    raise FileNotFoundError(
        f"{role} = auto: the checkpoint has none, and {len(matches)} files in {kinds[0]} are named like one"
        f"{': ' + ', '.join(matches) if matches else ''}. Choose one by name, or run `acestep-xl download xl-sft`"
    )


def model_choices(host: Host, kinds: tuple[str, ...]) -> list[str]:
    """Every name of these kinds, those that look like ACE-Step first, so that they are the default."""
    names = list(dict.fromkeys(name for kind in kinds for name in host.model_names(kind)))
    return sorted(names, key=lambda name: ("ace" not in name.lower(), name.lower()))


def _path(host: Host, kinds: tuple[str, ...], name: str) -> Path:
    for kind in kinds:
        if name in host.model_names(kind):
            return host.model_path(kind, name)
    folders = host.search_folders()
    searched = ", ".join(str(folder) for kind in kinds for folder in folders.get(kind, []))
    raise FileNotFoundError(f"no model named {name!r}; looked in {searched or 'no folder'}")
