"""Steps with 8-bit weights and with adapters that stay beside them."""

from __future__ import annotations

import json
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from safetensors.torch import save_file

from acestep_xl.model.adapters.attach import Applied, attach
from acestep_xl.model.adapters.read import read
from acestep_xl.model.compiled import GRAPHS, ON
from acestep_xl.model.linear.quantise import KINDS, convert, linear_layers, weight_bytes
from acestep_xl.model.network import AceStep, share

from .bench import Bench, cosine

COUNTS = (0, 1, 3)
NAMES = {ON: "compiled", GRAPHS: "cuda graphs"}


def eight_bits(bench: Bench) -> dict[str, Any]:
    """Seconds of a guided step in several ways, bytes of the weights, and the cosine with the full weights'."""
    seconds, network = bench.plan.songs[0], bench.pair.ours
    exact = bench.step(network, seconds)()[0]
    rows = {"as loaded": _ways(bench, network, seconds) | {"bytes": weight_bytes(network), "cosine": 1.0}}
    for kind in KINDS:
        small = convert(network, kind)
        velocity = bench.step(small, seconds)()[0]
        rows[kind] = _ways(bench, small, seconds)
        rows[kind] |= {"bytes": weight_bytes(small), "cosine": cosine(velocity, exact)}
    return rows


def _ways(bench: Bench, network: AceStep, seconds: float) -> dict[str, Any]:
    modes = (ON, GRAPHS) if bench.is_card else (ON,)
    times = bench.time({"eager": bench.step(network, seconds)})
    for mode in modes:  # alone: graphs that torch manages keep their outputs until the next step begins
        times |= bench.time({NAMES[mode]: bench.step(bench.compiled(network, mode), seconds)})
    return {"seconds": times}


def adapters(bench: Bench) -> dict[str, Any]:
    """Seconds of a guided step with LoRAs on every linear layer, over bf16 and over int8 weights."""
    rows = {}
    with TemporaryDirectory() as folder:
        path = _write_lora(Path(folder) / "adapter_model.safetensors", bench)
        bases = {"full": bench.pair.ours, "int8": convert(bench.pair.ours, "int8")}
        for name, network in bases.items():
            networks = {f"{count} adapters": _adapted(bench, network, path, count) for count in COUNTS}
            seconds = bench.plan.songs[0]
            eager = {count: bench.step(adapted, seconds) for count, adapted in networks.items()}
            compiled = {count: bench.step(bench.compiled(adapted, ON), seconds) for count, adapted in networks.items()}
            rows[name] = {"seconds": bench.time(eager)}
            rows[f"{name}, compiled"] = {"seconds": bench.time(compiled)}
    return rows


def _adapted(bench: Bench, network: AceStep, path: Path, count: int) -> AceStep:
    copy = share(network)
    if count:
        attach(copy, [Applied(read(path))] * count)
        copy.to(bench.device)
    return copy


def _write_lora(path: Path, bench: Bench) -> Path:
    """A LoRA in PEFT's layout for every linear layer of the transformer's layers."""
    draw, tensors = torch.Generator().manual_seed(2), {}
    for name, layer in linear_layers(bench.pair.ours):
        stem, rank = f"base_model.model.{name.removeprefix('decoder.')}", bench.plan.rank
        tensors[f"{stem}.lora_A.weight"] = torch.randn(rank, layer.in_features, generator=draw).bfloat16() * 0.02
        tensors[f"{stem}.lora_B.weight"] = torch.randn(layer.out_features, rank, generator=draw).bfloat16() * 0.02
    save_file(tensors, path)
    settings = {"peft_type": "LORA", "r": bench.plan.rank, "lora_alpha": bench.plan.rank, "target_modules": ["q_proj"]}
    (path.parent / "adapter_config.json").write_text(json.dumps(settings))
    return path
