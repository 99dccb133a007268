"""Noise drawn during a run: independent per step, or a Brownian motion between levels."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from ..noise import next_seed

# Standard normal noise like x for the step from one level to another.
BrownianNoise = Callable[[Tensor, Tensor], Tensor]


def gaussian(x: Tensor, seed: int) -> Callable[[], Tensor]:
    """Independent noise from one generator on the device of x. On the CPU it starts from seed + 1, elsewhere from seed.

    Raises ValueError for the largest seed on the CPU.
    """
    device_seed = next_seed(seed) if x.device.type == "cpu" else seed
    generator = torch.Generator(x.device).manual_seed(device_seed)
    return lambda: torch.randn(x.shape, dtype=x.dtype, device=x.device, generator=generator)


def brownian(x: Tensor, sigmas: Tensor, seed: int, on_device: bool) -> BrownianNoise:
    """Increments of a Brownian motion over the levels, scaled to unit variance: equal however the levels are divided.

    on_device: draw on the device of x instead of the CPU. Needs the package torchsde, see ``find_problem``.
    """
    import torchsde  # optional

    start = torch.zeros_like(x, device=x.device if on_device else "cpu")
    lowest, highest = sigmas[sigmas > 0].min(), sigmas.max()
    tree = torchsde.BrownianTree(lowest, start, highest, entropy=seed)

    # torchsde rounds its ends to six decimals and warns of times beyond them.
    first, last = round(float(lowest), 6), round(float(highest), 6)

    def increment(sigma: Tensor, sigma_next: Tensor) -> Tensor:
        low, high = sorted(min(max(float(level), first), last) for level in (sigma, sigma_next))
        change = torch.as_tensor(tree(low, high)).to(x)
        return (-change if sigma_next < sigma else change) / (sigma_next - sigma).abs().sqrt()

    return increment
