"""What adapters beside the weights cost: the matrix products of a layer of XL with 0, 1 and 3 LoRAs of rank 64.

python benchmarks/adapters.py [--tokens 750] [--rounds 5] [--device cpu] [--dtype float32] [--threads 1]

Attention and norms, which adapters leave alone, are left out: the share of a whole step is a little smaller.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from functools import partial

import machine
import torch
from checkpoints import XL
from torch import Tensor, nn

from acestep_xl.model.adapters.linear import AdaptedLinear
from acestep_xl.model.adapters.updates.low_rank import LowRank
from acestep_xl.model.config import from_official
from acestep_xl.model.transformer_layer import Layer

RANK = 64
TARGETS = {1: 1.06, 3: 1.18}  # of the time without adapters, on a CPU


def linear_layers(device: torch.device, dtype: torch.dtype) -> list[nn.Linear]:
    """All linear layers of one transformer layer, with random weights."""
    config = from_official(XL)
    with torch.device("meta"):
        parts = [part for part in Layer(config.decoder, config.norm_eps).modules() if isinstance(part, nn.Linear)]
    return [nn.Linear(p.in_features, p.out_features, p.bias is not None, device, dtype) for p in parts]


def adapted(layer: nn.Linear, count: int, dtype: torch.dtype) -> nn.Module:
    """The layer with so many LoRAs around it."""
    result: nn.Module = layer
    for position in range(count):
        down, up = torch.randn(RANK, layer.in_features) * 0.01, torch.randn(layer.out_features, RANK) * 0.01
        lora = LowRank(down.to(dtype), up.to(dtype), 1.0)
        result = AdaptedLinear(result, lora, 0.8, position=position, group="other")
    return result.to(layer.weight.device).requires_grad_(False)


def multiply(layers: list[nn.Module], inputs: list[Tensor]) -> None:
    for layer, x in zip(layers, inputs, strict=True):
        layer(x)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tokens", type=int, default=750, help="of a song, 12.5 a second")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--device", type=torch.device, default="cpu")
    parser.add_argument("--dtype", choices=["float32", "bfloat16"], default="float32")
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    dtype = getattr(torch, arguments.dtype)
    plain = linear_layers(arguments.device, dtype)
    inputs = [torch.randn(arguments.tokens, layer.in_features, device=arguments.device).to(dtype) for layer in plain]
    contestants: dict[str, Callable[[], object]] = {
        str(count): partial(multiply, [adapted(layer, count, dtype) for layer in plain], inputs) for count in (0, 1, 3)
    }
    with torch.no_grad():
        times = machine.in_turn(contestants, arguments.rounds, arguments.device)
    print(machine.describe())
    for count, elapsed in times.items():
        share = elapsed / times["0"]
        target = TARGETS.get(int(count))
        verdict = "" if target is None else f", target {target}: {'met' if share <= target else 'MISSED'}"
        print(f"{count} LoRAs: {1000 * elapsed:.1f} ms a layer, {share:.3f} of none{verdict}", flush=True)


if __name__ == "__main__":
    main()
