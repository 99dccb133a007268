"""The whole ACE-Step 1.5 network, with the parameter names of the official checkpoint."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from .audio_codes import Detokenizer, Tokenizer
from .condition import ConditionEncoder
from .config import Config, Training
from .transformer import Transformer


class AceStep(nn.Module):
    """Condition encoder, audio tokenizer and detokenizer, diffusion transformer and the learned null condition.

    ``silence`` is what the VAE makes of silence, ``[s c]``: the model was trained with it, never with zeros, wherever
    a source or a reference is absent. It is data that travels with the weights, not a weight. ``step_cache`` is how
    little a step may change for most of it to be skipped; 0 skips nothing (see step_cache.py).
    """

    silence: Tensor

    def __init__(self, config: Config, training_kind: Training = "unknown") -> None:
        super().__init__()
        self.config = config
        self.training_kind: Training = training_kind
        self.step_cache = 0.0
        self.decoder = Transformer(config)
        self.encoder = ConditionEncoder(config)
        self.tokenizer = Tokenizer(config)
        self.detokenizer = Detokenizer(config)
        self.null_condition_emb = nn.Parameter(torch.empty(1, 1, config.encoder.hidden))
        self.register_buffer("silence", torch.empty(0, config.latent_channels), persistent=False)

    @property
    def name(self) -> str:
        """Size and training, for messages: "XL sft", "2B turbo"."""
        return f"{'XL' if self.config.is_xl else '2B'} {self.training_kind}"

    def silent(self, frames: int) -> Tensor:
        """The silence latent over ``frames`` frames, ``[t c]``; its last frame goes on where it was shipped shorter."""
        missing = frames - len(self.silence)
        if missing <= 0:
            return self.silence[:frames]
        return torch.cat([self.silence, self.silence[-1:].expand(missing, -1)])

    def silent_reference(self) -> Tensor:
        """The timbre reference that stands for none, ``[1 t c]``."""
        return self.silent(self.config.timbre_frames)[None]

    @torch.no_grad()
    def through_codes(self, latents: Tensor) -> Tensor:
        """Latents ``[b t c]`` as the 5 Hz codes tell them, which is what a cover keeps of its source."""
        codes = self.tokenizer(latents, self.silence)
        return self.detokenizer(codes.quantized)[:, : latents.shape[1]]


def parameter_count(config: Config) -> int:
    """Number of parameters of a configuration, without allocating any."""
    with torch.device("meta"):
        return sum(p.numel() for p in AceStep(config).parameters())
