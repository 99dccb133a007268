"""8-bit weights: their error, and what a layer and a network compute with them."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from predictions import predict
from torch import Tensor, nn

from acestep_xl.model import random_network
from acestep_xl.model.checkpoint import first_damaged
from acestep_xl.model.linear import quantise
from acestep_xl.model.linear.quantise import KINDS, MAX_VALUES, QuantisedLinear, convert, quantise_rows
from acestep_xl.model.network import share

DTYPES = [torch.int8, torch.float8_e4m3fn]


def matrix(rows: int, columns: int, seed: int, spread: float = 1.0) -> Tensor:
    draw = torch.Generator().manual_seed(seed)
    return torch.randn(rows, columns, generator=draw) * torch.logspace(-spread, spread, rows)[:, None]


def linear(rows: int = 24, columns: int = 40, seed: int = 0, dtype: torch.dtype = torch.float32) -> nn.Linear:
    layer = nn.Linear(columns, rows)
    layer.weight.data = matrix(rows, columns, seed)
    return layer.to(dtype).requires_grad_(False)


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 9), st.integers(1, 33), st.integers(0, 10**6), st.floats(0, 12), st.sampled_from(DTYPES))
def test_no_element_exceeds_the_error_bound_of_its_dtype(
    rows: int, columns: int, seed: int, spread: float, dtype: torch.dtype
) -> None:
    values = matrix(rows, columns, seed, spread)
    weights, scale = quantise_rows(values, dtype)
    error = (weights.double() * scale.double() - values.double()).abs()
    half = scale.double() / 2 if dtype == torch.int8 else torch.maximum(values.abs() / 16, scale / 1024).double()
    assert (error <= half * (1 + 1e-5)).all()
    least = values.abs().amax(1, keepdim=True) / MAX_VALUES[dtype]
    assert (least <= scale).all() and (scale <= least * (1 + 2**-7) * (1 + 1e-6)).all()
    assert torch.equal(scale.bfloat16().float(), scale), "bf16 represents every scale exactly"


@pytest.mark.parametrize("dtype", DTYPES)
def test_rows_of_zeros_and_damaged_rows(dtype: torch.dtype) -> None:
    values = torch.tensor([[0.0, 0.0], [1.0, float("nan")], [float("inf"), 2.0], [-3.0, 1.0]])
    weights, scale = quantise_rows(values, dtype)
    assert torch.equal(weights[0].float(), torch.zeros(2)) and scale[0] == 1
    assert not torch.isfinite(scale[1:3]).any() and torch.isfinite(scale[3]).all()


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("kind", ["int8", "fp8"])
def test_weight_only_is_a_plain_layer_with_the_dequantised_weight(kind: str, dtype: torch.dtype) -> None:
    layer = linear(dtype=dtype)
    quantised, x = QuantisedLinear.from_linear(layer, kind), matrix(7, 40, 3).to(dtype)
    expected = quantised.weight.to(dtype) * quantised.scale.to(dtype)
    assert torch.equal(quantised.dequantise(), expected) and quantised.dequantise().dtype == dtype
    assert torch.equal(quantised(x), F.linear(x, expected, layer.bias))
    assert quantised.weight.element_size() == 1 and quantised.weight.shape == layer.weight.shape


@pytest.mark.parametrize("shape", [(1, 40), (5, 40), (2, 9, 40), (3, 1, 40)])
@pytest.mark.parametrize("kind", ["int8 dynamic", "fp8 dynamic"])
def test_dynamic_layer_follows_its_formula(kind: str, shape: tuple[int, ...]) -> None:
    layer = linear()
    quantised = QuantisedLinear.from_linear(layer, kind)
    x = torch.randn(shape, generator=torch.Generator().manual_seed(4))
    rows, row_scale = quantise_rows(x.reshape(-1, 40), KINDS[kind][0])
    product = rows.double() @ quantised.weight.double().T
    exact = product * row_scale.double() * quantised.scale.double().T + layer.bias.double()
    torch.testing.assert_close(quantised(x).double(), exact.reshape(*shape[:-1], 24), rtol=1e-5, atol=1e-5)
    assert not torch.equal(quantised(x), layer(x))


def test_int8_sums_are_exact_where_float32_would_round() -> None:
    a, b = torch.full((2, 9728), 127, dtype=torch.int8), torch.full((8, 9728), 127, dtype=torch.int8)
    b[:, -1] = 126
    for cpu_is_exact in {False, quantise.cpu_sums_are_exact()}:
        product = quantise.int8_product(a, b, cpu_is_exact)
        assert product.tolist() == [[127 * 127 * 9727 + 127 * 126] * 8] * 2


@pytest.mark.parametrize("kind", ["int8", "fp8"])
def test_weights_equal_torchaos(kind: str) -> None:
    quantization = pytest.importorskip("torchao.quantization", reason="torchao, the reference, is not installed")
    configs = {"int8": quantization.Int8WeightOnlyConfig, "fp8": quantization.Float8WeightOnlyConfig}
    layer = nn.Linear(64, 32, bias=False).requires_grad_(False)
    layer.weight.data = matrix(32, 64, 9)
    ours = QuantisedLinear.from_linear(layer, kind).dequantise()
    theirs = nn.Linear(64, 32, bias=False).requires_grad_(False)
    theirs.weight.data = layer.weight.clone()
    quantization.quantize_(theirs, configs[kind]())
    error, reference = ((w - layer.weight).norm() for w in (ours, theirs(torch.eye(64)).T))
    # Ours rounds the scale up to 8 bits, 1/128 at most.
    assert 0 < error <= 1.1 * reference


@pytest.mark.parametrize("kind", KINDS)
def test_converting_leaves_the_network_unchanged_and_shares_the_rest(kind: str) -> None:
    network = random_network.network()
    before, expected = {k: v.clone() for k, v in network.state_dict().items()}, predict(network)
    copy = convert(network, kind)
    assert all(torch.equal(v, before[k]) for k, v in network.state_dict().items())
    assert torch.equal(predict(network), expected)
    changed = {f"{name}.weight" for name, _ in quantise.linear_layers(network)}
    assert len(changed) == 11 * random_network.CONFIG.decoder_layers
    ours, theirs = copy.state_dict(), network.state_dict()
    for name, value in theirs.items():
        assert (ours[name].data_ptr() == value.data_ptr()) == (name not in changed), name
    assert set(ours) - set(theirs) == {name.replace(".weight", ".scale") for name in changed}
    copy.to(torch.bfloat16)
    assert copy.decoder.norm_out.weight.dtype == torch.bfloat16
    assert network.decoder.norm_out.weight.dtype == torch.float32, "one moves without the other"


@pytest.mark.parametrize(
    ("kind", "least"), [("int8", 0.999), ("int8 dynamic", 0.998), ("fp8", 0.99), ("fp8 dynamic", 0.99)]
)
def test_velocities_stay_close(kind: str, least: float) -> None:
    network = random_network.network()
    exact, near = predict(network), predict(convert(network, kind))
    assert least < F.cosine_similarity(exact.flatten(), near.flatten(), dim=0) < 1 - 1e-9


def test_a_shared_copy_computes_the_same_bits_and_keeps_8_bit_weights() -> None:
    network = random_network.network()
    assert torch.equal(predict(share(network)), predict(network))
    small = convert(network, "int8")
    again = share(small)
    assert torch.equal(predict(again), predict(small))
    assert again.state_dict()["decoder.layers.0.mlp.up_proj.weight"].dtype == torch.int8
    with pytest.raises(ValueError, match="8 bits already; connect it to the loader"):
        convert(small, "fp8")


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_networks_convert(dtype: torch.dtype) -> None:
    from acestep_xl.model.precision import network_dtypes

    network, dtype_of = random_network.network(), network_dtypes(dtype)
    for name, value in network.named_parameters():
        value.data = value.data.to(dtype_of(name))
    for kind in KINDS:
        exact, near = predict(network), predict(convert(network, kind))
        assert F.cosine_similarity(exact.flatten(), near.flatten(), dim=0) > 0.985, kind


def test_a_damaged_weight_is_still_detected() -> None:
    network = random_network.network()
    network.get_parameter("decoder.layers.1.mlp.up_proj.weight")[3, 5] = float("nan")
    for kind in KINDS:
        assert first_damaged(convert(network, kind)) == "decoder.layers.1.mlp.up_proj.scale"
    assert first_damaged(convert(random_network.network(), "fp8")) is None


def test_errors_name_the_choices() -> None:
    with pytest.raises(ValueError, match=r"weights = 'int4' is unknown; allowed: as loaded, int8, int8 dynamic, fp8"):
        convert(random_network.network(), "int4")
    with pytest.raises(ValueError, match="weights = fp8 runs on cuda and cpu, and this device is mps; choose int8"):
        quantise.check("fp8", torch.device("mps"))
    quantise.check("int8", torch.device("mps"))
