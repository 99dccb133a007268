"""Names what a file is that holds no adapter for ACE-Step 1.5."""

from __future__ import annotations

import re
from collections.abc import Mapping

from torch import Tensor

from ..formats.contents import contents_of, wrong_contents

_ELSEWHERE = "it can't be used here"
# What a file's names hold, and what it then is. The first match wins.
_FOREIGN: tuple[tuple[str, str], ...] = (
    (
        r"speaker_embedder|genre_embedder|lyric_(?:embs|encoder\.encoders|proj)|(?<!single_)transformer_blocks[._]\d+[._](?:attn|"
        r"cross_attn)[._]to_(?:q|k|v|out)",
        "an adapter for ACE-Step 1.0, another architecture",
    ),
    (
        r"double_(?:stream_)?blocks|single_(?:stream_)?blocks|single_transformer_blocks",
        "an image LoRA (FLUX or HunyuanVideo)",
    ),
    (
        r"joint_blocks|joint_transformer_blocks|transformer_blocks",
        "a LoRA for pictures or video (SD3, Qwen-Image, LTX or WAN)",
    ),
    (r"(?:down|up|mid|input|output|middle)_blocks?[._]", "an image LoRA (Stable Diffusion)"),
    (r"(?:^|[._])blocks[._]\d+[._](?:self_attn|cross_attn|attn|ffn)", "a video LoRA (WAN)"),
    (r"lora_te\d?_|text_encoders?[._]|text_model", "an adapter for a text encoder"),
    (
        r"(?:^|[._])(?:model[._])?layers[._]\d+[._](?:self_attn|mlp)",
        "an adapter for a language model, such as the planner or the text encoder",
    ),
)


def describe_foreign(tensors: Mapping[str, Tensor]) -> str:
    """What a file is, from the names of its tensors, and what to do."""
    for pattern, kind in _FOREIGN:
        if any(re.search(pattern, name) for name in tensors):
            if kind.startswith("an adapter for a language") and contents_of(_shapes(tensors)) in ("network", "decoder"):
                break
            return f"it looks like {kind}; {_ELSEWHERE}"
    return wrong_contents(_shapes(tensors))


def _shapes(tensors: Mapping[str, Tensor]) -> dict[str, tuple[int, ...]]:
    return {name: tuple(tensor.shape) for name, tensor in tensors.items()}
