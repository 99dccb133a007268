"""The text encoder: Qwen3-Embedding-0.6B for the caption, its embedding layer alone for the lyrics.

Feeds the network exactly the official tokens and warns about what was cut.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence

from .prompt import END, Prompt, caption_cut_warning, lyric_cut_warning

if TYPE_CHECKING:
    from tokenizers import Encoding, Tokenizer

# Tokens that the network was trained to read, the appended end mark included (official inference).
CAPTION_LIMIT = 256
LYRIC_LIMIT = 2048


@dataclass(frozen=True)
class TextStates:
    """A batch of encoded prompts, padded on the right with zeros, in the encoder's dtype and on its device.

    caption: [b n d] last hidden states; caption_mask: [b n] bool, True at tokens.
    lyrics: [b m d] token embeddings; lyrics_mask: [b m] bool. warnings: what was cut, one sentence each.
    """

    caption: Tensor
    caption_mask: Tensor
    lyrics: Tensor
    lyrics_mask: Tensor
    warnings: tuple[str, ...]


class TextEncoder:
    """Encodes prompts into the states that the condition encoder reads.

    model: from build_text_model(), with weights; move it between devices freely. tokenizer: from tokenizer.py. The
    limits count tokens; they are the trained ones, except where a tokenizer's tokens are much shorter than Qwen's.

    Raises ValueError for a tokenizer of another model.
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

    def tokenize(self, text: str) -> list[int]:
        """Token ids of a text, without an end mark of its own."""
        return self.tokenizer.encode(text, add_special_tokens=False).ids

    @torch.no_grad()
    def encode(self, prompts: Sequence[Prompt]) -> TextStates:
        """Encode a batch; each prompt runs alone, so its neighbours cannot change it in any precision.

        Raises:
            ValueError: no prompts.
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

    @torch.no_grad()
    def encode_native(self, caption: Sequence[int], lyrics: Sequence[int]) -> tuple[Tensor, Tensor]:
        """Caption states ``[1 n d]`` and lyric embeddings ``[1 m d]`` of token ids, as ComfyUI's own encoder reads
        them: nothing is cut, and the caption is attended to up to its first end mark."""
        ids = self._row(list(caption))
        attended = (ids == self._end).cumsum(1) == 0
        states = self.model(input_ids=ids, attention_mask=attended.long(), use_cache=False).last_hidden_state
        return states, self.model.get_submodule("embed_tokens")(self._row(list(lyrics)))

    def caption_tokens(self, prompt: Prompt) -> tuple[list[int], str]:
        """Token ids of the caption branch, and a warning about what was cut ("" if nothing was)."""
        limit = self._limits[0]
        encoding, ids = self._tokenize(prompt.caption_text, limit)
        return ids, caption_cut_warning(prompt, encoding.offsets, limit - 1)

    def lyric_tokens(self, prompt: Prompt) -> tuple[list[int], str]:
        """Token ids of the lyric branch, and a warning about what was cut ("" if nothing was)."""
        limit = self._limits[1]
        encoding, ids = self._tokenize(prompt.lyric_text, limit)
        return ids, lyric_cut_warning(prompt, encoding.offsets, limit - 1)

    def _tokenize(self, text: str, limit: int) -> tuple[Encoding, list[int]]:
        """Truncate first and append the end mark afterwards, as a tokenizer with that post-processor does."""
        encoding = self.tokenizer.encode(text, add_special_tokens=False)
        return encoding, [*encoding.ids[: limit - 1], self._end]

    def _row(self, ids: list[int]) -> Tensor:
        return torch.tensor([ids], device=self.device)


def _pad(rows: list[Tensor]) -> tuple[Tensor, Tensor]:
    lengths = torch.tensor([len(row) for row in rows], device=rows[0].device)
    states = pad_sequence(rows, batch_first=True)
    return states, torch.arange(states.shape[1], device=lengths.device) < lengths[:, None]
