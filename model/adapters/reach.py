"""Which layers follow a strength that changes over the run, or from place to place in the song.

The encoders read the prompt once, before the first step, so they keep the strength that was set. Layers of the
transformer that see the song token by token follow both; its others, that see the prompt or the noise level, have no
place in the song and take the mean over it.
"""

from __future__ import annotations

from collections.abc import Callable

import torch.nn.functional as F
from torch import Tensor

PATCH = 2  # latent frames in a token, in every published network
FIXED, RUN, SONG = "fixed", "run", "song"
_OF_PROMPT = (".cross_attn.k_proj", ".cross_attn.v_proj")


def reach_of(parameter: str) -> str:
    """What a parameter's strength follows: nothing (FIXED), the run's progress (RUN), or also the song (SONG)."""
    if not parameter.startswith("decoder."):
        return FIXED
    path, _, leaf = parameter.rpartition(".")
    sees_song = path.startswith("decoder.layers.") and leaf == "weight" and not path.endswith(_OF_PROMPT)
    return SONG if sees_song else RUN


def over_tokens(over_song: Callable[[int], Tensor], frames: int) -> Tensor:
    """The factors ``[s]`` of a song's tokens: means over their latent frames, of which the last is repeated."""
    factors = over_song(frames).float()
    padded = F.pad(factors[None], (0, -frames % PATCH), mode="replicate") if frames % PATCH else factors[None]
    return padded.unflatten(1, (-1, PATCH)).mean(dim=2)[0]
