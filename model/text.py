"""The text encoder: Qwen3-Embedding-0.6B around a caption, its embedding layer alone around lyrics.

The network is transformers' Qwen3Model; this file builds it from a config or from tensor shapes, feeds it exactly the
official tokens, and says what no longer fitted. transformers is imported on first use, for it takes seconds.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence

from .prompt import END, Prompt, caption_excess, lyric_excess

if TYPE_CHECKING:
    from tokenizers import Encoding, Tokenizer
    from transformers import Qwen3Config

V = TypeVar("V")

# Tokens that the network was trained to read, the appended end mark included (official inference).
CAPTION_LIMIT = 256
LYRIC_LIMIT = 2048

# The same in every published text encoder of this model; no tensor's shape shows them.
_ROPE_THETA = 1_000_000.0
_NORM_EPS = 1e-6
_PLANNER_VOCABULARY = 217204  # rows of the 5 Hz language model, which has the same layers and keys
_COMFY_MARK = "qwen3_06b.transformer."


@dataclass(frozen=True)
class TextStates:
    """A batch of encoded prompts, padded on the right with zeros, in the encoder's dtype and on its device.

    caption: [b n d] last hidden states; caption_mask: [b n] bool, True at tokens.
    lyrics: [b m d] token embeddings; lyrics_mask: [b m] bool. warnings: what did not fit, one sentence each.
    """

    caption: Tensor
    caption_mask: Tensor
    lyrics: Tensor
    lyrics_mask: Tensor
    warnings: tuple[str, ...]


class TextEncoder:
    """Turns prompts into the states that the condition encoder reads.

    model: a loaded build_text_model(); move it between devices freely. tokenizer: from tokens.py. The limits count
    tokens and are the trained ones, except where a tokenizer's tokens are much shorter than Qwen's.
    """

    def __init__(
        self,
        model: nn.Module,
        tokenizer: Tokenizer,
        caption_limit: int = CAPTION_LIMIT,
        lyric_limit: int = LYRIC_LIMIT,
    ) -> None:
        end = tokenizer.token_to_id(END)
        rows = model.get_parameter("embed_tokens.weight").shape[0]
        if end is None:
            raise ValueError(f"this tokenizer has no {END}: use the one of Qwen/Qwen3-Embedding-0.6B")
        if tokenizer.get_vocab_size() > rows:
            raise ValueError(
                f"the tokenizer has {tokenizer.get_vocab_size()} tokens and the text encoder embeds {rows}: they do "
                "not belong together; use the tokenizer of Qwen/Qwen3-Embedding-0.6B with its weights"
            )
        self.model = model
        self.tokenizer = tokenizer
        self._end = end
        self._limits = (caption_limit, lyric_limit)

    @property
    def device(self) -> torch.device:
        return next(self.model.parameters()).device

    @property
    def dtype(self) -> torch.dtype:
        return next(self.model.parameters()).dtype

    @torch.no_grad()
    def encode(self, prompts: Sequence[Prompt]) -> TextStates:
        """Encode a batch; each prompt runs alone, so that its neighbours cannot change it in any precision.

        Raises:
            ValueError: no prompt at all.
        """
        if not prompts:
            raise ValueError("no prompts to encode; give at least one")
        captions, lyrics, warnings = [], [], []
        embed = self.model.get_submodule("embed_tokens")
        for number, prompt in enumerate(prompts, 1):
            caption_tokens, caption_warning = self.caption_tokens(prompt)
            lyric_tokens, lyric_warning = self.lyric_tokens(prompt)
            captions.append(self.model(input_ids=self._row(caption_tokens), use_cache=False).last_hidden_state[0])
            lyrics.append(embed(self._row(lyric_tokens))[0])
            where = f"prompt {number}: " if len(prompts) > 1 else ""
            warnings += [where + warning for warning in (caption_warning, lyric_warning) if warning]
        return TextStates(*_pad(captions), *_pad(lyrics), warnings=tuple(warnings))

    def caption_tokens(self, prompt: Prompt) -> tuple[list[int], str]:
        """Token ids of the caption branch, and a warning that says what was cut ("" when all of it fits)."""
        limit = self._limits[0]
        encoding, ids = self._tokens(prompt.caption_text, limit)
        return ids, caption_excess(prompt, encoding.offsets, limit - 1)

    def lyric_tokens(self, prompt: Prompt) -> tuple[list[int], str]:
        """Token ids of the lyric branch, and a warning that says what was cut ("" when all of it fits)."""
        limit = self._limits[1]
        encoding, ids = self._tokens(prompt.lyric_text, limit)
        return ids, lyric_excess(prompt, encoding.offsets, limit - 1)

    def _tokens(self, text: str, limit: int) -> tuple[Encoding, list[int]]:
        """Cut first and end afterwards, as a tokenizer does whose post-processor appends the end mark."""
        encoding = self.tokenizer.encode(text, add_special_tokens=False)
        return encoding, [*encoding.ids[: limit - 1], self._end]

    def _row(self, ids: list[int]) -> Tensor:
        return torch.tensor([ids], device=self.device)


def _pad(rows: list[Tensor]) -> tuple[Tensor, Tensor]:
    lengths = torch.tensor([len(row) for row in rows], device=rows[0].device)
    states = pad_sequence(rows, batch_first=True)
    return states, torch.arange(states.shape[1], device=lengths.device) < lengths[:, None]


def text_state(tensors: Mapping[str, V]) -> dict[str, V]:
    """Rename a file's keys to Qwen3Model's own; works on tensors and on shapes alike.

    Knows the official folder (``layers.``), causal LM and ComfyUI text encoder files (``model.layers.``, with the tied
    ``lm_head.weight`` dropped) and ComfyUI all-in-one files, of which only the part named qwen3_06b is this model.
    Any other key stays as it is, for the strict load to name.
    """
    marked = {key.partition(_COMFY_MARK)[2]: value for key, value in tensors.items() if _COMFY_MARK in key}
    state: dict[str, V] = {}
    for key, value in (marked or tensors).items():
        name = key.removeprefix("model.")
        if name in state:
            raise ValueError(f"the file holds {name} twice, with and without a prefix; it is damaged, fetch it again")
        state[name] = value
    state.pop("lm_head.weight", None)
    return state


def qwen3_config(shapes: Mapping[str, tuple[int, ...]], config: Mapping[str, Any] | None) -> Qwen3Config:
    """The model's configuration, from config.json where there is one, else from the shapes of the tensors.

    Args:
        shapes: shape of every tensor of the file, in any spelling text_state() knows.
        config: the content of config.json, or None.

    Raises:
        ValueError: not a Qwen3 model, or the 5 Hz planner, which shares its layout.
    """
    from transformers import Qwen3Config

    shapes = text_state(shapes)
    vocabulary, _ = _shape(shapes, "embed_tokens.weight", 2)
    if vocabulary == _PLANNER_VOCABULARY:
        raise ValueError(
            f"{vocabulary} token embeddings: this is the 5 Hz language model that plans audio codes, not the text "
            "encoder; choose Qwen3-Embedding-0.6B (ComfyUI's qwen_0.6b_ace15.safetensors)"
        )
    if config is None:
        config = _inferred(shapes)
    if config.get("model_type") != "qwen3":
        raise ValueError(f"model_type {config.get('model_type')!r} in the text encoder's config.json; needs 'qwen3'")
    return Qwen3Config.from_dict(dict(config))


def _inferred(shapes: Mapping[str, tuple[int, ...]]) -> dict[str, Any]:
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
        found = ", ".join(f"{name} {tuple(shape)}" for name, shape in list(shapes.items())[:3])
        raise ValueError(
            f"not a Qwen3 text encoder: needs {key} with {dimensions} dimensions; the file holds {found} ..."
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
