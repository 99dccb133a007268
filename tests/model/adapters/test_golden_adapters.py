"""Adapters that the real libraries wrote: what they make of a weight, merged and unmerged.

The files come from the folder that `--golden` names. An expectation is the effective weight at strength 1. That at 0.6
is taken for what is additive, where all libraries agree; anything else is `W + s (W' - W)`.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from acestep_xl.model.adapters.adapter import Adapter
from acestep_xl.model.adapters.fit import check_fit
from acestep_xl.model.adapters.linear import AdaptedLinear
from acestep_xl.model.adapters.read import read
from acestep_xl.model.adapters.sizes import parameter_shapes
from acestep_xl.model.adapters.updates.update import merge
from acestep_xl.model.config import Config, from_official

DEFAULT = Path(__file__).parents[2] / "golden"
TOLERANCE = 1e-5


def golden_folder(config: pytest.Config) -> Path:
    return config.getoption("golden")  # pyright: ignore[reportReturnType]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "golden_file" in metafunc.fixturenames:
        folder = golden_folder(metafunc.config)
        files = sorted((folder / "adapters" / "files").iterdir())
        metafunc.parametrize("golden_file", files, ids=[file.stem for file in files])


@pytest.fixture(scope="module")
def checkpoint(request: pytest.FixtureRequest) -> Path:
    """The tiny XL checkpoint that the adapters were made for."""
    folder = golden_folder(request.config) / "xl_sft_tiny"
    return folder if (folder / "model.safetensors").is_file() else DEFAULT / "xl_sft_tiny"


@pytest.fixture(scope="module")
def config(checkpoint: Path) -> Config:
    return from_official(json.loads((checkpoint / "config.json").read_text()))


@pytest.fixture(scope="module")
def weights(checkpoint: Path) -> dict[str, Tensor]:
    return load_file(checkpoint / "model.safetensors")


def expected_weights(golden_file: Path) -> dict[str, Tensor]:
    """The expectation of a file, or of the one that it is another form of."""
    folder = golden_file.parents[1] / "expected"
    shared = json.loads((folder / "shared.json").read_text())
    name = shared.get(golden_file.stem, golden_file.stem)
    return load_file(folder / f"{name}.safetensors")


def updates_of(adapter: Adapter, parameter: str, strength: float) -> list[tuple]:
    return [(entry.update, strength) for entry in adapter.entries if entry.parameter == parameter]


def relative_error(value: Tensor, expected: Tensor, weight: Tensor) -> float:
    """The error of a weight over its change."""
    return float((value - expected).norm() / (expected - weight).norm())


def test_merged_weights_are_those_of_the_real_library(
    golden_file: Path, config: Config, weights: dict[str, Tensor]
) -> None:
    adapter = read(golden_file)
    check_fit([adapter], config, "XL")
    expected = expected_weights(golden_file)
    whole = {key[5:]: value for key, value in expected.items() if key.startswith("s1.0.")}
    assert whole
    for parameter, value in whole.items():
        weight = weights[parameter]
        error = relative_error(merge(weight, updates_of(adapter, parameter, 1.0)), value, weight)
        assert error < TOLERANCE, (parameter, error)


def test_a_strength_scales_the_change(golden_file: Path, weights: dict[str, Tensor]) -> None:
    adapter, expected = read(golden_file), expected_weights(golden_file)
    for parameter in (key[5:] for key in expected if key.startswith("s1.0.")):
        weight, whole = weights[parameter], expected[f"s1.0.{parameter}"]
        updates = updates_of(adapter, parameter, 0.6)
        additive = all(update.is_additive for update, _ in updates)
        replaced = any(update.kind == "set weight" for update, _ in updates)
        if f"s0.6.{parameter}" in expected and (additive or replaced):
            partial = expected[f"s0.6.{parameter}"]
        else:
            partial = weight + 0.6 * (whole - weight)
        error = relative_error(merge(weight, updates), partial, weight)
        assert error < TOLERANCE, (parameter, error)


@pytest.mark.parametrize("strength", [1.0, 0.6, -2.5])
def test_unmerged_layers_compute_what_merged_ones_do(
    golden_file: Path, config: Config, weights: dict[str, Tensor], strength: float
) -> None:
    adapter, shapes = read(golden_file), parameter_shapes(config)
    for entry in adapter.entries:
        weight = weights[entry.parameter]
        if len(shapes[entry.parameter]) != 2:
            continue
        base = nn.Linear(weight.shape[1], weight.shape[0])
        base.weight.data.copy_(weight)
        inputs = torch.randn(2, 7, weight.shape[1], generator=torch.Generator().manual_seed(1))
        adapted = AdaptedLinear(base, entry.update, strength, position=0, group=entry.group)
        merged = nn.functional.linear(inputs, merge(weight, [(entry.update, strength)]), base.bias)
        with torch.no_grad():
            error = float((adapted(inputs) - merged).norm() / merged.norm())
        assert error < TOLERANCE, (entry.parameter, error)
