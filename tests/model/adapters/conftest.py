"""The tiny XL network, and adapters made for it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from adapter_files import Velocity, Write
from safetensors.torch import load_file, save_file
from torch import Tensor

from acestep_xl.model.config import from_official
from acestep_xl.model.network import AceStep

GOLDEN = Path(__file__).parents[2] / "golden"


@pytest.fixture(scope="module")
def network() -> AceStep:
    folder = GOLDEN / "xl_sft_tiny"
    network = AceStep(from_official(json.loads((folder / "config.json").read_text())), "sft")
    network.load_state_dict(load_file(folder / "model.safetensors"), strict=True)
    network.silence = torch.load(folder / "silence_latent.pt", weights_only=True)[0].T.contiguous()
    return network.requires_grad_(False).eval()


@pytest.fixture(scope="module")
def velocity() -> Velocity:
    inputs = load_file(GOLDEN / "xl_sft_tiny" / "inputs.safetensors")

    @torch.no_grad()
    def compute(network: AceStep) -> Tensor:
        text, lyric = (inputs[name][:1].to(network.dtype) for name in ("text", "lyric"))
        masks = (inputs[f"{name}_mask"][:1].bool() for name in ("text", "lyric"))
        text_mask, lyric_mask = masks
        packed = network.encoder(text, text_mask, lyric, lyric_mask, inputs["ref"][:1], range(1))
        condition = network.decoder.project_kv(packed.states, packed.mask)
        x = inputs["x"]
        context = torch.cat([network.silent(x.shape[1])[None], torch.ones_like(x)], dim=2)
        return network.decoder(x, torch.tensor([0.7]), context, condition).float()

    return compute


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def write(
        tensors: dict[str, Tensor],
        *,
        name: str = "my/adapter.safetensors",
        header: dict[str, str] | None = None,
        config: dict[str, object] | None = None,
    ) -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        save_file({key: value.contiguous() for key, value in tensors.items()}, path, dict(header or {}))
        if config is not None:
            (path.parent / "adapter_config.json").write_text(json.dumps(config))
        return path

    return write
