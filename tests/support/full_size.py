"""The real architectures with two or three layers of each kind, and the network calls of a guider's run."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import torch
from runs import make_run
from transformers import Qwen3Config

from acestep_xl.model.condition import Condition
from acestep_xl.model.config import Config, StackWidth
from acestep_xl.model.fit import Networks
from acestep_xl.model.network import AceStep
from acestep_xl.model.predictor import Predictor
from acestep_xl.model.qwen3 import build_text_model
from acestep_xl.model.vae.config import VAEConfig
from acestep_xl.model.vae.oobleck import Oobleck
from acestep_xl.pipeline.run import Run

ENCODER = StackWidth(2048, 6144, 16, 8, 128)
# Three layers reach the peak of all: only the prompt's keys and values outlive a layer, and the attention of the first
# is computed once for both conditions of a guided step.
LAYERS = {"decoder_layers": 3, "lyric_layers": 2, "timbre_layers": 2, "pooler_layers": 2}
XL = Config(StackWidth(2560, 9728, 32, 8, 128), ENCODER, **LAYERS, text_dim=1024)
SMALL = Config(ENCODER, ENCODER, **LAYERS, text_dim=1024)


def execute(network: AceStep, run: Run, device: str) -> None:
    """The network calls of a run: audio codes, conditions and one guided step."""
    dtype, size = network.null_condition_emb.dtype, run.prompt_size
    context = torch.empty(run.songs, run.frames, 128, device=device)
    x = torch.empty(run.songs, run.frames, 64, device=device)
    if run.uses_codes:
        network.silence = torch.empty(750, 64, device=device)
        network.round_trip_codes(x)

    def condition() -> Condition:
        n = len(run.prompts)
        text, lyrics = (torch.empty(n, m, 1024, dtype=dtype, device=device) for m in (size.caption, size.lyrics))
        masks = (torch.ones(n, m, dtype=torch.bool, device=device) for m in (size.caption, size.lyrics))
        text_mask, lyric_mask = masks
        timbre = torch.empty(n * size.references, 750, 64, device=device)
        owners = [item for item in range(n) for _ in range(size.references)]
        states = network.encoder(text, text_mask, lyrics, lyric_mask, timbre, owners).states
        return Condition(states, None)

    negative = condition() if run.negative else None
    predictor = Predictor(network, condition(), context, negative)
    velocity, unconditional = predictor(x, 0.5, unconditional=True)
    assert unconditional is not None and velocity.shape == x.shape


RUNS = {
    "1 min": make_run(1, 1500, 1, 300, 100),
    "4 min": make_run(1, 6000, 1, 1000, 200),
    "10 min": make_run(1, 15000, 1, 2048, 256),
    "batch of 4 prompts": make_run(4, 1500, 4, 500, 100),
    "negative prompt": make_run(2, 3000, 2, 500, 100, has_negative=True),
    "long lyrics of a short song": make_run(1, 250, 1, 2048, 256),
    "four references": make_run(1, 500, 1, 100, 50, references=4),
    "cover": make_run(1, 6000, 1, 500, 100, codes=True),
}


@cache
def checkpoint() -> Networks:
    """The published XL checkpoint in bf16, with text encoder and VAE, on the meta device."""
    sizes = {"hidden_size": 1024, "intermediate_size": 3072, "num_attention_heads": 16, "num_key_value_heads": 8}
    text = Qwen3Config.from_dict({**sizes, "vocab_size": 151669, "num_hidden_layers": 28, "head_dim": 128})
    published = replace(XL, decoder_layers=32, lyric_layers=8, timbre_layers=4)
    with torch.device("meta"):
        network, vae = AceStep(published).bfloat16(), Oobleck(VAEConfig()).bfloat16()
    return Networks(network, build_text_model(text).bfloat16(), vae)
