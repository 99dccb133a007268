"""Node: load ACE-Step 1.5."""

from __future__ import annotations

from typing import Any, ClassVar

from .. import parameters
from ..host import current_host
from ..host.protocol import Host, Progress
from ..model import demo
from ..model.checkpoint import give_silence, load_network, load_text_encoder, load_vae
from ..model.network import AceStep
from ..model.precision import choose_dtype, text_vae_dtype
from ..model.text import TextEncoder
from ..model.tokenizer import find_tokenizer
from ..pipeline.model_files import MODEL_KINDS, TEXT_KINDS, VAE_KINDS, find, model_choices
from ..pipeline.vae_socket import AudioVAE

PARTS = 3  # network, VAE, text encoder


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
        host = current_host()
        return {
            "required": {
                "model": (
                    [*model_choices(host, MODEL_KINDS), demo.NAME],
                    {"tooltip": "Checkpoint: a file, an all-in-one file or a folder. demo needs no download."},
                ),
                "text_encoder": (
                    [parameters.AUTO, *model_choices(host, TEXT_KINDS)],
                    {
                        "default": parameters.AUTO,
                        "tooltip": "auto uses the one that comes with the checkpoint, or searches for it.",
                    },
                ),
                "vae": (
                    [parameters.AUTO, *model_choices(host, VAE_KINDS)],
                    {
                        "default": parameters.AUTO,
                        "tooltip": "auto uses the one that comes with the checkpoint, or searches for it.",
                    },
                ),
                "precision": parameters.widget("precision"),
            }
        }

    def load(self, model: str, text_encoder: str, vae: str, precision: str) -> tuple[AceStep, TextEncoder, AudioVAE]:
        host = current_host()
        host.advise([demo.NOTICE] if model == demo.NAME else [])
        if model == demo.NAME:
            network, encoder, oobleck = demo.load()
            return network, encoder, AudioVAE(oobleck)
        device = host.compute_device()
        layout, text, sound = find(host, model, text_encoder, vae)
        tokenizer = find_tokenizer(text.path, host.tokenizer_bundles())
        with host.progress(PARTS) as bar:
            network = load_network(layout, choose_dtype(precision, device), device)
            _tick(host, bar, 1)
            device = host.compute_device("vae")
            oobleck = load_vae(sound, text_vae_dtype(choose_dtype(precision, device)), device)
            _tick(host, bar, 2)
            device = host.compute_device("text")
            encoder = load_text_encoder(text, tokenizer, text_vae_dtype(choose_dtype(precision, device)), device)
            give_silence(network, oobleck)
            _tick(host, bar, PARTS)
        return network, encoder, AudioVAE(oobleck)


def _tick(host: Host, bar: Progress, done: int) -> None:
    bar.update(done)
    host.check_interrupted()
