"""Adapters against ComfyUI's own loader: the same where it is right. Runs if COMFYUI_PATH names a checkout."""

from __future__ import annotations

import os
from pathlib import Path

import comfy_process
import pytest
import torch
from adapter_files import FILES, relative
from safetensors.torch import load_file
from torch import Tensor

from acestep_xl.model.adapters.read import read
from acestep_xl.model.adapters.updates.decomposed import Decomposed
from acestep_xl.model.adapters.updates.update import merge

pytestmark = [
    pytest.mark.skipif("COMFYUI_PATH" not in os.environ, reason="COMFYUI_PATH does not name a ComfyUI checkout"),
    pytest.mark.slow,
]

CODE = """
import comfy.lora
import comfy.utils
import torch
from safetensors.torch import load_file
torch.set_num_threads(1)
weights = load_file(arguments[1])
names = {}
for name in weights:
    path = name.removesuffix(".weight")
    inside = path.removeprefix("decoder.")
    flat = inside.replace(".", "_")
    names |= {f"diffusion_model.{path}": name, f"diffusion_model.{name}": name, f"base_model.model.{inside}": name}
    names |= {f"lycoris_{flat}": name, f"lora_unet_decoder_{flat}": name}
results = {}
for file in arguments[2:]:
    for key, patch in comfy.lora.load_lora(load_file(file), names).items():
        for strength in (1.0, 0.6):
            patches = [(strength, patch, 1.0, None, None)]
            try:
                weight = comfy.lora.calculate_weight(patches, weights[key].clone(), key, torch.float32)
            except (IndexError, RuntimeError):
                weight = torch.zeros(0)
            results[f"{file}|{key}|{strength}"] = weight
torch.save(results, arguments[0])
"""
RIGHT = (
    *("comfy_native_updown", "comfy_generic_updown", "comfy_diffusion_model_ab", "kohya_lora_unet", "lycoris_lora"),
    *("comfy_generic_lokr", "lycoris_lokr_full", "lycoris_lokr_w2ab", "lycoris_loha", "lycoris_full", "lycoris_glora"),
)
HALVED, DORA, ROTATED, RESCALED = "peft_lora/adapter_model", "lycoris_lokr_dora", "lycoris_oft", "lycoris_oft_rescaled"
CONVOLUTIONS = ("lycoris_lokr_conv_full", "lycoris_lokr_tucker", "lycoris_lora_tucker")
CHECKPOINT = FILES.parents[1] / "xl_sft_tiny" / "model.safetensors"
Q, CONV = "decoder.layers.0.self_attn.q_proj.weight", "decoder.proj_in.1.weight"


def path_of(name: str) -> Path:
    return FILES / f"{name}.safetensors"


@pytest.fixture(scope="module")
def core(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Tensor]:
    path = tmp_path_factory.mktemp("comfyui") / "weights.pt"
    names = (*RIGHT, HALVED, DORA, ROTATED, RESCALED, *CONVOLUTIONS)
    comfy_process.run(CODE, str(path), str(CHECKPOINT), *(str(path_of(name)) for name in names))
    return torch.load(path)


@pytest.fixture(scope="module")
def weights() -> dict[str, Tensor]:
    return load_file(CHECKPOINT)


def changes(
    core: dict[str, Tensor], weights: dict[str, Tensor], name: str, key: str, strength: float
) -> tuple[Tensor | None, Tensor]:
    """What ComfyUI adds to a weight, None if it failed, and what is added here."""
    weight, theirs = weights[key], core[f"{path_of(name)}|{key}|{strength}"]
    source = path_of(name).parent if "/" in name else path_of(name)
    updates = [(entry.update, strength) for entry in read(source).entries if entry.parameter == key]
    ours = merge(weight, updates) - weight
    return (theirs - weight if theirs.shape == weight.shape else None), ours


@pytest.mark.parametrize("name", RIGHT)
@pytest.mark.parametrize("strength", [1.0, 0.6])
def test_comfyui_computes_the_same(core, weights, name: str, strength: float) -> None:
    theirs, ours = changes(core, weights, name, Q, strength)
    assert theirs is not None and relative(ours, theirs) < 1e-5


def test_comfyui_halves_a_peft_adapter_since_it_ignores_its_config(core, weights) -> None:
    theirs, ours = changes(core, weights, HALVED, Q, 1.0)
    assert theirs is not None and relative(0.5 * ours, theirs) < 1e-5


def test_comfyui_takes_the_norm_of_the_unchanged_weight_for_a_dora(core, weights) -> None:
    theirs, ours = changes(core, weights, DORA, Q, 1.0)
    assert theirs is not None and relative(theirs, ours) > 0.01
    (update,) = (entry.update for entry in read(path_of(DORA)).entries if entry.parameter == Q)
    assert isinstance(update, Decomposed)
    magnitude, direction = update.magnitude, update.direction.change(weights[Q])
    norm = weights[Q].norm(dim=1, keepdim=True)
    assert relative(magnitude / norm * (weights[Q] + direction) - weights[Q], theirs) < 1e-4


def test_comfyui_squares_the_strength_of_an_oft(core, weights) -> None:
    whole, _ = changes(core, weights, ROTATED, Q, 1.0)
    theirs, ours = changes(core, weights, ROTATED, Q, 0.6)
    assert whole is not None and theirs is not None
    assert relative(ours, 0.6 * whole) < 1e-4 and relative(theirs, 0.36 * whole) < 1e-4


def test_comfyui_ignores_the_factors_of_a_rescaled_oft(core, weights) -> None:
    theirs, ours = changes(core, weights, RESCALED, Q, 1.0)
    assert theirs is not None and relative(theirs, ours) > 0.1


@pytest.mark.parametrize("name", CONVOLUTIONS)
def test_comfyui_spoils_or_fails_on_adapted_convolutions(core, weights, name: str) -> None:
    theirs, ours = changes(core, weights, name, CONV, 1.0)
    assert ours.norm() > 0
    assert theirs is None or relative(theirs, ours) > 0.5
