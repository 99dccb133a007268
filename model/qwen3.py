"""Builds the Qwen3 network of the text encoder from a config or from tensor shapes, without weights.

The network is transformers' Qwen3Model, which takes seconds to import and is therefore imported on first use.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeVar

import torch
from torch import Tensor, nn

from .formats.contents import PLANNER_VOCABULARY

if TYPE_CHECKING:
    from transformers import Qwen3Config

V = TypeVar("V")

# The same in every published text encoder of this model; no tensor's shape shows them.
_ROPE_THETA = 1_000_000.0
_NORM_EPS = 1e-6
_COMFY_MARKER = "qwen3_06b.transformer."


def text_state(tensors: Mapping[str, V]) -> dict[str, V]:
    """Rename a file's keys to Qwen3Model's; works on tensors and on shapes.

    Accepts the official folder (``layers.``), causal LM and ComfyUI text encoder files (``model.layers.``, without the
    tied ``lm_head.weight``) and ComfyUI all-in-one files, of which only the part named qwen3_06b is this model. Any
    other key is kept, for the strict load to name.

    Raises:
        ValueError: two keys become the same name.
    """
    all_in_one = {key.partition(_COMFY_MARKER)[2]: value for key, value in tensors.items() if _COMFY_MARKER in key}
    state: dict[str, V] = {}
    for key, value in (all_in_one or tensors).items():
        name = key.removeprefix("model.")
        if name in state:
            raise ValueError(f"the file holds {name} twice, with and without a prefix; it is damaged, fetch it again")
        state[name] = value
    state.pop("lm_head.weight", None)
    return state


def qwen3_config(shapes: Mapping[str, tuple[int, ...]], config: Mapping[str, Any] | None) -> Qwen3Config:
    """The model's configuration, from config.json if there is one, else from the tensor shapes.

    Args:
        shapes: shape of every tensor of the file, under any names that text_state() accepts.
        config: the content of config.json, or None.

    Raises:
        ValueError: not a Qwen3 model, or the 5 Hz planner, which has the same layout.
    """
    from transformers import Qwen3Config

    shapes = text_state(shapes)
    vocabulary, _ = _shape(shapes, "embed_tokens.weight", 2)
    if vocabulary == PLANNER_VOCABULARY:
        raise ValueError(
            f"{vocabulary} token embeddings: this is the 5 Hz language model that plans audio codes, not the text "
            "encoder; choose Qwen3-Embedding-0.6B (ComfyUI's qwen_0.6b_ace15.safetensors)"
        )
    if config is None:
        config = _config_from_shapes(shapes)
    if config.get("model_type") != "qwen3":
        raise ValueError(f"model_type {config.get('model_type')!r} in the text encoder's config.json; needs 'qwen3'")
    return Qwen3Config.from_dict(dict(config))


def _config_from_shapes(shapes: Mapping[str, tuple[int, ...]]) -> dict[str, Any]:
    vocabulary, hidden = _shape(shapes, "embed_tokens.weight", 2)
    (head_dim,) = _shape(shapes, "layers.0.self_attn.q_norm.weight", 1)
    return {
        "model_type": "qwen3",
        "vocab_size": vocabulary,
        "hidden_size": hidden,
        "intermediate_size": _shape(shapes, "layers.0.mlp.gate_proj.weight", 2)[0],
        "num_hidden_layers": len({key.split(".")[1] for key in shapes if key.startswith("layers.")}),
        "num_attention_heads": _shape(shapes, "layers.0.self_attn.q_proj.weight", 2)[0] // head_dim,
        "num_key_value_heads": _shape(shapes, "layers.0.self_attn.k_proj.weight", 2)[0] // head_dim,
        "head_dim": head_dim,
        "rms_norm_eps": _NORM_EPS,
        "rope_theta": _ROPE_THETA,
    }


def _shape(shapes: Mapping[str, tuple[int, ...]], key: str, dimensions: int) -> tuple[int, ...]:
    if len(shapes.get(key, ())) != dimensions:
        first = ", ".join(f"{name} {tuple(shape)}" for name, shape in list(shapes.items())[:3])
        raise ValueError(
            f"not a Qwen3 text encoder: needs {key} with {dimensions} dimensions; the file holds {first} ..."
        )
    return tuple(shapes[key])


def build_text_model(config: Qwen3Config) -> nn.Module:
    """Qwen3Model without weights, on the meta device; load text_state() into it with strict=True, assign=True.

    Raises:
        ValueError: the config scales its rotary positions, which no published text encoder of this model does.
    """
    from transformers import Qwen3Model

    with torch.device("meta"):
        model = Qwen3Model(config)
    model.register_module("rotary_emb", _Rotary(config.head_dim, _rope_theta(config)))
    return model.eval().requires_grad_(False)


def _rope_theta(config: Qwen3Config) -> float:
    """transformers 5 keeps the base in rope_parameters, transformers 4 beside rope_scaling."""
    rope = getattr(config, "rope_parameters", None) or getattr(config, "rope_scaling", None) or {}
    kind = rope.get("rope_type") or rope.get("type") or "default"
    if kind != "default":
        raise ValueError(f"rope type {kind!r} in the text encoder's config; only 'default' is supported")
    return float(rope.get("rope_theta") or getattr(config, "rope_theta", _ROPE_THETA))


class _Rotary(nn.Module):
    """Rotary angles without buffers: nothing to rebuild after the meta device, nothing that a cast could round."""

    def __init__(self, head_dim: int, theta: float) -> None:
        super().__init__()
        self.head_dim = head_dim
        self.theta = theta

    def forward(self, x: Tensor, position_ids: Tensor) -> tuple[Tensor, Tensor]:
        """Cosines and sines [b n head_dim] for position_ids [b n], computed in float32, in the dtype of x."""
        even = torch.arange(0, self.head_dim, 2, dtype=torch.float32, device=x.device)
        frequencies = 1.0 / self.theta ** (even / self.head_dim)
        angles = position_ids[..., None].float() * frequencies
        angles = torch.cat((angles, angles), dim=-1)
        return angles.cos().to(x.dtype), angles.sin().to(x.dtype)
