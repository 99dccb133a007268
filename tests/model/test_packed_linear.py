"""Networks whose weights stay packed: what their layers compute, and that everything done with a network works."""

from __future__ import annotations

from pathlib import Path

import pytest
import quantised_files
import tiny
import torch
import torch.nn.functional as F
from predictions import predict
from safetensors.torch import load_file
from torch import nn

from acestep_xl.host.offload.placement import size_of
from acestep_xl.model import random_network
from acestep_xl.model.adapters.attach import Applied, attach
from acestep_xl.model.adapters.read import read
from acestep_xl.model.checkpoint import first_damaged, load_network
from acestep_xl.model.fit import build_on_meta
from acestep_xl.model.formats.storage import describe_storage, is_packed
from acestep_xl.model.layouts import Component, open_text_encoder, open_vae, recognise
from acestep_xl.model.linear.packed import PackedLinear
from acestep_xl.model.linear.quantise import QuantisedLinear, convert, weight_bytes
from acestep_xl.model.network import AceStep, share
from acestep_xl.model.precision import network_dtypes
from acestep_xl.model.predictor import Predictor

CPU = torch.device("cpu")
GOLDEN = Path(__file__).parents[1] / "golden"
STATE = tiny.network_state()


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The tiny checkpoint in several formats."""
    folder = tmp_path_factory.mktemp("quantised")
    config = tiny.official_config(random_network.CONFIG)
    paths = {kind: quantised_files.write_gguf(folder / f"sft-{kind}.gguf", STATE, kind, config=config)
             for kind in ("Q8_0", "Q5_1", "BF16")}  # fmt: skip
    forms = ("fp8", "scaled_fp8", "int8 rows", "convrot")
    return paths | {
        form: quantised_files.write_quantised(folder / form / "sft.safetensors", STATE, form) for form in forms
    }


def load(path: Path, dtype: torch.dtype = torch.float32) -> AceStep:
    return load_network(recognise(path), dtype, CPU)


def packed_layers(network: nn.Module) -> dict[str, PackedLinear]:
    return {name: layer for name, layer in network.named_modules() if isinstance(layer, PackedLinear)}


def unpacked(path: Path, dtype: torch.dtype) -> AceStep:
    """The network with the same numbers in full."""
    with torch.device("meta"):
        network = AceStep(random_network.CONFIG, "sft")
    tensors, dtype_of = recognise(path).network, network_dtypes(dtype)
    state = {name: tensors[name].to(dtype_of(name)).clone() for name in tensors}
    network.load_state_dict(state, strict=True, assign=True)
    network.silence = torch.zeros(1, 64)
    return network.eval()


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("form", ["Q8_0", "Q5_1", "fp8", "scaled_fp8", "int8 rows", "convrot"])
def test_packed_networks_compute_as_with_the_numbers_in_full(
    files: dict[str, Path], form: str, dtype: torch.dtype
) -> None:
    network = load(files[form], dtype)
    assert packed_layers(network)
    assert torch.equal(predict(network), predict(unpacked(files[form], dtype)))


def test_large_layers_stay_packed_and_mapped_and_the_rest_is_plain(files: dict[str, Path]) -> None:
    network = load(files["Q8_0"])
    layers = packed_layers(network)
    assert {f"{name}.weight" for name in layers} == {
        name for name, value in STATE.items()
        if value.ndim == 2 and name.endswith(".weight") and value.shape[1] % 32 == 0 and min(value.shape) >= 32
    }  # fmt: skip
    for layer in layers.values():
        assert layer.stored_as == "Q8_0" and layer.weight.dtype == torch.uint8 and not layer.weight.requires_grad
        assert layer.weight.numel() == layer.in_features * layer.out_features * 34 // 32
    names = {f"{name}.weight" for name in layers}
    plain = {name: value for name, value in network.state_dict().items() if name in STATE and name not in names}
    assert all(value.dtype == torch.float32 for value in plain.values())
    full = sum(STATE[name].nbytes for name in names)
    assert weight_bytes(network) == sum(value.nbytes for value in STATE.values()) - full * (1 - 34 / 128)


@pytest.mark.parametrize("form", ["Q8_0", "scaled_fp8"])
def test_shared_networks_have_layers_of_their_own_over_the_same_bytes(files: dict[str, Path], form: str) -> None:
    network = load(files[form])
    copy = share(network)
    for name, layer in packed_layers(network).items():
        twin = packed_layers(copy)[name]
        assert twin is not layer and twin.weight is not layer.weight
        assert twin.weight.data_ptr() == layer.weight.data_ptr() and twin.work_bytes() == layer.work_bytes()
    assert torch.equal(predict(copy), predict(network))


def test_other_8_bit_weights_can_be_made_of_packed_ones(files: dict[str, Path]) -> None:
    network = load(files["Q8_0"], torch.bfloat16)
    copy = convert(network, "int8")
    layer = copy.get_submodule("decoder.layers.0.mlp.up_proj")
    assert isinstance(layer, QuantisedLinear) and layer.dtype == torch.bfloat16
    assert F.cosine_similarity(predict(copy).flatten(), predict(network).flatten(), dim=0) > 0.999
    with pytest.raises(ValueError, match="8 bits already"):
        convert(copy, "fp8")


def test_damaged_scales_are_found(files: dict[str, Path]) -> None:
    network = load(files["Q8_0"])
    assert first_damaged(network) is None
    layer = packed_layers(network)["decoder.layers.1.mlp.up_proj"]
    layer.weight[3, 34:36] = torch.tensor([0, 0x7E], dtype=torch.uint8)  # not a number in fp16
    assert first_damaged(network) == "decoder.layers.1.mlp.up_proj.weight"


def test_the_plan_counts_packed_weights_as_they_are_loaded(files: dict[str, Path], tmp_path: Path) -> None:
    tiny.write("split", tmp_path)
    text = open_text_encoder(tmp_path / "text_encoders" / "qwen_0.6b_ace15.safetensors")
    vae: Component = open_vae(tmp_path / "vae" / "ace_1.5_vae.safetensors")
    for form in ("Q8_0", "scaled_fp8", "BF16"):
        planned = build_on_meta(recognise(files[form]), text, vae, (torch.bfloat16, torch.float32)).network
        loaded = load(files[form], torch.bfloat16)
        assert size_of(planned) == size_of(loaded) - loaded.silence.nbytes
        assert planned.get_submodule("decoder.layers.0.mlp.up_proj").get_parameter("weight").is_meta


@pytest.mark.parametrize(
    ("form", "words", "packed"),
    [("Q8_0", "GGUF Q8_0 and bf16, ", True), ("BF16", "GGUF bf16, ", False),
     ("scaled_fp8", "safetensors fp32 and fp8 scaled, ", True)],
)  # fmt: skip
def test_the_form_of_a_file_is_told_in_words(files: dict[str, Path], form: str, words: str, packed: bool) -> None:
    network = recognise(files[form]).network
    assert describe_storage(network).startswith(words) and describe_storage(network).endswith(" MB")
    assert is_packed(network) is packed


@pytest.mark.parametrize(
    ("form", "least"),
    [("Q8_0", 0.9999), ("Q4_0", 0.98), ("scaled_fp8", 0.998), ("int8 rows", 0.9998), ("convrot", 0.9998),
     ("mxfp8", 0.998), ("nvfp4", 0.98)],
)  # fmt: skip
def test_the_official_velocity_within_the_error_of_the_format(golden, form: str, least: float, tmp_path: Path) -> None:
    if form in quantised_files.KITCHEN:
        pytest.importorskip("comfy_kitchen", reason="comfy-kitchen, which writes this format, is not installed")
    state = load_file(golden.folder / "model.safetensors")
    path = tmp_path / "sft.safetensors"
    (tmp_path / "config.json").write_text((golden.folder / "config.json").read_text())
    if form in quantised_files.FORMS:
        quantised_files.write_quantised(path, state, form)
    else:
        path = quantised_files.write_gguf(path.with_suffix(".gguf"), state, form)
    network = load(path)
    inputs = golden.inputs
    with torch.no_grad():
        condition = network.encoder(
            inputs["text"][:1], inputs["text_mask"][:1].bool(), inputs["lyric"][:1], inputs["lyric_mask"][:1].bool(),
            inputs["ref"][:1], [0],
        )  # fmt: skip
    context = torch.cat([inputs["silence"][:, :101], torch.ones(1, 101, 64)], dim=-1)
    velocity, _ = Predictor(network, condition, context)(inputs["x"], 0.7, unconditional=False)
    expected = golden.outputs["v.cond.0.7"]
    assert least < F.cosine_similarity(velocity.flatten(), expected.flatten(), dim=0) < 1 - 1e-8


def test_a_weak_adapter_arrives_on_4_bit_weights() -> None:
    """A change of 1 % of the weight, within 2 %; rounded to four bits again it would be lost."""
    key = "decoder.layers.2.mlp.down_proj"
    original = load_file(GOLDEN / "xl_sft_tiny" / "model.safetensors")[f"{key}.weight"]
    changed = load_file(GOLDEN / "adapters" / "expected" / "peft_lora.safetensors")[f"s1.0.{key}.weight"]
    strength = 0.01 * float(original.norm() / (changed - original).norm())
    network = load(GOLDEN / "quantised" / "acestep-v15-xl-sft-tiny-Q4_0.gguf")
    layer = network.get_submodule(key)
    assert isinstance(layer, PackedLinear) and layer.stored_as == "Q4_0"
    attach(network, [Applied(read(GOLDEN / "adapters" / "files" / "peft_lora"), strength)])
    x = torch.randn(64, layer.in_features, generator=torch.Generator().manual_seed(0))
    change = network.get_submodule(key)(x) - layer(x)
    expected = strength * x @ (changed - original).T
    assert (change - expected).norm() < 0.02 * expected.norm()
