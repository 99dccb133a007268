"""How strongly an adapter changes the network, in which of its layers, when and where in the song."""

from __future__ import annotations

from .kind import Parameter

NO_ADAPTER = "none"
LOWEST, HIGHEST = -10.0, 10.0


def _strength(name: str, help: str, advanced: bool = False) -> Parameter:
    return Parameter(name, "FLOAT", 1.0, help, minimum=LOWEST, maximum=HIGHEST, step=0.05, advanced=advanced)


def _progress(name: str, default: float, help: str) -> Parameter:
    return Parameter(name, "FLOAT", default, help, minimum=0.0, maximum=1.0, step=0.01, advanced=True)


STRENGTH = _strength(
    "adapter_strength",
    "How strongly the adapter changes the model: 0 not at all, 1 as it was trained. Negative values push the other "
    "way.",
)
# Group of layers -> what it does.
GROUP_HELP = {
    "self_attention": "Factor of the strength in self-attention, where the parts of a song see each other.",
    "cross_attention": "Factor of the strength in cross-attention, where the song reads the prompt.",
    "mlp": "Factor of the strength in the feed-forward layers.",
    "condition_embedder": "Factor of the strength in the layer through which the prompt enters.",
    "time_embedding": "Factor of the strength in the embedding of the noise level.",
    "encoder": "Factor of the strength in the encoders of lyrics, caption and timbre. They run once, so neither the "
    "curve nor regions change it.",
    "other": "Factor of the strength in all other layers.",
}
ADAPTERS = (
    STRENGTH,
    *(_strength(f"adapter_{group}", help, advanced=True) for group, help in GROUP_HELP.items()),
    Parameter(
        "adapter_curve",
        "CHOICE",
        "constant",
        "How the strength changes between start and end. constant keeps it, linear and cosine move it to the end "
        "strength.",
        choices=("constant", "linear", "cosine"),
        advanced=True,
    ),
    _strength("adapter_end_strength", "Strength at the end, for the linear and cosine curves.", advanced=True),
    _progress("adapter_start", 0.0, "Progress at which the adapter starts to act: 0 is the first step, 1 the last."),
    _progress("adapter_end", 1.0, "Progress at which the adapter ceases to act: 0 is the first step, 1 the last."),
    Parameter(
        "adapter_regions",
        "STRING",
        "",
        "Where in the song the adapter acts, in seconds: 12.5-18, 1:05-1:20, 40-end. Empty: everywhere.",
        advanced=True,
    ),
)
