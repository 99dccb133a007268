"""Step weights of DEIS: integrals over the time of a variance-preserving SDE, as diff-sampler tabulates them."""

from __future__ import annotations

import torch
from torch import Tensor

# The SDE whose noise levels run from 0.002 to 80 between the times 0.001 and 1.
_SIGMA_MIN, _SIGMA_MAX, _FIRST_TIME = 0.002, 80.0, 1e-3
# ComfyUI sums this many points per step, and its samples differ visibly from the exact integral's.
_POINTS = 10000


def deis_weights(sigmas: Tensor, max_order: int) -> list[list[float]]:
    """For every step the weights of its last ``min(step + 1, max_order)`` slopes, newest first."""
    beta_min, beta_max = _betas()
    times = _times(sigmas, beta_min, beta_max - beta_min)
    result = [[float(sigmas[i + 1] - sigmas[i])] for i in range(min(1, len(sigmas) - 1))]
    for i in range(1, len(sigmas) - 1):
        nodes = times[i - min(i, max_order - 1) : i + 1].flip(0)
        result.append(_weights(times[i], times[i + 1], nodes, beta_min, beta_max))
    return result


def _betas() -> tuple[Tensor, Tensor]:
    lowest = torch.log(torch.tensor(_SIGMA_MIN) ** 2 + 1)
    highest = torch.log(torch.tensor(_SIGMA_MAX) ** 2 + 1)
    beta_d = 2 * (lowest / _FIRST_TIME - highest) / (_FIRST_TIME - 1)
    beta_min = highest - 0.5 * beta_d
    return beta_min, beta_d + beta_min


def _times(sigmas: Tensor, beta_min: Tensor, beta_d: Tensor) -> Tensor:
    return ((beta_min**2 + 2 * beta_d * (sigmas**2 + 1).log()).sqrt() - beta_min) / beta_d


def _weights(start: Tensor, end: Tensor, nodes: Tensor, beta_min: Tensor, beta_max: Tensor) -> list[float]:
    times = torch.linspace(float(start), float(end), _POINTS)
    # With alpha the squared data scale, the slope's factor is half of -d(log alpha)/dt over sqrt(alpha (1 - alpha)).
    alpha = torch.exp(-0.5 * times**2 * (beta_max - beta_min) - times * beta_min)
    factor = 0.5 * (times * (beta_max - beta_min) + beta_min) / torch.sqrt(alpha * (1 - alpha))
    return [
        float(torch.sum(factor * _lagrange(nodes, j, times)) * ((end - start) / _POINTS)) for j in range(len(nodes))
    ]


def _lagrange(nodes: Tensor, j: int, times: Tensor) -> Tensor:
    product = torch.ones_like(times)
    for k, node in enumerate(nodes):
        if k != j:
            product = product * ((times - node) / (nodes[j] - node))
    return product
