"""What a random network of the small sizes predicts, for comparisons of its copies."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from acestep_xl.model import random_network
from acestep_xl.model.condition import Condition
from acestep_xl.model.predictor import Predictor


def predict(network: Any, tokens: int = 20) -> Tensor:
    """Both velocities ``[2 t 64]`` at one noise level, for a condition and a context drawn from one seed."""
    draw = torch.Generator().manual_seed(0)
    states, context, x = (
        torch.randn(1, tokens, n, generator=draw) for n in (random_network.CONFIG.encoder.hidden, 128, 64)
    )
    pair = Predictor(network, Condition(states, None), context)(x, 0.6, unconditional=True)
    return torch.cat([y for y in pair if y is not None])
