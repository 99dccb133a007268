"""Every quantised file of the golden folder gives the numbers that the libraries of its format give."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from acestep_xl.model.checkpoint import load_network
from acestep_xl.model.formats.contents import contents_of
from acestep_xl.model.formats.files import open_file
from acestep_xl.model.layouts import recognise
from acestep_xl.model.linear.packed import PackedLinear

# ComfyUI's formats were unpacked in bf16 arithmetic, which rounds two or three times.
ROUNDING, LARGEST = 2.5e-3, 2**-6
SUFFIXES = (".gguf", ".safetensors")


def quantised_files(golden: Path) -> list[Path]:
    folder = golden / "quantised" if (golden / "quantised").is_dir() else golden
    expected = {path.stem for path in (folder / "expected").glob("*.safetensors")}
    return [path for path in sorted(folder.iterdir()) if path.suffix in SUFFIXES and path.stem in expected]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "file" in metafunc.fixturenames:
        files = quantised_files(Path(str(metafunc.config.getoption("golden"))))
        metafunc.parametrize("file", files, ids=[path.stem for path in files])


def test_unpacked_weights_equal_the_libraries(file: Path) -> None:
    expected = load_file(file.parent / "expected" / f"{file.stem}.safetensors")
    tensors = open_file(file).fit({name: tuple(value.shape) for name, value in expected.items()})
    assert expected
    for name, value in expected.items():
        ours = tensors[name].float()
        assert ours.shape == value.shape
        if file.suffix == ".gguf":
            assert torch.equal(ours, value), name
        else:
            assert (ours - value).norm() <= ROUNDING * value.norm(), name
            torch.testing.assert_close(ours, value, rtol=LARGEST, atol=1e-7, msg=name)


def test_complete_checkpoints_load_with_packed_layers(file: Path) -> None:
    if contents_of(open_file(file).shapes()) != "network":
        pytest.skip("some layers only")
    network = load_network(recognise(file), torch.float32, torch.device("cpu"))
    expected = load_file(file.parent / "expected" / f"{file.stem}.safetensors")
    packed = 0
    for name in expected:
        layer = network.get_submodule(name.removesuffix(".weight"))
        packed += isinstance(layer, PackedLinear)
        weight = layer.dequantise() if isinstance(layer, PackedLinear) else layer.get_parameter("weight")
        assert (weight - expected[name]).norm() <= ROUNDING * expected[name].norm()
    assert packed or "BF16" in file.stem
