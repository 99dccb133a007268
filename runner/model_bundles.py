"""Which model files can be downloaded by name, and where each goes."""

from __future__ import annotations

from dataclasses import dataclass

COMFY_FILES = "Comfy-Org/ace_step_1.5_ComfyUI_files"
EMBEDDER = "Qwen/Qwen3-Embedding-0.6B"


@dataclass(frozen=True)
class Source:
    """One file of a Hugging Face repository, and its destination relative to the model root."""

    repo: str
    path: str
    target: str


def find_bundle(name: str) -> tuple[Source, ...]:
    """The files of a bundle. Raises ValueError listing the known bundles."""
    if name not in BUNDLES:
        raise ValueError(f"unknown bundle {name!r}; known: {', '.join(BUNDLES)}")
    return BUNDLES[name]


def _bundle(variant: str) -> tuple[Source, ...]:
    """The files of one XL checkpoint.

    This layout lacks the silence latent, which comes from the official repository and goes beside the network under
    the same stem, and the tokenizer, which comes from the text encoder's repository and goes into a folder named like
    the text encoder's file.
    """
    network = f"acestep_v1.5_xl_{variant}_bf16"
    encoder = "qwen_0.6b_ace15"
    return (
        _split_file("diffusion_models", f"{network}.safetensors"),
        _split_file("text_encoders", f"{encoder}.safetensors"),
        _split_file("vae", "ace_1.5_vae.safetensors"),
        Source(EMBEDDER, "tokenizer.json", f"text_encoders/{encoder}/tokenizer.json"),
        Source(EMBEDDER, "tokenizer_config.json", f"text_encoders/{encoder}/tokenizer_config.json"),
        Source(
            f"ACE-Step/acestep-v15-xl-{variant}",
            "silence_latent.pt",
            f"diffusion_models/{network}.silence_latent.pt",
        ),
    )


def _split_file(folder: str, name: str) -> Source:
    return Source(COMFY_FILES, f"split_files/{folder}/{name}", f"{folder}/{name}")


BUNDLES: dict[str, tuple[Source, ...]] = {f"xl-{variant}": _bundle(variant) for variant in ("sft", "base", "turbo")}
