"""Every tensor the official implementation computed with the golden checkpoints, except the whole runs."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from acestep_xl.model import context
from acestep_xl.model.condition import Condition
from acestep_xl.model.predictor import Predictor


def encode(golden, *, batch: slice = slice(None)) -> Condition:
    inputs = golden.inputs
    owners = inputs["order"][batch]
    with torch.no_grad():
        return golden.network.encoder(
            inputs["text"][batch],
            inputs["text_mask"][batch].bool(),
            inputs["lyric"][batch],
            inputs["lyric_mask"][batch].bool(),
            inputs["ref"][batch],
            (owners - owners.min()).tolist(),
        )


def close(actual: Tensor, expected: Tensor, tolerance: float = 1e-4) -> None:
    torch.testing.assert_close(actual, expected, rtol=0, atol=tolerance)


@pytest.mark.parametrize("task", ["t2m", "cover"])
def test_condition(golden, task):
    # Positions of padding are not compared: the transformer never sees them here (Condition.mask).
    condition = encode(golden)
    mask = golden.outputs[f"{task}.enc_mask"].bool()
    assert torch.equal(condition.mask, mask)
    close(condition.states[mask], golden.outputs[f"{task}.enc"][mask])


def test_context(golden):
    silence, source = golden.inputs["silence"], golden.inputs["src"]
    close(golden.network.silence[None], silence, 0)
    made_anew = torch.ones_like(source[..., :1])
    close(context.join(source, made_anew), golden.outputs["t2m.ctx"], 0)
    close(context.text_to_music(golden.network, 101), context.join(silence[:, :101], made_anew[:1]), 0)
    close(context.cover(golden.network, source), golden.outputs["cover.ctx"])


def test_audio_codes(golden):
    with torch.no_grad():
        codes = golden.network.tokenizer(golden.inputs["src"], golden.network.silence)
        close(golden.network.detokenizer(codes.quantized), golden.outputs["detok"])
        looked_up = golden.network.tokenizer.quantizer.lookup(codes.indices)
    assert torch.equal(codes.indices, golden.outputs["tok.indices"].long())
    close(codes.quantized, golden.outputs["tok.quantized"])
    close(looked_up, codes.quantized, 1e-6)


@pytest.mark.parametrize("t", [1.0, 0.7, 0.05])
def test_velocity(golden, t):
    predictor = Predictor(golden.network, encode(golden, batch=slice(0, 1)), context.text_to_music(golden.network, 101))
    conditional, unconditional = predictor(golden.inputs["x"], t, unconditional=True)
    close(conditional, golden.outputs[f"v.cond.{t}"])
    assert unconditional is not None
    close(unconditional, golden.outputs[f"v.null.{t}"])
