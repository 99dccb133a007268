"""What holds for updates of any shape: stacking, strengths, and layers with 8-bit weights."""

from __future__ import annotations

import math

import pytest
import torch
from adapter_files import relative
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch._dynamo.testing import CompileCounterWithBackend

from acestep_xl.model.adapters.linear import AdaptedLinear, share_layer
from acestep_xl.model.adapters.updates.decomposed import Decomposed
from acestep_xl.model.adapters.updates.glora import GLoRA
from acestep_xl.model.adapters.updates.hadamard import Hadamard
from acestep_xl.model.adapters.updates.ia3 import IA3
from acestep_xl.model.adapters.updates.kronecker import Factor, Kronecker
from acestep_xl.model.adapters.updates.low_rank import LowRank
from acestep_xl.model.adapters.updates.rotation import BOFT, DiagonalOFT, InputOFT
from acestep_xl.model.adapters.updates.update import Update, merge
from acestep_xl.model.adapters.updates.whole import Difference, Replacement
from acestep_xl.model.linear.quantise import QuantisedLinear

ROWS, COLUMNS = 48, 32


def numbers(*shape: int, seed: int, size: float = 1.0) -> Tensor:
    return size * torch.randn(*shape, generator=torch.Generator().manual_seed(seed)) / math.sqrt(shape[-1])


def additive(kind: str, seed: int) -> Update:
    """An update of [ROWS COLUMNS] that is the same for every weight."""
    if kind == "lora":
        return LowRank(numbers(4, COLUMNS, seed=seed), numbers(ROWS, 4, seed=seed + 1), 1.5)
    if kind == "lokr":
        split = Factor(a=numbers(12, 2, seed=seed), b=numbers(2, 8, seed=seed + 1))
        return Kronecker(Factor(whole=numbers(4, 4, seed=seed + 2)), split, 0.5)
    if kind == "loha":
        sides = (Factor(a=numbers(ROWS, 3, seed=seed + i), b=numbers(3, COLUMNS, seed=seed + 5 + i)) for i in (0, 1))
        return Hadamard(*sides, 2.0)
    return Difference(numbers(ROWS, COLUMNS, seed=seed))


def update(kind: str, seed: int) -> Update:
    """Any update of [ROWS COLUMNS]."""
    if kind.startswith("dora"):
        shape = (1, COLUMNS) if kind.endswith("in") else (ROWS, 1)
        return Decomposed(additive("lora", seed), 1 + 0.3 * numbers(*shape, seed=seed + 3).abs(), 1e-7)
    if kind == "glora":
        inner = LowRank(numbers(4, COLUMNS, seed=seed), numbers(COLUMNS, 4, seed=seed + 1), 0.5)
        outer = LowRank(numbers(4, COLUMNS, seed=seed + 2), numbers(ROWS, 4, seed=seed + 3), 0.5)
        return GLoRA(inner, outer)
    others: dict[str, Update] = {
        "ia3": IA3(numbers(ROWS, seed=seed), on_input=False),
        "ia3 in": IA3(numbers(COLUMNS, seed=seed), on_input=True),
        "oft": DiagonalOFT(numbers(6, 8, 8, seed=seed), 1 + numbers(ROWS, 1, seed=seed, size=0.1), 0.0),
        "boft": BOFT(numbers(2, 6, 8, 8, seed=seed, size=0.3), None, 0.001),
        "peft oft": InputOFT(numbers(4, 28, seed=seed), 8, None),
        "peft oft series": InputOFT(numbers(4, 28, seed=seed, size=0.1), 8, 5),
        "peft oft shared": InputOFT(numbers(1, 28, seed=seed, size=0.1), 8, 5, shared=True),
        "set": Replacement(numbers(ROWS, COLUMNS, seed=seed)),
    }
    return others[kind] if kind in others else additive(kind, seed)


ADDITIVE = st.sampled_from(["lora", "lokr", "loha", "full"])
KINDS = (
    *("lora", "lokr", "loha", "full", "dora", "dora in", "glora", "ia3", "ia3 in", "oft", "boft", "set"),
    *("peft oft", "peft oft series", "peft oft shared"),
)
STRENGTHS = st.floats(-10, 10, width=32)
WEIGHT = numbers(ROWS, COLUMNS, seed=99)


def linear(weight: Tensor = WEIGHT) -> nn.Linear:
    layer = nn.Linear(COLUMNS, ROWS)
    layer.weight.data.copy_(weight)
    return layer.requires_grad_(False)


def stacked(base: nn.Module, *updates: tuple[Update, float]) -> nn.Module:
    for position, (change, strength) in enumerate(updates):
        base = AdaptedLinear(base, change, strength, position=position, group="mlp")
    return base


@settings(deadline=None)
@given(ADDITIVE, ADDITIVE, STRENGTHS, STRENGTHS)
def test_additive_updates_commute(first: str, second: str, s: float, t: float) -> None:
    a, b = additive(first, 1), additive(second, 20)
    torch.testing.assert_close(merge(WEIGHT, [(a, s), (b, t)]), merge(WEIGHT, [(b, t), (a, s)]), atol=1e-4, rtol=1e-5)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_strength_zero_is_the_identity_bit_for_bit(kind: str, dtype: torch.dtype) -> None:
    layer, x = linear().to(dtype), numbers(3, 5, COLUMNS, seed=4).to(dtype)
    assert torch.equal(merge(layer.weight, [(update(kind, 1), 0.0)]), layer.weight.float())
    assert torch.equal(stacked(layer, (update(kind, 1), 0.0))(x), layer(x))


@settings(deadline=None)
@given(st.lists(st.tuples(st.sampled_from(KINDS), st.floats(-2, 2, width=32)), min_size=1, max_size=4))
def test_a_stack_beside_the_layer_is_the_merged_stack(kinds: list[tuple[str, float]]) -> None:
    updates = [(update(kind, 10 * i), strength) for i, (kind, strength) in enumerate(kinds)]
    layer, x = linear(), numbers(2, 7, COLUMNS, seed=5)
    merged = nn.functional.linear(x, merge(WEIGHT, updates), layer.bias)
    assert relative(stacked(layer, *updates)(x), merged) < 1e-4


@pytest.mark.parametrize("kind", KINDS)
def test_a_copy_computes_the_same_and_keeps_its_strength(kind: str) -> None:
    layer, x = stacked(linear(), (update("lora", 3), 0.5), (update(kind, 1), 0.7)), numbers(2, 7, COLUMNS, seed=5)
    copy, before = share_layer(layer), layer(x)
    assert isinstance(copy, AdaptedLinear) and torch.equal(copy(x), before)
    assert copy.set_strength(0.0) and not copy.set_strength(0.0)
    assert torch.equal(layer(x), before) and not torch.equal(copy(x), before)


@pytest.mark.parametrize("kind", ["int8", "fp8"])
@pytest.mark.parametrize("form", ["lora", "lokr", "loha", "full", "dora", "glora", "ia3", "oft", "peft oft"])
def test_a_weak_adapter_arrives_on_8_bit_weights(kind: str, form: str) -> None:
    """A change of 1 % of the weight, within 2 %; merged into these weights most of it is lost."""
    strong = update(form, 1)
    weight = numbers(ROWS, COLUMNS, seed=99)
    full = (merge(weight, [(strong, 1.0)]) - weight).norm() / weight.norm()
    strength = 0.01 / float(full)
    layer = QuantisedLinear.from_linear(linear(weight), kind)
    x = numbers(64, COLUMNS, seed=6)
    change = stacked(layer, (strong, strength))(x) - layer(x)
    rounded = layer.dequantise()
    expected = x @ (merge(rounded, [(strong, strength)]) - rounded).T
    assert relative(change, expected) < 0.02
    exact = merge(weight, [(strong, strength)])
    assert relative(change, x @ (exact - weight).T) < 0.05
    requantised = QuantisedLinear.from_linear(linear(merge(rounded, [(strong, strength)])), kind).dequantise()
    assert relative(x @ (requantised - rounded).T, expected) > 0.2


@pytest.mark.parametrize("form", ["lora", "lokr", "full", "dora", "oft", "peft oft"])
def test_a_weak_adapter_arrives_in_bf16(form: str) -> None:
    strong, x = update(form, 1), numbers(512, COLUMNS, seed=6).bfloat16()
    strength = 0.01 / float((merge(WEIGHT, [(strong, 1.0)]) - WEIGHT).norm() / WEIGHT.norm())
    layer = QuantisedLinear.from_linear(linear().bfloat16(), "int8")
    change = stacked(layer, (strong, strength))(x).float() - layer(x).float()
    rounded = layer.dequantise().float()
    expected = x.float() @ (merge(rounded, [(strong, strength)]) - rounded).T
    # Outputs of bf16 are too coarse to show so small a change in each; their projection on it is not.
    assert float((change * expected).sum() / expected.square().sum()) == pytest.approx(1.0, abs=0.02)


def test_new_strengths_need_no_new_compilation() -> None:
    counter = CompileCounterWithBackend("aot_eager")
    layer = AdaptedLinear(stacked(linear(), (update("lora", 1), 1.0)), update("dora", 5), 1.0, position=1, group="mlp")
    compiled, x = torch.compile(layer, backend=counter, dynamic=True), numbers(2, 7, COLUMNS, seed=5)
    for strength in (1.0, 0.5, 0.0, -2.0):
        layer.set_strength(strength)
        torch.testing.assert_close(compiled(x), layer(x))
    assert counter.frame_count == 1
