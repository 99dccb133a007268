"""The official runs in tests/golden, on this device."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor

from acestep_xl.model import context
from acestep_xl.model.checkpoint import load_network
from acestep_xl.model.condition import Condition
from acestep_xl.model.layouts import recognise
from acestep_xl.model.predictor import Predictor
from acestep_xl.sampler.denoise import denoise
from acestep_xl.sampler.guidance import Guidance
from acestep_xl.sampler.schedule import linear
from acestep_xl.sampler.solver import euler

from .bench import Bench, cosine, difference

GOLDEN = Path(__file__).resolve().parents[2] / "tests" / "golden"
APG = Guidance("apg", 7.0, 0.0, 1.0, -0.75, 2.5, 0.0, 3.14 / 6, "standard")
STEPS, SHIFT, FRAMES = 12, 3.0, 101


def measure(bench: Bench) -> dict[str, Any]:
    """Final latents of the golden guided run against the official ones, per checkpoint and dtype."""
    rows = {}
    for folder in sorted(path.parent for path in GOLDEN.glob("*/outputs.safetensors")):
        expected = load_file(folder / "outputs.safetensors")["gen.apg7"]
        for dtype in (torch.float32, torch.bfloat16):
            latents = _run(folder, dtype, bench.device)
            rows[f"{folder.name}, {str(dtype).removeprefix('torch.')}"] = {
                "difference": difference(latents, expected),
                "cosine": cosine(latents, expected),
            }
    return rows


@torch.no_grad()
def _run(folder: Path, dtype: torch.dtype, device: torch.device) -> Tensor:
    inputs = {name: value.to(device) for name, value in load_file(folder / "inputs.safetensors").items()}
    network = load_network(recognise(folder), dtype, torch.device("cpu")).to(device)
    packed = network.encoder(
        inputs["text"][:1],
        inputs["text_mask"][:1].bool(),
        inputs["lyric"][:1],
        inputs["lyric_mask"][:1].bool(),
        inputs["ref"][:1],
        [0],
    )
    # The official transformer attends to padding too.
    predictor = Predictor(network, Condition(packed.states, None), context.text_to_music(network, FRAMES))
    noise = inputs["noise.seed7"].float()
    return denoise(predictor, noise, linear(STEPS, SHIFT), guidance=APG, solver=euler).cpu()
