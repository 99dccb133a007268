"""How strongly an adapter changes the network."""

from __future__ import annotations

from .kind import Parameter

STRENGTH = Parameter(
    "adapter_strength",
    "FLOAT",
    1.0,
    "How strongly the adapter changes the model: 0 not at all, 1 as it was trained. Negative values push the other "
    "way.",
    minimum=-10.0,
    maximum=10.0,
    step=0.05,
)
