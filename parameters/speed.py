"""What makes a run faster or smaller at a cost in fidelity or in time to compile. All of it is off by default."""

from __future__ import annotations

from .kind import Parameter

SPEED = (
    Parameter(
        "weights",
        "CHOICE",
        "as loaded",
        "How the network's large weights are kept. int8 and fp8 take half the memory of bf16. dynamic also multiplies "
        "in 8 bits, which is faster on cards that can and less exact.",
        choices=("as loaded", "int8", "int8 dynamic", "fp8", "fp8 dynamic"),
    ),
    Parameter(
        "compile",
        "CHOICE",
        "off",
        "Lets torch compile the network's layers when they first run, which takes up to minutes. cuda graphs also "
        "saves launching kernels one by one and needs an NVIDIA or AMD card.",
        choices=("off", "on", "cuda graphs"),
    ),
    Parameter(
        "step_cache",
        "FLOAT",
        0.0,
        "Skips most of the network at steps where its first layer changes by less than this share. 0 skips nothing and "
        "is exact; larger is faster and less exact.",
        minimum=0.0,
        maximum=1.0,
        step=0.01,
    ),
)
