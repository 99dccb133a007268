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
from ..model.vae.oobleck import Oobleck
from ..pipeline.model_files import find, part_names, problem
from ..pipeline.vae_socket import AudioVAE

PARTS = 3  # network, VAE, text encoder
UNKNOWN_TRAINING = (
    "neither the config nor the name of {name} says whether it is an SFT, base or turbo checkpoint, so there is no "
    "advice on its steps and guidance"
)


class Loader:
    """Loads the network, its text encoder and its VAE."""

    CATEGORY = "audio/ACE-Step XL"
    DESCRIPTION = "Loads ACE-Step 1.5 (2B or XL; SFT, base or turbo) from any of its published layouts."
    FUNCTION = "load"
    RETURN_TYPES = ("MODEL", "CLIP", "VAE")
    RETURN_NAMES = ("model", "text_encoder", "vae")
    OUTPUT_TOOLTIPS = (
        "The network, for the guidance node; ComfyUI's LoRA, model and sampler nodes accept it too.",
        "The text encoder, for caption and lyrics; ComfyUI's text encode node accepts it too.",
        "The VAE, for decoding; ComfyUI's audio VAE nodes accept it too.",
    )
    SEARCH_ALIASES: ClassVar = ["ace step", "ace-step 1.5", "music model", "checkpoint"]

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        host = current_host()
        return {
            "required": {
                "model": (
                    [*part_names(host, "model"), demo.NAME],
                    {"tooltip": "Checkpoint: a file, an all-in-one file or a folder. demo needs no download."},
                ),
                "text_encoder": (
                    [parameters.AUTO, *part_names(host, "text_encoder")],
                    {
                        "default": parameters.AUTO,
                        "tooltip": "auto uses the one that comes with the checkpoint, or searches for it.",
                    },
                ),
                "vae": (
                    [parameters.AUTO, *part_names(host, "vae")],
                    {
                        "default": parameters.AUTO,
                        "tooltip": "auto uses the one that comes with the checkpoint, or searches for it.",
                    },
                ),
                "precision": parameters.widget("precision"),
            }
        }

    @classmethod
    def VALIDATE_INPUTS(cls, model: str | None, text_encoder: str | None, vae: str | None) -> bool | str:
        # Naming the inputs switches off ComfyUI's comparison with the list, which refuses names saved on Windows. A
        # connected value arrives as None.
        if model in (None, demo.NAME):
            return True
        return problem(current_host(), model, text_encoder or parameters.AUTO, vae or parameters.AUTO) or True

    def load(self, model: str, text_encoder: str, vae: str, precision: str) -> tuple[Any, Any, AudioVAE]:
        host = current_host()
        host.advise([demo.NOTICE] if model == demo.NAME else [])
        if model == demo.NAME:
            return _sockets(host, *demo.load())
        device = host.compute_device()
        layout, text, sound = find(host, model, text_encoder, vae)
        if layout.training == "unknown":
            host.warn(UNKNOWN_TRAINING.format(name=model))
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
        return _sockets(host, network, encoder, oobleck)


def _sockets(host: Host, network: AceStep, encoder: TextEncoder, oobleck: Oobleck) -> tuple[Any, Any, AudioVAE]:
    return host.sockets.make_model(network), host.sockets.make_clip(encoder), AudioVAE(oobleck)


def _tick(host: Host, bar: Progress, done: int) -> None:
    bar.update(done)
    host.check_interrupted()
