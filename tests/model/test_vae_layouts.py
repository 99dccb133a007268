"""Checkpoints of the autoencoder: both key layouts, every spelling of weight normalisation, and what is refused."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from torch import Tensor

from acestep_xl.model.vae.config import VAEConfig
from acestep_xl.model.vae.keys import vae_state
from acestep_xl.model.vae.oobleck import Oobleck

CONFIG = VAEConfig(latent_channels=3, encoder_channels=4, decoder_channels=5, channel_multiples=(1, 3), strides=(2, 6))

# Stable-audio's module numbers for a network of two blocks, written out.
UNITS = {
    "encoder.layers.1.layers.0": "encoder.block.0.res_unit1",
    "encoder.layers.1.layers.1": "encoder.block.0.res_unit2",
    "encoder.layers.1.layers.2": "encoder.block.0.res_unit3",
    "encoder.layers.2.layers.0": "encoder.block.1.res_unit1",
    "encoder.layers.2.layers.1": "encoder.block.1.res_unit2",
    "encoder.layers.2.layers.2": "encoder.block.1.res_unit3",
    "decoder.layers.1.layers.2": "decoder.block.0.res_unit1",
    "decoder.layers.1.layers.3": "decoder.block.0.res_unit2",
    "decoder.layers.1.layers.4": "decoder.block.0.res_unit3",
    "decoder.layers.2.layers.2": "decoder.block.1.res_unit1",
    "decoder.layers.2.layers.3": "decoder.block.1.res_unit2",
    "decoder.layers.2.layers.4": "decoder.block.1.res_unit3",
}
STABLE_AUDIO = {
    "encoder.layers.0": "encoder.conv1",
    "encoder.layers.1.layers.3": "encoder.block.0.snake1",
    "encoder.layers.1.layers.4": "encoder.block.0.conv1",
    "encoder.layers.2.layers.3": "encoder.block.1.snake1",
    "encoder.layers.2.layers.4": "encoder.block.1.conv1",
    "encoder.layers.3": "encoder.snake1",
    "encoder.layers.4": "encoder.conv2",
    "decoder.layers.0": "decoder.conv1",
    "decoder.layers.1.layers.0": "decoder.block.0.snake1",
    "decoder.layers.1.layers.1": "decoder.block.0.conv_t1",
    "decoder.layers.2.layers.0": "decoder.block.1.snake1",
    "decoder.layers.2.layers.1": "decoder.block.1.conv_t1",
    "decoder.layers.3": "decoder.snake1",
    "decoder.layers.4": "decoder.conv2",
}
for theirs, unit in UNITS.items():
    for number, part in enumerate(("snake1", "conv1", "snake2", "conv2")):
        STABLE_AUDIO[f"{theirs}.layers.{number}"] = f"{unit}.{part}"

SPELLINGS = {
    "weight_g": ("weight_g", "weight_v"),
    "parametrizations": ("parametrizations.weight.original0", "parametrizations.weight.original1"),
}


def diffusers_checkpoint() -> dict[str, Tensor]:
    """Random tensors under diffusers' names, weight-normalised."""
    generator = torch.Generator().manual_seed(0)
    with torch.device("meta"):
        shapes = {key: value.shape for key, value in Oobleck(CONFIG).state_dict().items()}
    tensors = {}
    for key, shape in shapes.items():
        if key.endswith(".weight"):
            tensors[f"{key}_g"] = torch.rand(shape[0], 1, 1, generator=generator) + 0.5
            tensors[f"{key}_v"] = torch.randn(shape, generator=generator)
        else:
            tensors[key] = torch.randn(shape, generator=generator)
    return tensors


def weight_normalised(g: Tensor, v: Tensor) -> Tensor:
    return g * F.normalize(v.flatten(1), dim=1).view_as(v)


def respell(tensors: dict[str, Tensor], spelling: str) -> dict[str, Tensor]:
    """The same checkpoint with the other keys of weight normalisation, or with weights that torch folded."""
    if spelling == "folded":
        others = {key: value for key, value in tensors.items() if not key.endswith(("weight_g", "weight_v"))}
        stems = [key[:-2] for key in tensors if key.endswith("weight_g")]
        return others | {stem: weight_normalised(tensors[f"{stem}_g"], tensors[f"{stem}_v"]) for stem in stems}
    g, v = SPELLINGS[spelling]
    return {key.replace("weight_g", g).replace("weight_v", v): value for key, value in tensors.items()}


def to_layout(tensors: dict[str, Tensor], layout: str) -> dict[str, Tensor]:
    if layout == "diffusers":
        return tensors
    theirs = {f"{module}.": f"{number}." for number, module in STABLE_AUDIO.items()}
    moved = {}
    for key, value in tensors.items():
        module = max((name for name in theirs if key.startswith(name)), key=len)
        moved[theirs[module] + key.removeprefix(module)] = value.flatten() if key.endswith(("alpha", "beta")) else value
    return moved


@pytest.mark.parametrize("layout", ["diffusers", "stable_audio"])
@pytest.mark.parametrize("spelling", ["weight_g", "parametrizations", "folded"])
def test_every_layout_and_spelling_gives_the_same_state(layout: str, spelling: str) -> None:
    reference = respell(diffusers_checkpoint(), "folded")
    tensors = to_layout(respell(diffusers_checkpoint(), spelling), layout)
    assert VAEConfig.from_state({key: tuple(value.shape) for key, value in tensors.items()}) == CONFIG
    state = vae_state(tensors)
    assert state.keys() == reference.keys()
    for key, value in reference.items():
        torch.testing.assert_close(state[key], value, msg=lambda text, key=key: f"{key}: {text}")
    with torch.device("meta"):
        model = Oobleck(CONFIG)
    model.load_state_dict(state, assign=True, strict=True)
    assert {parameter.device.type for parameter in model.parameters()} == {"cpu"}


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_weight_norm_is_folded_in_float32_and_stored_as_it_was(dtype: torch.dtype) -> None:
    stored = {key: value.to(dtype) for key, value in diffusers_checkpoint().items()}
    state = vae_state(stored)
    assert {value.dtype for value in state.values()} == {dtype}
    for module in ("encoder.block.1.conv1", "decoder.block.0.conv_t1"):
        g, v = stored[f"{module}.weight_g"].float(), stored[f"{module}.weight_v"].float()
        torch.testing.assert_close(state[f"{module}.weight"], weight_normalised(g, v).to(dtype), atol=0, rtol=2**-7)
        norms = state[f"{module}.weight"].float().flatten(1).norm(dim=1)
        torch.testing.assert_close(norms, g.flatten(), atol=0, rtol=2**-8)


@pytest.mark.parametrize(
    "key",
    [
        "vae.decoder.conv1.weight",
        "decoder.conv3.weight",
        "decoder.conv1.scale",
        "decoder.layers.1.layers.9.bias",
        "decoder.layers.7.layers.1.bias",
        "decoder.block.3.conv_t1.bias",
        "decoder.layers.1.layers.2.layers.7.bias",
        "decoder.layers.1.layers.2.bias",
        "encoder.layers.1.layers.3.layers.0.alpha",
        "encoder.layers.9.bias",
        "decoder.block.0.conv_t1.bias.x",
        "quantizer.weight",
    ],
)
@pytest.mark.parametrize("layout", ["diffusers", "stable_audio"])
def test_an_unknown_key_is_named(key: str, layout: str) -> None:
    tensors = to_layout(diffusers_checkpoint(), layout) | {key: torch.zeros(4)}
    with pytest.raises(ValueError, match=f"key '{key}' fits neither"):
        vae_state(tensors)
    with pytest.raises(ValueError, match=f"key '{key}' fits neither"):
        VAEConfig.from_state({name: tuple(value.shape) for name, value in tensors.items()})


def test_half_a_weight_norm_and_two_weights_are_refused() -> None:
    tensors = diffusers_checkpoint()
    g = tensors.pop("decoder.conv1.weight_g")
    with pytest.raises(ValueError, match=r"decoder\.conv1 needs either weight or both"):
        vae_state(tensors)
    both = tensors | {"decoder.conv1.weight_g": g, "decoder.conv1.weight": tensors["decoder.conv1.weight_v"]}
    with pytest.raises(ValueError, match=r"decoder\.conv1 needs either weight or both"):
        vae_state(both)
    twice = diffusers_checkpoint() | {"decoder.layers.0.bias": tensors["decoder.conv1.bias"]}
    with pytest.raises(ValueError, match=r"'decoder\.layers\.0\.bias' is a second bias of decoder\.conv1"):
        vae_state(twice)


def test_a_part_of_a_checkpoint_is_not_a_vae() -> None:
    shapes = {key: tuple(value.shape) for key, value in diffusers_checkpoint().items()}
    decoder = {key: shape for key, shape in shapes.items() if key.startswith("decoder.")}
    with pytest.raises(ValueError, match=r"no weight for encoder\.conv1, encoder\.block\.0\.conv1$"):
        VAEConfig.from_state(decoder)
    with pytest.raises(ValueError, match=r"widths \[6, 12\] are not multiples of the first, 4"):
        VAEConfig.from_state(shapes | {"encoder.block.0.conv1.weight_v": (6, 4, 4)})


def test_diffusers_config_is_read_and_checked() -> None:
    config = {
        "audio_channels": 2,
        "channel_multiples": [1, 2, 4, 8, 16],
        "decoder_channels": 96,
        "decoder_input_channels": 64,
        "downsampling_ratios": [2, 4, 4, 8, 8],
        "encoder_hidden_size": 128,
        "sampling_rate": 44100,
        "_class_name": "AutoencoderOobleck",
    }
    expected = VAEConfig(strides=(2, 4, 4, 8, 8), sample_rate=44100, decoder_channels=96)
    assert VAEConfig.from_diffusers(config) == expected and expected.hop == 2048
    assert expected.to_diffusers() == {key: value for key, value in config.items() if key[0] != "_"}
    with pytest.raises(ValueError, match="encoder_hidden_size 64 must be twice decoder_input_channels 64"):
        VAEConfig.from_diffusers(config | {"encoder_hidden_size": 64})
    del config["sampling_rate"]
    with pytest.raises(ValueError, match="lacks 'sampling_rate'; it has audio_channels, channel_multiples"):
        VAEConfig.from_diffusers(config)


COMFYUI_RUN = """
import sys
import torch
import comfy.cli_args
comfy.cli_args.args.cpu = True
from comfy.ldm.audio.autoencoder import AudioOobleckVAE
from safetensors.torch import save_file
vae = AudioOobleckVAE(channels=8, latent_dim=4, c_mults=[1, 2, 3, 3, 4], strides=[2, 4, 4, 6, 10]).float()
generator = torch.Generator().manual_seed(0)
with torch.no_grad():
    for name, parameter in vae.named_parameters():
        random = torch.randn(parameter.shape, generator=generator)
        gain = 0.2 if name.count(".layers.") == 3 else 0.7
        if name.endswith("original0"):
            random = gain * (1 + 0.2 * random)
        parameter.copy_(random if "original" in name else 0.2 * random)
    waveform = torch.randn(2, 2, 3 * 1920, generator=generator)
    latents = torch.randn(2, 4, 5, generator=generator)
    results = {
        "waveform": waveform,
        "mean": vae.encoder(waveform).chunk(2, dim=1)[0].contiguous(),
        "latents": latents,
        "decoded": vae.decode(latents),
    }
save_file(vae.state_dict() | {f"test.{key}": value for key, value in results.items()}, sys.argv[1])
"""


@pytest.mark.skipif("COMFYUI_PATH" not in os.environ, reason="COMFYUI_PATH does not name a ComfyUI checkout")
def test_equals_comfyui(tmp_path: Path) -> None:
    file = tmp_path / "comfyui.safetensors"
    environment = os.environ | {"PYTHONPATH": os.environ["COMFYUI_PATH"]}
    python = os.environ.get("COMFYUI_PYTHON", sys.executable)
    subprocess.run([python, "-c", COMFYUI_RUN, str(file)], env=environment, cwd=tmp_path, check=True)
    tensors = load_file(file)
    results = {key: tensors.pop(key) for key in list(tensors) if key.startswith("test.")}
    config = VAEConfig.from_state({key: tuple(value.shape) for key, value in tensors.items()})
    assert (config.latent_channels, config.hop, config.channel_multiples) == (4, 1920, (1, 2, 3, 3, 4))
    with torch.device("meta"):
        model = Oobleck(config)
    model.load_state_dict(vae_state(tensors), assign=True, strict=True)
    assert results["test.mean"].std() > 0.1 and results["test.decoded"].std() > 0.1
    torch.testing.assert_close(model.encode(results["test.waveform"]), results["test.mean"], atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(model.decode(results["test.latents"]), results["test.decoded"], atol=1e-5, rtol=1e-5)
