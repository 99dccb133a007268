"""The 5 Hz audio tokenizer: 25 Hz latents to discrete codes, and codes to the latents of a cover's source."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from einops import rearrange
from torch import Tensor, nn

from .config import Config
from .layers import EncoderStack, cast_linear, compute_dtype, linear_float32


@dataclass(frozen=True)
class Codes:
    """indices: ``[b n 1]`` int64; quantized: ``[b n d]``, the detokenizer's input."""

    indices: Tensor
    quantized: Tensor


class Quantizer(nn.Module):
    """Finite scalar quantisation, one residual stage (vector-quantize-pytorch, symmetry-preserving, hard clamp)."""

    def __init__(self, hidden: int, levels: tuple[int, ...]) -> None:
        super().__init__()
        self.levels = levels
        self.project_in = nn.Linear(hidden, len(levels))
        self.project_out = nn.Linear(len(levels), hidden)

    def forward(self, x: Tensor) -> Codes:
        """x: ``[b n d]``. In float32 throughout: a code is a rounded value, and in bf16 half of them change."""
        z = linear_float32(self.project_in, x)
        span = torch.tensor(self.levels, dtype=torch.float32, device=z.device) - 1
        limit = 1 + 1 / span
        bounded = (torch.tanh(z / limit) * limit).clamp(-1, 1)
        level = torch.floor(span * (bounded + 1) / 2 + 0.5)
        indices = (level.long() * self._basis(z.device)).sum(dim=-1, keepdim=True)
        return Codes(indices, self._project(2 * level / span - 1))

    def lookup(self, indices: Tensor) -> Tensor:
        """Quantized vectors ``[b n d]`` of indices ``[b n 1]``. Raises ValueError for an index outside the codebook."""
        size = math.prod(self.levels)
        if indices.numel() and not (0 <= int(indices.min()) and int(indices.max()) < size):
            raise ValueError(f"audio codes must be 0 to {size - 1}, got {int(indices.min())} to {int(indices.max())}")
        levels = torch.tensor(self.levels, device=indices.device)
        level = indices // self._basis(indices.device) % levels
        return self._project(2 * level.float() / (levels - 1) - 1)

    def _basis(self, device: torch.device) -> Tensor:
        sizes = (1, *self.levels[:-1])
        return torch.tensor([math.prod(sizes[: i + 1]) for i in range(len(sizes))], device=device)

    def _project(self, code: Tensor) -> Tensor:
        return linear_float32(self.project_out, code).to(compute_dtype(self.project_out))


class Pooler(EncoderStack):
    """Pools each window of frames into a class token."""

    def __init__(self, config: Config) -> None:
        super().__init__(config, config.pooler_layers)
        self.embed_tokens = nn.Linear(config.encoder.hidden, config.encoder.hidden)
        self.special_token = nn.Parameter(torch.empty(1, 1, config.encoder.hidden))

    def forward(self, windows: Tensor) -> Tensor:
        """windows: ``[n w d]``; returns ``[n d]``."""
        h = cast_linear(self.embed_tokens, windows)
        return self.run(torch.cat([self.special_token.expand(len(h), -1, -1).to(h.dtype), h], dim=1))[:, 0]


class Tokenizer(nn.Module):
    """ACE-Step's ``tokenizer``: five latent frames to one code."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.window = config.pool_window
        self.audio_acoustic_proj = nn.Linear(config.latent_channels, config.encoder.hidden)
        self.attention_pooler = Pooler(config)
        self.quantizer = Quantizer(config.encoder.hidden, config.fsq_levels)

    def forward(self, latents: Tensor, silence: Tensor) -> Codes:
        """latents: ``[b t c]``; a partial last window is padded with the start of silence ``[s c]``."""
        short = -latents.shape[1] % self.window
        tail = silence[:short].to(latents).expand(len(latents), -1, -1)
        windows = rearrange(torch.cat([latents, tail], dim=1), "b (n w) c -> (b n) w c", w=self.window)
        pooled = self.attention_pooler(cast_linear(self.audio_acoustic_proj, windows))
        return self.quantizer(rearrange(pooled, "(b n) d -> b n d", b=len(latents)))


class Detokenizer(EncoderStack):
    """ACE-Step's ``detokenizer``: one quantized vector to five latent frames."""

    def __init__(self, config: Config) -> None:
        super().__init__(config, config.pooler_layers)
        hidden = config.encoder.hidden
        self.embed_tokens = nn.Linear(hidden, hidden)
        self.special_tokens = nn.Parameter(torch.empty(1, config.pool_window, hidden))
        self.proj_out = nn.Linear(hidden, config.latent_channels)

    def forward(self, quantized: Tensor) -> Tensor:
        """quantized: ``[b n d]``; returns latents ``[b 5n c]``."""
        token = rearrange(cast_linear(self.embed_tokens, quantized), "b n d -> (b n) 1 d")
        h = self.run(token + self.special_tokens.to(token.dtype))
        return rearrange(cast_linear(self.proj_out, h), "(b n) w c -> b (n w) c", b=len(quantized))
