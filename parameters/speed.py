"""Speed and memory at a cost in fidelity or compile time. All off by default."""

from __future__ import annotations

from .kind import Parameter

SPEED = (
    Parameter(
        "weights",
        "CHOICE",
        "as loaded",
        "How the network's large weights are stored. int8 and fp8 take half the memory of bf16. dynamic also "
        "multiplies in 8 bits, which is faster on GPUs that support it, and less exact.",
        choices=("as loaded", "int8", "int8 dynamic", "fp8", "fp8 dynamic"),
    ),
    Parameter(
        "compile",
        "CHOICE",
        "off",
        "Compiles the network's layers with torch on their first run, which can take minutes. cuda graphs also "
        "avoids launching kernels one by one and needs an NVIDIA or AMD GPU.",
        choices=("off", "on", "cuda graphs"),
    ),
    Parameter(
        "step_cache",
        "FLOAT",
        0.0,
        "Skips most of the network at steps where its first layer changes by less than this fraction. 0 skips "
        "nothing and is exact; higher values are faster and less exact.",
        minimum=0.0,
        maximum=1.0,
        step=0.01,
    ),
)
