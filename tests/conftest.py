"""Fixtures shared by the tests: the golden checkpoints and their tensors, and which network `demo` is."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from demo_network import random_demo
from safetensors.torch import load_file
from torch import Tensor

from acestep_xl.model.config import from_official
from acestep_xl.model.network import AceStep

GOLDEN = Path(__file__).parent / "golden"
GOLDEN_NAMES = ("xl_sft_tiny", "sft_2b_tiny")


@dataclass(frozen=True)
class Golden:
    """One golden folder: the network with its weights, what went in and what the official code computed."""

    folder: Path
    network: AceStep
    inputs: dict[str, Tensor]
    outputs: dict[str, Tensor]


@pytest.fixture(scope="session", params=GOLDEN_NAMES)
def golden(request: pytest.FixtureRequest) -> Golden:
    folder = GOLDEN / request.param
    network = AceStep(from_official(json.loads((folder / "config.json").read_text())), "sft")
    network.load_state_dict(load_file(folder / "model.safetensors"), strict=True)
    inputs = load_file(folder / "inputs.safetensors")
    network.silence = torch.load(folder / "silence_latent.pt", weights_only=True)[0].T.contiguous()
    network.eval()
    return Golden(folder, network, inputs, load_file(folder / "outputs.safetensors"))


@pytest.fixture(scope="session", autouse=True)
def quick_demo() -> Iterator[None]:
    """Tests that ask about the shipped demo network use `demo_network.shipped_demo`; processes of their own have it."""
    with random_demo():
        yield
