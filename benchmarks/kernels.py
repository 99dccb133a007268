"""How many kernels a guided step launches on a card, and the bytes they move, counted without a card:

    python benchmarks/kernels.py [--report FOLDER]

XL's width on fake CUDA tensors in bf16, which have shapes but no data, with two layers (a sliding and a full one) and
with four: the difference is that of two layers. Every operation that torch dispatches and that computes counts as a
launch, views and allocations do not. torch's windowed attention counts as one, although on a card it also fills two
numbers of its result. Writes `kernels.md`.
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from contextlib import ExitStack
from datetime import date
from typing import Any
from unittest.mock import patch

import reports
import torch
from checkpoints import XL
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from acestep_xl.model import attention
from acestep_xl.model.condition import Condition
from acestep_xl.model.config import from_official
from acestep_xl.model.network import AceStep
from acestep_xl.model.predictor import Predictor
from acestep_xl.sampler.denoise import denoise
from acestep_xl.sampler.guidance import Guidance
from acestep_xl.sampler.schedule import linear
from acestep_xl.sampler.solver import euler

TARGET = 70  # launches of a sliding and a full layer
SECONDS, TOKENS = 60.0, 500
LAYERS = 2
# The same counts before 2026-11-28, when each layer cast its own tables, added its own modulation and copied halves.
BEFORE = {"layers": 100, "rest": 35, "step": 1635, "megabytes": 1226}
APG = Guidance("apg", 7.0, 0.0, 1.0, -0.75, 2.5, 0.0, 3.14 / 6, "standard")
LABELS = {
    "layers": "launches of a sliding and a full layer",
    "rest": "launches outside of the layers, guidance included",
    "step": "launches of all 32 layers and the rest",
    "megabytes": "megabytes moved by a sliding and a full layer outside of products and attention",
}
PRODUCTS = ("mm", "addmm", "bmm", "_varlen_attn", "_scaled_dot_product", "convolution")
NO_KERNEL = ("empty", "_to_copy.meta", "detach", "alias", "_unsafe_view", "new_empty", "empty_like")


class LaunchCounter(TorchDispatchMode):
    """Counts operations that compute, by name, and the bytes they read and write."""

    def __init__(self) -> None:
        super().__init__()
        self.launches: Counter[str] = Counter()
        self.moved: Counter[str] = Counter()
        self.synchronisations = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        name = func.overloadpacket.__name__
        self.synchronisations += name in ("_local_scalar_dense", "item", "nonzero")
        if func.namespace != "prim" and not func.is_view and name not in NO_KERNEL:
            self.launches[name] += 1
            tensors = [value for value in tree_leaves((args, kwargs, out)) if isinstance(value, Tensor)]
            self.moved[name] += sum(value.numel() * value.element_size() for value in tensors)
        return out

    def elementwise(self) -> int:
        """Bytes moved by everything but products and attention."""
        return sum(count for name, count in self.moved.items() if not name.startswith(PRODUCTS))


def flash_attention(q: Tensor, k: Tensor, v: Tensor, **_options: object) -> Tensor:
    """What a card takes for attention without a mask; without one torch would take its many-step formula."""
    return torch.ops.aten._scaled_dot_product_flash_attention(q, k, v)[0]


def fake_network(layers: int) -> AceStep:
    """XL with fewer layers, its weights fake tensors on a card."""
    with torch.device("meta"):
        network = AceStep(from_official({**XL, "num_hidden_layers": layers}), "sft").eval()
    for module in network.modules():
        for name, weight in module._parameters.items():
            if weight is not None:
                fake = torch.empty(weight.shape, device="cuda", dtype=torch.bfloat16)
                module._parameters[name] = torch.nn.Parameter(fake, requires_grad=False)
    return network


def count_run(layers: int, steps: int) -> LaunchCounter:
    """Count the steps of a guided run, its preparation not included."""
    counter = LaunchCounter()
    with ExitStack() as stack:
        # A card with FlashAttention, which no card here can say.
        stack.enter_context(patch.object(attention, "has_window_kernel", lambda device, dtype: True))
        stack.enter_context(patch.object(attention.F, "scaled_dot_product_attention", flash_attention))
        stack.enter_context(FakeTensorMode())
        stack.enter_context(torch.no_grad())
        network = fake_network(layers)
        with torch.device("cuda"):
            frames = round(25 * SECONDS)
            condition = Condition(torch.empty(1, TOKENS, XL["encoder_hidden_size"], dtype=torch.bfloat16), None)
            predictor = Predictor(network, condition, torch.empty(1, frames, 128, dtype=torch.bfloat16))
            noise = torch.empty(1, frames, 64)
        levels = linear(steps, 3.0)
        predictor.precompute_timesteps(levels)
        stack.enter_context(counter)
        denoise(predictor, noise, levels, guidance=APG, solver=euler)
    return counter


def report() -> str:
    """The counts as Markdown."""
    two, four, one_step = count_run(LAYERS, 2), count_run(2 * LAYERS, 2), count_run(LAYERS, 1)
    per_step = (four.launches - two.launches).total() / 2
    moved = (four.elementwise() - two.elementwise()) / 2
    rest = two.launches.total() - one_step.launches.total() - per_step
    kinds = (four.launches - two.launches).most_common()
    now = {"layers": per_step, "rest": rest, "step": 16 * per_step + rest, "megabytes": moved / 1e6}
    rows = [(LABELS[name], f"{BEFORE[name]:.0f}", f"{value:.0f}") for name, value in now.items()]
    verdict = "met" if per_step <= TARGET else "MISSED"
    return f"""# Kernels, {date.today()}

Counted on fake tensors by `python benchmarks/kernels.py`: a guided step of {SECONDS:g} s in XL's width, both halves in
one batch, bf16, not compiled.

{reports.table(("of a step", "before", "now"), rows)}

At most {TARGET} launches of a sliding and a full layer are the target: {verdict}. Synchronisations with the host in a
step, guidance included: {two.synchronisations - one_step.synchronisations}.

{reports.table(("operation", "launches in a sliding and a full layer"), [(n, f"{c / 2:g}") for n, c in kinds])}
"""


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(description="Count the kernels of a step.")
    reports.add_option(parser)
    reports.write(parser.parse_args(arguments).report, "kernels", report())
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
