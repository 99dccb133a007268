"""8-bit and 4-bit safetensors weights: formulas, names of three generations, padding, and what can't be read."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import small_qwen3
import tiny
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from quantised_files import ERRORS, FORMS, KITCHEN, hadamard, layers_of, quantised, write_quantised
from safetensors.torch import save_file

from acestep_xl.model.checkpoint import load_text_encoder
from acestep_xl.model.formats import scaled_codecs
from acestep_xl.model.formats.files import open_file
from acestep_xl.model.formats.tensors import CheckpointError
from acestep_xl.model.layouts import open_text_encoder, recognise
from acestep_xl.model.linear.packed import PackedLinear
from acestep_xl.model.tokenizer import demo_tokenizer, save_tokenizer

CPU = torch.device("cpu")

STATE = tiny.network_state()
LAYERS = layers_of(STATE)


def skip_without_kitchen(form: str) -> None:
    if form in KITCHEN:
        pytest.importorskip("comfy_kitchen", reason="comfy-kitchen, which writes this format, is not installed")


@pytest.mark.parametrize("prefix", ["", "model.diffusion_model.", "diffusion_model."])
@pytest.mark.parametrize("form", FORMS)
def test_weights_under_every_name_are_close_to_the_original(form: str, prefix: str, tmp_path: Path) -> None:
    skip_without_kitchen(form)
    path = write_quantised(tmp_path / "model_sft.safetensors", STATE, form, prefix)
    (tmp_path / "config.json").write_text(json.dumps(tiny.official_config(tiny.random_network.CONFIG)))
    network = recognise(path).network.fit({name: tuple(value.shape) for name, value in STATE.items()})
    assert set(network) == set(STATE)
    for layer in LAYERS:
        weight, original = network[f"{layer}.weight"], STATE[f"{layer}.weight"]
        assert network.packed(f"{layer}.weight") is not None and weight.shape == original.shape
        assert 1e-4 < (weight - original).norm() / original.norm() < ERRORS[form]
    plain = set(STATE) - {f"{layer}.weight" for layer in LAYERS}
    assert all(torch.equal(network[name], STATE[name]) for name in plain)


def test_scales_in_a_file_beside_the_weights(tmp_path: Path) -> None:
    tensors, _ = quantised(STATE, "scaled_fp8")
    scales = {f"{layer}.weight": tensors.pop(f"{layer}.scale_weight").item() for layer in LAYERS}
    kept = {name: value for name, value in tensors.items() if "scale_input" not in name and name != "scaled_fp8"}
    save_file(kept, tmp_path / "m.safetensors")
    (tmp_path / "fp8_scales.json").write_text(json.dumps(scales))
    network = recognise(tmp_path / "m.safetensors").network
    for layer in LAYERS:
        expected = kept[f"{layer}.weight"].float() * scales[f"{layer}.weight"]
        torch.testing.assert_close(network[f"{layer}.weight"], expected, rtol=1e-6, atol=0)


def test_a_weight_and_its_scale_in_different_shards(tmp_path: Path) -> None:
    name = tiny.write("official", tmp_path)
    folder = tmp_path / "diffusers" / name
    folder = folder if folder.is_dir() else next(path.parent for path in tmp_path.rglob("model.safetensors"))
    (folder / "model.safetensors").unlink()
    tensors, _ = quantised(STATE, "int8")
    scales = {key: value for key, value in tensors.items() if not key.endswith(".weight")}
    parts = {"model-00001-of-00002.safetensors": {k: v for k, v in tensors.items() if k not in scales},
             "model-00002-of-00002.safetensors": scales}  # fmt: skip
    for file, part in parts.items():
        save_file(part, folder / file)
    index = {"weight_map": {key: file for file, part in parts.items() for key in part}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    network = recognise(folder).network
    assert set(network) == set(STATE) and network.packed(f"{LAYERS[0]}.weight") is not None


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 300), st.integers(1, 13))
def test_block_scales_lie_where_the_tiles_say(rows: int, columns: int) -> None:
    scales = torch.arange(rows * columns).remainder(251).to(torch.uint8).view(rows, columns)
    tiles = (-(-rows // 128), -(-columns // 4))
    stored = torch.zeros(tiles[0] * tiles[1] * 512, dtype=torch.uint8)
    for row in range(rows):
        for column in range(columns):
            tile = row // 128 * tiles[1] + column // 4
            stored[tile * 512 + row % 32 * 16 + row % 128 // 32 * 4 + column % 4] = scales[row, column]
    assert torch.equal(scaled_codecs.unswizzle(stored, rows, columns), scales)
    with pytest.raises(ValueError, match="block scales, expected whole tiles"):
        scaled_codecs.unswizzle(stored[1:], rows, columns)


@pytest.mark.parametrize("group", [4, 16, 64, 256])
def test_rotation_is_the_product_with_the_hadamard_matrix(group: int) -> None:
    weight = torch.randint(-127, 128, (5, 2 * group), dtype=torch.int8, generator=torch.Generator().manual_seed(0))
    scale = torch.linspace(0.1, 2, 5)[:, None]
    ours = scaled_codecs.rotated("int8 convrot", group).unpack(weight, {"scale": scale})
    expected = ((weight.double() * scale).unflatten(1, (-1, group)) @ hadamard(group).double()).flatten(1)
    torch.testing.assert_close(ours.double(), expected, rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize("shape", [(64, 96), (80, 80), (33, 130)])
@pytest.mark.parametrize("form", KITCHEN)
def test_padded_block_scales_equal_comfy_kitchen(form: str, shape: tuple[int, int], tmp_path: Path) -> None:
    kitchen = pytest.importorskip("comfy_kitchen", reason="comfy-kitchen, the reference, is not installed")
    weight = torch.randn(shape, generator=torch.Generator().manual_seed(1))
    tensors = FORMS[form]("decoder.layers.0.mlp.up_proj", weight)
    save_file(tensors, tmp_path / "m.safetensors")
    values, scales = (tensors[f"decoder.layers.0.mlp.up_proj.{name}"] for name in ("weight", "weight_scale"))
    if form == "nvfp4":
        scale = tensors["decoder.layers.0.mlp.up_proj.weight_scale_2"]
        expected = kitchen.dequantize_nvfp4(values, scale, scales, torch.float32)
    else:
        expected = kitchen.dequantize_mxfp8(values, scales.view(torch.float8_e8m0fnu), torch.float32)
    ours = open_file(tmp_path / "m.safetensors").fit({"decoder.layers.0.mlp.up_proj.weight": shape})
    assert torch.equal(ours["decoder.layers.0.mlp.up_proj.weight"], expected[: shape[0], : shape[1]])


@pytest.mark.parametrize("unknown", ["convrot_w4a4", "asym_w4a8_int8", "awq_w4a16", "something_new"])
def test_formats_that_are_not_known_are_named_with_the_supported_ones(unknown: str, tmp_path: Path) -> None:
    tensors, _ = quantised(STATE, "int8")
    config = torch.tensor(list(json.dumps({"format": unknown}).encode()), dtype=torch.uint8)
    tensors |= {name: config for name in tensors if name.endswith(".comfy_quant")}
    save_file({name: value.clone() for name, value in tensors.items()}, tmp_path / "m.safetensors")
    match = rf"can't be read \({unknown} \({len(LAYERS)} layers\): .*supported: GGUF, and fp8, int8, mxfp8 and nvfp4"
    with pytest.raises(CheckpointError, match=match):
        recognise(tmp_path / "m.safetensors")


def test_scales_that_do_not_fit_are_told(tmp_path: Path) -> None:
    tensors, _ = quantised(STATE, "int8 rows")
    save_file(tensors | {f"{LAYERS[0]}.weight_scale": torch.ones(3, 1)}, tmp_path / "m.safetensors")
    with pytest.raises(CheckpointError, match=rf"{LAYERS[0]} has scales of shape \(3, 1\) for \d+ rows; allowed"):
        recognise(tmp_path / "m.safetensors")
    tensors, _ = quantised(STATE, "convrot")
    config = torch.tensor(list(b'{"format": "int8_tensorwise", "convrot": true, "convrot_groupsize": 48}'))
    tensors[f"{LAYERS[0]}.comfy_quant"] = config.to(torch.uint8)
    save_file(tensors, tmp_path / "r.safetensors")
    with pytest.raises(CheckpointError, match="rotated in groups of 48 columns, which must be a power of 4"):
        recognise(tmp_path / "r.safetensors")


def test_a_scale_without_its_weight_is_told(tmp_path: Path) -> None:
    tensors, _ = quantised(STATE, "scaled_fp8")
    save_file(tensors | {"decoder.extra.scale_weight": torch.ones(())}, tmp_path / "m.safetensors")
    with pytest.raises(CheckpointError, match=r"scales without their weights: 1 tensors such as decoder.extra"):
        recognise(tmp_path / "m.safetensors")


@pytest.mark.parametrize("form", ["fp8", "scaled_fp8", "header", "int8 rows"])
@pytest.mark.parametrize("prefix", ["", "model."])
def test_text_encoders_keep_packed_layers_and_plain_embeddings(form: str, prefix: str, tmp_path: Path) -> None:
    state, tokenizer = tiny.text_state(), tmp_path / "tokenizer"
    save_tokenizer(demo_tokenizer(), tokenizer)
    layers = [name.removesuffix(".weight") for name in state if name.endswith("_proj.weight")]
    tensors = {name: value for name, value in state.items() if name.removesuffix(".weight") not in layers}
    for layer in layers:
        tensors |= FORMS[form](layer, state[f"{layer}.weight"])
    tensors |= {"scaled_fp8": torch.zeros(2)} if form == "scaled_fp8" else {}
    save_file({prefix + name: value for name, value in tensors.items()}, tmp_path / "qwen.safetensors")
    encoder = load_text_encoder(open_text_encoder(tmp_path / "qwen.safetensors"), tokenizer, torch.float32, CPU)
    packed = [name for name, layer in encoder.model.named_modules() if isinstance(layer, PackedLinear)]
    assert set(packed) <= set(layers) and len(packed) > len(layers) / 2
    save_file(state, tmp_path / "plain.safetensors")
    plain = load_text_encoder(open_text_encoder(tmp_path / "plain.safetensors"), tokenizer, torch.float32, CPU)
    exact = plain.encode([small_qwen3.prompt_of()])
    near = encoder.encode([small_qwen3.prompt_of()])
    assert torch.equal(near.lyrics, exact.lyrics)
    assert torch.nn.functional.cosine_similarity(near.caption.flatten(), exact.caption.flatten(), dim=0) > 0.995
