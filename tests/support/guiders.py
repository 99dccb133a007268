"""Guiders of the random network, without a graph."""

from __future__ import annotations

from collections.abc import Sequence

from acestep_xl.host import current_host
from acestep_xl.model import random_network
from acestep_xl.model.network import AceStep
from acestep_xl.model.prompt import Metadata, Prompt, instruction
from acestep_xl.nodes.guidance import GuiderNode
from acestep_xl.pipeline import conditioning
from acestep_xl.pipeline.guider import Guider

PROMPT = Prompt("a", "b", "en", Metadata(), instruction("text2music"))


def make_guider(
    prompts: Sequence[Prompt] = (PROMPT,), guidance: str = "apg", scale: float = 7.0, network: AceStep | None = None
) -> Guider:
    """A guider for a batch of prompts."""
    random, encoder, _ = random_network.load()
    positive = conditioning.write(encoder.encode(prompts), "text2music", prompts)
    apg = {"momentum": -0.75, "norm_threshold": 2.5, "eta": 0.0, "angle_clip": 0.5, "adg_variant": "standard"}
    model = current_host().sockets.make_model(network or random)
    return GuiderNode().make(model, positive, guidance, scale, 0.0, 1.0, negative_weight=1.0, **apg)[0]
