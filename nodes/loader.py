"""Node: load ACE-Step 1.5."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

from .. import host, parameters
from ..host.protocol import Host, Progress
from ..model import demo
from ..model.checkpoint import give_silence, load_network, load_text_encoder, load_vae
from ..model.layouts import Component, Layout, recognise, text_component, vae_component
from ..model.network import AceStep
from ..model.precision import choose, side_dtype
from ..model.text import TextEncoder
from ..model.tokens import find_tokenizer
from .vae import AudioVAE

# Where a model of each role can lie, by ComfyUI's folder names; the first folder that has the name wins.
MODEL_KINDS = ("diffusion_models", "checkpoints", "diffusers")
TEXT_KINDS = ("text_encoders", "diffusers")
VAE_KINDS = ("vae", "diffusers")
PARTS = 3  # network, VAE, text encoder
# What "auto" looks for beside a checkpoint that does not bring the part itself, by words in the file's name.
AUTO_WORDS = {"text_encoder": ("qwen", "0.6b"), "vae": ("ace", "1.5", "vae")}


class Loader:
    """Loads the network, its text encoder and its VAE."""

    CATEGORY = "audio/ACE-Step XL"
    DESCRIPTION = "Loads ACE-Step 1.5 (2B or XL; SFT, base or turbo) from any of its published layouts."
    FUNCTION = "load"
    RETURN_TYPES = ("ACESTEP_MODEL", "ACESTEP_TEXT_ENCODER", "VAE")
    RETURN_NAMES = ("model", "text_encoder", "vae")
    OUTPUT_TOOLTIPS = (
        "The network, for the guider.",
        "The text encoder, for caption and lyrics.",
        "The VAE, for decoding; core audio VAE nodes accept it too.",
    )
    SEARCH_ALIASES: ClassVar = ["ace step", "ace-step 1.5", "music model", "checkpoint"]

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        place = host.current()
        return {
            "required": {
                "model": (
                    [*_names(place, MODEL_KINDS), demo.NAME],
                    {"tooltip": "Checkpoint: a file, an all-in-one file or a folder. demo needs no download."},
                ),
                "text_encoder": (
                    [parameters.AUTO, *_names(place, TEXT_KINDS)],
                    {"default": parameters.AUTO, "tooltip": "auto takes the one the checkpoint brings, or finds it."},
                ),
                "vae": (
                    [parameters.AUTO, *_names(place, VAE_KINDS)],
                    {"default": parameters.AUTO, "tooltip": "auto takes the one the checkpoint brings, or finds it."},
                ),
                "precision": parameters.widget("precision"),
            }
        }

    def load(self, model: str, text_encoder: str, vae: str, precision: str) -> tuple[AceStep, TextEncoder, AudioVAE]:
        place = host.current()
        place.hint([demo.NOTICE] if model == demo.NAME else [])
        if model == demo.NAME:
            network, encoder, oobleck = demo.load()
            return network, encoder, AudioVAE(oobleck)
        device = place.compute_device()
        layout, text, sound = find(place, model, text_encoder, vae)
        tokenizer = find_tokenizer(text.path, place.tokenizer_bundles())
        with place.progress(PARTS) as bar:
            network = load_network(layout, choose(precision, device), device)
            _tick(place, bar, 1)
            device = place.compute_device("vae")
            oobleck = load_vae(sound, side_dtype(choose(precision, device)), device)
            _tick(place, bar, 2)
            device = place.compute_device("text")
            encoder = load_text_encoder(text, tokenizer, side_dtype(choose(precision, device)), device)
            give_silence(network, oobleck)
            _tick(place, bar, PARTS)
        return network, encoder, AudioVAE(oobleck)


def find(place: Host, model: str, text_encoder: str, vae: str) -> tuple[Layout, Component, Component]:
    """The checkpoint, its text encoder and its VAE by the names that the node was given, without their weights."""
    layout = recognise(_path(place, MODEL_KINDS, model))
    text = _component(place, "text_encoder", text_encoder, layout.text)
    return layout, text, _component(place, "vae", vae, layout.vae)


def _tick(place: Host, bar: Progress, done: int) -> None:
    bar.update(done)
    place.check_interrupted()


def _component(place: Host, role: str, name: str, brought: Component | None) -> Component:
    """The part the user chose, or for "auto" the one the checkpoint brings, or the one file that is surely it."""
    kinds, opener = (TEXT_KINDS, text_component) if role == "text_encoder" else (VAE_KINDS, vae_component)
    if name != parameters.AUTO:
        return opener(_path(place, kinds, name))
    if brought is not None:
        return brought
    words = AUTO_WORDS[role]
    found = [n for n in place.model_names(kinds[0]) if all(word in n.lower() for word in words)]
    if len(found) == 1:
        return opener(place.model_path(kinds[0], found[0]))
    raise FileNotFoundError(
        f"{role} = auto: the checkpoint brings none, and {len(found)} files in {kinds[0]} are named like one"
        f"{': ' + ', '.join(found) if found else ''}. Choose one by name, or run `acestep-xl download xl-sft`"
    )


def _names(place: Host, kinds: tuple[str, ...]) -> list[str]:
    """Every name of these kinds, the ones that look like ACE-Step first, so that they are the default."""
    names = list(dict.fromkeys(name for kind in kinds for name in place.model_names(kind)))
    return sorted(names, key=lambda name: ("ace" not in name.lower(), name.lower()))


def _path(place: Host, kinds: tuple[str, ...], name: str) -> Path:
    for kind in kinds:
        if name in place.model_names(kind):
            return place.model_path(kind, name)
    searched = place.searched()
    places = ", ".join(str(folder) for kind in kinds for folder in searched.get(kind, []))
    raise FileNotFoundError(f"no model named {name!r}; looked in {places or 'no folder'}")
