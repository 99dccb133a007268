"""Weights that can't be computed with are refused: quantised forms, bare integers, and space that was never filled."""

from __future__ import annotations

from pathlib import Path

import pytest
import tiny
import torch
from safetensors.torch import save_file
from torch import Tensor

from acestep_xl.model import demo
from acestep_xl.model.formats.tensors import CheckpointError
from acestep_xl.model.layouts import open_text_encoder, open_vae, recognise

STATE = tiny.network_state()
LAYERS = [name.removesuffix(".weight") for name in STATE if name.startswith("decoder.layers.") and "_proj" in name]


def saved(state: dict[str, Tensor], path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file({name: tensor.contiguous() for name, tensor in state.items()}, path)
    return path


def fp8(*suffixes: str, dtype: torch.dtype = torch.float8_e4m3fn) -> dict[str, Tensor]:
    state = {**STATE}
    for layer in LAYERS:
        state[f"{layer}.weight"] = STATE[f"{layer}.weight"].to(dtype)
        state |= {f"{layer}.{suffix}": torch.ones(1) for suffix in suffixes}
    return state


QUANTISED = {
    "scales of other weights": (fp8() | {"decoder.x.weight_scale": torch.ones(1)}, "scales without their weights"),
    "convert_to_quant": (fp8("weight_s_rel", dtype=torch.int8), "convert_to_quant or SVDQuant"),
    "bitsandbytes": (fp8("SCB", dtype=torch.int8), "bitsandbytes 4-bit or 8-bit"),
    "GPTQ": (STATE | {f"{LAYERS[0]}.qweight": torch.ones(2, dtype=torch.int32)}, "GPTQ or AWQ"),
}


@pytest.mark.parametrize("prefix", ["", "model.diffusion_model."])
@pytest.mark.parametrize("form", QUANTISED)
def test_quantised_models_are_told_by_form_with_the_remedy(form: str, prefix: str, tmp_path: Path) -> None:
    state, name = QUANTISED[form]
    path = saved({prefix + key: tensor for key, tensor in state.items()}, tmp_path / "m.safetensors")
    match = (
        rf"holds quantised weights that can't be read \({name}: \d+ tensors.*supported: GGUF, .*weights = fp8 or int8"
    )
    with pytest.raises(CheckpointError, match=match):
        recognise(path)


def test_quantised_text_encoders_and_vaes_are_told_too(tmp_path: Path) -> None:
    text = tiny.text_state() | {"layers.0.mlp.up_proj.SCB": torch.ones(1)}
    with pytest.raises(CheckpointError, match="holds quantised weights"):
        open_text_encoder(saved(text, tmp_path / "t.safetensors"))
    vae = tiny.vae_state() | {"decoder.conv1.SCB": torch.ones(1)}
    with pytest.raises(CheckpointError, match="holds quantised weights"):
        open_vae(saved(vae, tmp_path / "v.safetensors"))


def test_fp8_without_scales_is_read(tmp_path: Path) -> None:
    assert recognise(saved(fp8(), tmp_path / "m.safetensors")).config == recognise_plain(tmp_path)


def recognise_plain(folder: Path) -> object:
    return recognise(saved(STATE, folder / "plain.safetensors")).config


@pytest.mark.parametrize("dtype", [torch.int8, torch.uint8, torch.int32, torch.bool])
def test_integers_without_scales_are_refused(dtype: torch.dtype, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"numbers without the scales .*_proj.weight .* more; "):
        recognise(saved(fp8(dtype=dtype), tmp_path / "m.safetensors"))


def fill_with_zeros(path: Path, first: float, end: float = 1.0) -> Path:
    """Zero a part of a file, as a fraction of its bytes."""
    content = bytearray(path.read_bytes())
    begin, stop = int(len(content) * first), int(len(content) * end)
    content[begin:stop] = bytes(stop - begin)
    path.write_bytes(content)
    return path


@pytest.mark.parametrize(("first", "end"), [(0.5, 1.0), (0.9, 1.0), (0.3, 0.6)])
def test_space_that_a_download_reserved_and_did_not_fill_is_refused(first: float, end: float, tmp_path: Path) -> None:
    path = fill_with_zeros(saved(STATE, tmp_path / "m.safetensors"), first, end)
    with pytest.raises(CheckpointError, match=r"only partly there: \d+ weights \([\d,]+ of [\d,]+ bytes\)"):
        recognise(path)


def test_an_unfilled_shard_text_encoder_or_vae_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "diffusers" / tiny.write("shards", tmp_path)
    fill_with_zeros(folder / "model-00002-of-00002.safetensors", 0.5)
    with pytest.raises(CheckpointError, match="only partly there"):
        recognise(folder)
    text = fill_with_zeros(saved(tiny.text_state(), tmp_path / "t.safetensors"), 0.5)
    with pytest.raises(CheckpointError, match="only partly there"):
        open_text_encoder(text)
    with pytest.raises(CheckpointError, match="only partly there"):
        open_vae(fill_with_zeros(saved(tiny.vae_state(), tmp_path / "v.safetensors"), 0.5))


def test_zeros_that_belong_there_are_accepted(tmp_path: Path) -> None:
    """A layer that was switched off, tables, and the unused rows of a vocabulary."""
    state = {name: tensor.clone() for name, tensor in STATE.items()}
    state["decoder.layers.1.self_attn.o_proj.weight"].zero_()
    for name in state:
        if name.endswith(("scale_shift_table", "bias", "special_token")):
            state[name].zero_()
    recognise(saved(state, tmp_path / "m.safetensors"))
    text = tiny.text_state()
    text["embed_tokens.weight"][-8:] = 0
    open_text_encoder(saved(text, tmp_path / "t.safetensors"))


def test_the_demo_network_whose_layers_are_partly_off_is_accepted() -> None:
    recognise(demo.FOLDER)
