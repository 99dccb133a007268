"""Caption states, lyric embeddings and timbre references to the packed condition that the transformer attends to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from .config import Config
from .layers import EncoderStack, cast_linear


@dataclass(frozen=True)
class Condition:
    """A packed condition: lyric tokens, timbre token(s), caption tokens, then padding.

    states: ``[b e d]``; mask: ``[b e]`` bool, True for tokens. Without a mask padding is attended to as well, as the
    official transformer does, which makes a song depend on its neighbours in a batch.
    """

    states: Tensor
    mask: Tensor | None

    @property
    def padding_mask(self) -> Tensor | None:
        """The mask, None where nothing is padded: attention is faster without one."""
        return None if self.mask is None or bool(self.mask.all()) else self.mask


class LyricEncoder(EncoderStack):
    def __init__(self, config: Config) -> None:
        super().__init__(config, config.lyric_layers)
        self.embed_tokens = nn.Linear(config.text_dim, config.encoder.hidden)

    def forward(self, embeddings: Tensor, mask: Tensor) -> Tensor:
        """embeddings: ``[b m text_dim]``, mask ``[b m]`` bool; returns ``[b m d]``."""
        return self.run(cast_linear(self.embed_tokens, embeddings), mask)


class TimbreEncoder(EncoderStack):
    def __init__(self, config: Config) -> None:
        super().__init__(config, config.timbre_layers)
        self.embed_tokens = nn.Linear(config.latent_channels, config.encoder.hidden)
        self.special_token = nn.Parameter(torch.empty(1, 1, config.encoder.hidden))
        self._prepend = config.timbre_class_token

    def forward(self, references: Tensor) -> Tensor:
        """references: ``[n t c]`` latents; returns one timbre token for each, ``[n d]``."""
        h = cast_linear(self.embed_tokens, references)
        if self._prepend:
            h = torch.cat([self.special_token.expand(len(h), -1, -1).to(h.dtype), h], dim=1)
        return self.run(h)[:, 0]


class ConditionEncoder(nn.Module):
    """ACE-Step's ``encoder``."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.text_projector = nn.Linear(config.text_dim, config.encoder.hidden, bias=False)
        self.lyric_encoder = LyricEncoder(config)
        self.timbre_encoder = TimbreEncoder(config)

    def forward(
        self,
        text: Tensor,
        text_mask: Tensor,
        lyric: Tensor,
        lyric_mask: Tensor,
        references: Tensor,
        owners: Sequence[int],
    ) -> Condition:
        """Encode a batch.

        text: caption states ``[b n d]``, and lyric: embeddings ``[b m d]`` of the text encoder, with bool masks;
        references: timbre latents ``[r t c]``; owners: the batch item of each (every item needs at least one).
        """
        timbre, timbre_mask = group(self.timbre_encoder(references), owners, len(text))
        states, mask = pack(self.lyric_encoder(lyric, lyric_mask), lyric_mask, timbre, timbre_mask)
        projected = cast_linear(self.text_projector, text)
        return Condition(*pack(states, mask, projected, text_mask))


def pack(left: Tensor, left_mask: Tensor, right: Tensor, right_mask: Tensor) -> tuple[Tensor, Tensor]:
    """Join two padded sequences ``[b n d]`` and ``[b m d]``: the valid tokens in order, then the padding."""
    states = torch.cat([left, right.to(left.dtype)], dim=1)
    mask = torch.cat([left_mask, right_mask], dim=1)
    order = mask.int().argsort(dim=1, descending=True, stable=True)
    return states.gather(1, order[..., None].expand_as(states)), mask.gather(1, order)


def group(tokens: Tensor, owners: Sequence[int], batch: int) -> tuple[Tensor, Tensor]:
    """Group tokens ``[r d]`` by batch item: ``[b k d]`` and a bool mask ``[b k]``, k the most of any item."""
    rows = [[row for row, owner in enumerate(owners) if owner == item] for item in range(batch)]
    if len(tokens) != sum(map(len, rows)) or not all(rows):
        raise ValueError(f"timbre references belong to items {list(owners)}; each of {batch} items needs at least one")
    most = max(map(len, rows))
    grouped = torch.stack([torch.cat([tokens[r], tokens.new_zeros(most - len(r), tokens.shape[1])]) for r in rows])
    mask = torch.tensor([[k < len(r) for k in range(most)] for r in rows], device=tokens.device)
    return grouped, mask
