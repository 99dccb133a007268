"""Our text encoders as ComfyUI's CLIP, and ComfyUI's as ours. Imported only when ComfyUI runs."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import comfy.sd  # pyright: ignore[reportMissingImports]  # ComfyUI cannot be installed
import torch
from comfy.text_encoders.ace15 import ACE15Tokenizer  # pyright: ignore[reportMissingImports]
from torch import Tensor, nn

from .comfy_memory import make_patcher
from .protocol import TextEncoding

WORK = 2**28  # bytes for one prompt beside the weights
NO_CODES = (
    "this text encoder has no planner, so generate_audio_codes has no effect and the song is made from caption and "
    "lyrics alone: switch it off, or load a planner with ComfyUI's DualCLIPLoader"
)


class TextModel(nn.Module):
    """What ComfyUI calls a CLIP's text model. Its parameters have the names of ComfyUI's own."""

    def __init__(self, encoder: TextEncoding, warn: Callable[[str], None]) -> None:
        super().__init__()
        self.qwen3_06b = nn.Module()
        self.qwen3_06b.transformer = nn.Module()
        self.qwen3_06b.transformer.model = encoder.model
        self.encoder = encoder
        self.dtypes = {next(encoder.model.parameters()).dtype}
        self._warn = warn

    def set_clip_options(self, options: dict[str, Any]) -> None:
        """Options of other models: which layer to read, where to run."""

    def reset_clip_options(self) -> None:
        """See `set_clip_options`."""

    def memory_estimation_function(self, tokens: Any, device: torch.device | None = None) -> int:
        """Bytes for an encoding beside the weights."""
        return WORK

    def encode_token_weights(self, tokens: dict[str, Any]) -> tuple[Tensor, None, dict[str, Tensor]]:
        """Caption states ``[1 n d]`` and lyric embeddings ``[1 m d]`` of a prompt that ComfyUI's node tokenised."""
        caption, lyrics = ([int(token[0]) for token in tokens[part][0]] for part in ("qwen3_06b", "lyrics"))
        states, embeddings = self.encoder.encode_native(caption, lyrics)
        if tokens["lm_metadata"]["generate_audio_codes"]:
            self._warn(NO_CODES)
        return states.float().cpu(), None, {"conditioning_lyrics": embeddings.float().cpu()}


class _Tokens:
    """Stands where ComfyUI's tokenizer of one text model does."""

    def __init__(self, encoder: TextEncoding) -> None:
        self._encoder = encoder

    def tokenize_with_weights(self, text: str, return_word_ids: bool = False, **options: Any) -> list[list[Any]]:
        """The signature is ComfyUI's; options are of other models."""
        ids = self._encoder.tokenize(text)
        return [[(token, 1.0, index) if return_word_ids else (token, 1.0) for index, token in enumerate(ids, 1)]]

    def state_dict(self) -> dict[str, Tensor]:
        return {}


class Tokenizer(ACE15Tokenizer):
    """ComfyUI's prompt format over our tokenizer."""

    def __init__(self, encoder: TextEncoding) -> None:
        self.clip_name = self.clip = "qwen3_06b"
        self.qwen3_06b = _Tokens(encoder)


class ForeignEmbedding(nn.Module):
    """The token table of a text network that ComfyUI loaded."""

    def __init__(self, table: nn.Module, device: torch.device) -> None:
        super().__init__()
        self.table, self.device = table, device

    @property
    def weight(self) -> Any:
        return self.table.weight

    def forward(self, ids: Tensor) -> Tensor:
        """``[b n]`` to ``[b n d]``."""
        return self.table(ids.to(self.device), out_dtype=torch.float32)


class ForeignText(nn.Module):
    """The text network of a CLIP that ComfyUI loaded, called as transformers' Qwen3Model."""

    def __init__(self, network: Any, device: torch.device) -> None:
        super().__init__()
        self.network, self.device = network, device
        self.embed_tokens = ForeignEmbedding(network.get_input_embeddings(), device)

    def forward(self, input_ids: Tensor, use_cache: bool = False) -> SimpleNamespace:
        """input_ids: ``[1 n]``; last_hidden_state: ``[1 n d]``. use_cache: not needed for one pass."""
        states = self.network(input_ids.to(self.device), dtype=torch.float32)[0]
        return SimpleNamespace(last_hidden_state=states.float())


def make_clip(encoder: TextEncoding, warn: Callable[[str], None]) -> comfy.sd.CLIP:
    """See `protocol.Sockets`. warn: shows the user a hint."""
    clip = comfy.sd.CLIP(no_init=True)
    clip.cond_stage_model = TextModel(encoder, warn)
    clip.tokenizer = Tokenizer(encoder)
    clip.patcher = make_patcher(clip.cond_stage_model, "text")
    clip.patcher.is_clip = True
    clip.layer_idx, clip.use_clip_schedule, clip.apply_hooks_to_conds = None, False, None
    clip.tokenizer_options = {}
    return clip


def encoder_of(clip: Any) -> TextEncoding | nn.Module:
    """See `protocol.Sockets`."""
    text_model = getattr(clip, "cond_stage_model", None)
    if isinstance(text_model, TextModel):
        return text_model.encoder
    if text_model is None or not hasattr(text_model, "qwen3_06b"):
        raise ValueError(
            f"clip holds {type(text_model).__name__}, no text encoder of ACE-Step 1.5: load Qwen3-Embedding-0.6B, with "
            "type ace in ComfyUI's own loaders"
        )
    return ForeignText(text_model.qwen3_06b.transformer, clip.patcher.load_device)
