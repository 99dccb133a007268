"""Load time and memory of full-size quantised files, and what unpacking their weights costs in each step.

python benchmarks/quantised_files.py [--formats Q8_0 fp8] [--layers 32] [--device cuda] [--folder DIR] [--tokens 1500]

Writes each file with random weights, loads it in a process of its own, reads every weight once, and reports the time
and the peak of memory over the size of the file. Then times a layer's matrix products with packed, int8 and bf16
weights; "unpack" is the part of packed ones that makes the weights.
"""

from __future__ import annotations

import argparse
import json
import math
import multiprocessing
import struct
import tempfile
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path

import machine
import numpy as np
import torch
from checkpoints import XL, Shapes, drop_from_cache, shapes_of
from torch import Tensor, nn

from acestep_xl.model.checkpoint import load_network
from acestep_xl.model.config import from_official
from acestep_xl.model.formats.ggml_codecs import BLOCK_FORMATS, codec_of
from acestep_xl.model.formats.packed import Packed
from acestep_xl.model.formats.scaled_codecs import scaled
from acestep_xl.model.layouts import recognise
from acestep_xl.model.linear.frozen import FrozenLinear
from acestep_xl.model.linear.packed import PackedLinear
from acestep_xl.model.linear.quantise import QuantisedLinear
from acestep_xl.model.transformer_layer import Layer

ROUNDS = 5
LARGEST_SHARE = 1.15  # of the file, the target for the peak


def write_file(folder: Path, name: str, config: dict[str, object]) -> Path:
    """A checkpoint with random weights in a block format of GGUF, or in fp8 with scales."""
    write = write_fp8 if name == "fp8" else write_gguf
    return write(folder, name, config)


def write_gguf(folder: Path, name: str, config: dict[str, object]) -> Path:
    import gguf

    path = folder / f"acestep-v15-xl-sft-{name}.gguf"
    writer = gguf.GGUFWriter(path, "acestep-dit")
    writer.add_string("acestep.config_json", json.dumps({**config, "model_type": "acestep", "model_version": "sft"}))
    shapes = shapes_of(config)
    kinds = {key: _kind_of(shape, name) for key, shape in shapes.items()}
    for key, shape in shapes.items():
        kind = gguf.GGMLQuantizationType[kinds[key]]
        rows = gguf.quants.quant_shape_to_byte_shape(shape, kind)
        writer.add_tensor_info(key, rows, np.dtype("uint8"), math.prod(rows), kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_ti_data_to_file()
    draw = torch.Generator().manual_seed(0)
    for key, shape in shapes.items():
        writer.write_tensor_data(random_bytes(shape, kinds[key], draw).numpy())
    writer.close()
    return path


def _kind_of(shape: tuple[int, ...], name: str) -> str:
    return name if len(shape) == 2 and shape[-1] % BLOCK_FORMATS[name].numbers == 0 else "BF16"


def random_bytes(shape: tuple[int, ...], kind: str, draw: torch.Generator) -> Tensor:
    """Rows of blocks with random codes, whose scales in fp16 are small numbers."""
    if kind == "BF16":
        return (torch.randn(shape, generator=draw) * 0.02).bfloat16().view(torch.uint8).contiguous()
    block_format = BLOCK_FORMATS[kind]
    blocks = math.prod(shape) // block_format.numbers
    data = torch.randint(0, 60, (blocks, block_format.bytes), dtype=torch.uint8, generator=draw)
    scale = torch.full((blocks, 1), 0.001, dtype=torch.float16).view(torch.uint8)
    first = block_format.bytes - 2 if kind.endswith("_K") and kind in ("Q3_K", "Q6_K") else 0
    data[:, first : first + 2] = scale
    return data.view(*shape[:-1], -1)


def write_fp8(folder: Path, name: str, config: dict[str, object]) -> Path:
    """ComfyUI's older form: the transformer's projections in fp8 with a scale each, the rest in bf16."""
    path = folder / "acestep_v1.5_xl_sft_fp8_scaled.safetensors"
    shapes = shapes_of(config)
    header, end = {}, 0
    for key, dtype, shape in _fp8_tensors(shapes):
        start, end = end, end + math.prod(shape) * {"F8_E4M3": 1, "BF16": 2, "F32": 4}[dtype]
        header[key] = {"dtype": dtype, "shape": list(shape), "data_offsets": [start, end]}
    raw = json.dumps(header).encode()
    raw += b" " * (-len(raw) % 8)
    draw = torch.Generator().manual_seed(0)
    with path.open("wb") as file:
        file.write(struct.pack("<Q", len(raw)) + raw)
        for _, dtype, shape in _fp8_tensors(shapes):
            values = torch.randn(shape, generator=draw) * 0.02 if shape else torch.tensor(0.001)
            torch_dtype = {"F8_E4M3": torch.float8_e4m3fn, "BF16": torch.bfloat16, "F32": torch.float32}[dtype]
            file.write(values.to(torch_dtype).flatten().view(torch.uint8).numpy().tobytes())
    return path


def _fp8_tensors(shapes: Shapes) -> Iterator[tuple[str, str, tuple[int, ...]]]:
    for key, shape in shapes.items():
        is_projection = key.startswith("decoder.layers.") and key.endswith("_proj.weight")
        yield key, "F8_E4M3" if is_projection else "BF16", shape
        if is_projection:
            yield key.replace(".weight", ".scale_weight"), "F32", ()


def load_and_read(path: Path, device: str) -> tuple[float, float]:
    """Seconds to load a file onto a device, and the peak of the process over the file's size while every weight is
    read once."""
    before = machine.memory()["VmRSS"]
    networks: list[nn.Module] = []

    def load() -> None:
        networks.append(load_network(recognise(path), torch.bfloat16, torch.device(device)).to(device))

    elapsed = machine.seconds(load, torch.device(device))
    for tensor in networks[0].state_dict().values():
        tensor.contiguous().flatten().view(torch.uint8).sum()
    return elapsed, (machine.memory()["VmHWM"] - before) / path.stat().st_size


def step_costs(name: str, config: dict[str, object], tokens: int, device: torch.device) -> dict[str, float]:
    """Seconds for a layer's matrix products over so many tokens, with each kind of weights, and to unpack them."""
    sizes = from_official(config)
    with torch.device("meta"):
        shapes = [
            tuple(part.weight.shape)
            for part in Layer(sizes.decoder, sizes.norm_eps).modules()
            if isinstance(part, nn.Linear)
        ]
    plain = [_linear(shape, device) for shape in shapes]
    frozen: dict[str, Sequence[FrozenLinear]] = {
        "int8": [QuantisedLinear.from_linear(layer, "int8") for layer in plain],
        name: [PackedLinear(random_packed(shape, name, device), None, torch.bfloat16) for shape in shapes],
    }
    inputs = [torch.randn(tokens, shape[1], device=device).bfloat16() for shape in shapes]

    def multiply(layers: Sequence[nn.Linear]) -> None:
        for layer, x in zip(layers, inputs, strict=True):
            layer(x)

    def unpack(layers: Sequence[FrozenLinear]) -> None:
        for layer in layers:
            layer.dequantise()

    groups: dict[str, Sequence[nn.Linear]] = {"bf16": plain, **frozen}
    contestants: dict[str, Callable[[], object]] = {key: partial(multiply, layers) for key, layers in groups.items()}
    contestants |= {f"unpack {key}": partial(unpack, layers) for key, layers in frozen.items()}
    with torch.no_grad():
        return machine.in_turn(contestants, ROUNDS, device)


def _linear(shape: tuple[int, ...], device: torch.device) -> nn.Linear:
    layer = nn.Linear(shape[1], shape[0], bias=False, device=device, dtype=torch.bfloat16)
    return layer.requires_grad_(False)


def random_packed(shape: tuple[int, ...], name: str, device: torch.device) -> Packed:
    draw = torch.Generator().manual_seed(0)
    if name == "fp8":
        values = torch.randn(shape, generator=draw).to(torch.float8_e4m3fn)
        return Packed(scaled("fp8 scaled"), values, {"scale": torch.tensor(0.001)}, shape).to(device)
    tables = BLOCK_FORMATS[name].tables(name)
    return Packed(codec_of(name), random_bytes(shape, name, draw), tables, shape).to(device)


def measure(name: str, arguments: argparse.Namespace, folder: Path) -> str:
    config, device = XL | {"num_hidden_layers": arguments.layers}, arguments.device
    costs = step_costs(name, config, arguments.tokens, torch.device(device))
    path = write_file(folder, name, config)
    drop_from_cache(path)
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        elapsed, share = pool.apply(load_and_read, (path, device))
    times = ", ".join(f"{key} {1000 * value:.2f} ms" for key, value in costs.items())
    verdict = "" if share <= LARGEST_SHARE else f" MISSED {LARGEST_SHARE}"
    size = path.stat().st_size / machine.GB
    path.unlink()
    return f"{name}: {size:.2f} GB, loaded in {elapsed:.2f} s, peak {share:.2f} of the file{verdict}; a layer: {times}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--formats", nargs="+", default=["Q8_0", "fp8"], choices=["fp8", *BLOCK_FORMATS])
    parser.add_argument("--layers", type=int, default=XL["num_hidden_layers"], help="of the transformer, for less")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--tokens", type=int, default=1500, help="of a song, 12.5 a second")
    parser.add_argument("--folder", type=Path, help="where the files are written for a while")
    arguments = parser.parse_args()
    print(machine.describe())
    with tempfile.TemporaryDirectory(dir=arguments.folder) as folder:
        for name in arguments.formats:
            print(measure(name, arguments, Path(folder)), flush=True)


if __name__ == "__main__":
    main()
