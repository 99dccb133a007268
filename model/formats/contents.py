"""Identifies what a weight file holds by the names and shapes of its tensors, and says where such a file belongs."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import NamedTuple

from .tensors import CheckpointError, Shape, Tensors

MARKER = "encoder.lyric_encoder.layers.0.input_layernorm.weight"
PLANNER_VOCABULARY = 217204  # rows of the 5 Hz language model, which has the layers and names of the text encoder
COMPLETE = "acestep_v1.5_xl_sft_bf16.safetensors"
# What torch.compile, data-parallel training and activation checkpoints put into names, anywhere.
WRAPPERS = {"_orig_mod", "module", "_fsdp_wrapped_module", "_checkpoint_wrapped_module"}
# What programs put before all names of a network.
PREFIXES = ("state_dict.", "model.", "diffusion_model.", "dit.", "vae.", "first_stage_model.", "autoencoder.")

_LORA = re.compile(r"lora_(A|B|up|down|mid|magnitude_vector|linear_layer)\b|\.lora\.(up|down)\b")
_VAE = re.compile(
    r"(en|de)coder\.(conv1|block\.\d+\.(conv_t1|snake1|res_unit1)|layers\.\d+\.(layers|weight_|param|bias))"
)
_LORAS = "it belongs in models/loras: choose a complete model, and put this on it with the node Load Adapter"
_WHOLE = f"choose the complete model, such as {COMPLETE}"

Shapes = Mapping[str, Shape]


class Contents(NamedTuple):
    """name: as in "it is a LoRA". matches: called with the names and shapes of all tensors. remedy: for messages."""

    name: str
    matches: Callable[[Shapes], object]
    remedy: str


def contents_of(shapes: Shapes) -> str:
    """What a file with these tensors holds: a key of CONTENTS, or "unknown"."""
    return next((key for key, contents in CONTENTS.items() if contents.matches(shapes)), "unknown")


def wrong_contents(shapes: Shapes) -> str:
    """What the tensors are and where such a file belongs, for the end of a message."""
    key, first = contents_of(shapes), ", ".join(list(shapes)[:2]) or "none"
    if key == "unknown":
        return f"it is an unknown model (its first tensors: {first}); this pack runs ACE-Step 1.5 only"
    return f"it is {CONTENTS[key].name} (its first tensors: {first}); {CONTENTS[key].remedy}"


def unwrap(tensors: Tensors) -> Tensors:
    """The tensors without what training and other programs wrap around the names of a network.

    Raises CheckpointError if two names become the same.
    """
    names = {name: _unwrapped(name) for name in tensors}
    if len(set(names.values())) < len(names):
        plain = list(names.values())
        twice = next(name for name in plain if plain.count(name) > 1)
        raise CheckpointError(
            f"{tensors.files[0]} holds {twice} twice, with and without a prefix; fetch the file again"
        )
    return tensors.select("", names.__getitem__)


def _unwrapped(name: str) -> str:
    name = ".".join(part for part in name.split(".") if part not in WRAPPERS)
    while prefix := next((prefix for prefix in PREFIXES if name.startswith(prefix)), ""):
        name = name.removeprefix(prefix)
    return name


def _any(pattern: str) -> Callable[[Shapes], object]:
    search = re.compile(pattern).search
    return lambda shapes: any(search(name) for name in shapes)


def _is_network(shapes: Shapes) -> bool:
    return any(name.endswith(MARKER) for name in shapes)


def _embeddings(shapes: Shapes) -> int:
    """Rows of a Qwen3 language model's token embeddings; 0 for any other file."""
    if not any(name.endswith("layers.0.self_attn.q_norm.weight") for name in shapes):
        return 0
    return next((shape[0] for name, shape in shapes.items() if name.endswith("embed_tokens.weight") and shape), 0)


# The first match wins, so adapters come before the networks whose names they repeat.
CONTENTS: dict[str, Contents] = {
    "unmerged": Contents(
        "a PEFT save with unmerged adapters",
        _any(r"\.base_layer\."),
        "merge them with PEFT's merge_and_unload() and save again, or choose the model without them",
    ),
    "dora": Contents("a DoRA", _any(r"lora_magnitude_vector|\.dora_scale$"), _LORAS),
    "lokr": Contents("a LoKr", _any(r"\.lokr_[wt]\d"), _LORAS),
    "loha": Contents("a LoHa", _any(r"\.hada_[wt]\d"), _LORAS),
    "oft": Contents("an OFT adapter", _any(r"\.oft_(R|blocks|diag)\b"), _LORAS),
    "lora": Contents("a LoRA", _any(_LORA.pattern), _LORAS),
    "difference": Contents("an adapter of whole weights", _any(r"\.(diff|diff_b|set_weight|ia3_l)$"), _LORAS),
    "network": Contents(
        "a model of ACE-Step 1.5", _is_network, "it belongs in models/diffusion_models; choose it in the loader's model"
    ),
    "acestep1": Contents(
        "ACE-Step 1.0",
        _any(r"(^|\.)(genre_embedder|speaker_embedder|lyric_embs)\.weight$|lyric_encoder\.encoders\.\d"),
        f"an older model with another architecture; choose one of version 1.5, such as {COMPLETE}",
    ),
    "decoder": Contents(
        "only the diffusion transformer of ACE-Step 1.5, without condition encoder, tokenizer and detokenizer",
        lambda shapes: (
            any(".cross_attn." in name or ".cross_attn_norm" in name for name in shapes)
            and any(name.endswith("scale_shift_table") for name in shapes)
        ),
        _WHOLE,
    ),
    "condition_encoder": Contents(
        "only the condition encoder of ACE-Step 1.5",
        _any(r"(^|\.)(lyric_encoder|timbre_encoder)\.layers\.\d"),
        f"{_WHOLE}, or the folder that this file is a part of",
    ),
    "tokenizer": Contents(
        "only the audio tokenizer or detokenizer of ACE-Step 1.5",
        _any(r"audio_acoustic_proj|attention_pooler\.|(^|\.)special_tokens$"),
        f"{_WHOLE}, or the folder that this file is a part of",
    ),
    "planner": Contents(
        "the 5 Hz language model that plans audio codes",
        lambda shapes: _embeddings(shapes) == PLANNER_VOCABULARY,
        "it belongs in models/text_encoders; it is not supported yet",
    ),
    "text_encoder": Contents(
        "a Qwen3 text encoder or language model",
        _embeddings,
        "it belongs in models/text_encoders; choose it in the loader's text_encoder",
    ),
    "vae": Contents(
        "a VAE for audio", lambda shapes: any(map(_VAE.match, shapes)), "it belongs in models/vae; choose it in vae"
    ),
    "image_model": Contents(
        "a model for pictures or video",
        _any(r"input_blocks\.\d|(double|single)_(stream_)?blocks\.\d|joint_blocks\.\d|decoder\.(conv_in|up)\."),
        "this pack runs ACE-Step 1.5 only",
    ),
}
