"""Integrals of interpolating polynomials, for multistep solvers."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor


def weights(nodes: Sequence[float], moments: Sequence[float]) -> list[float]:
    """The quadrature weights, one per node, that are exact for the polynomial through values at the nodes.

    moments: the integrals of 1, s, s^2, ..., one per node. The nodes must differ.
    """
    result = []
    for i, node in enumerate(nodes):
        basis = [1.0]  # coefficients of the Lagrange polynomial, lowest power first
        for other in (*nodes[:i], *nodes[i + 1 :]):
            times_s, padded = [0.0, *basis], [*basis, 0.0]
            basis = [(a - other * b) / (node - other) for a, b in zip(times_s, padded, strict=True)]
        result.append(sum(c * m for c, m in zip(basis, moments, strict=True)))
    return result


def combine(factors: Sequence[float], values: Sequence[Tensor]) -> Tensor:
    """The linear combination of the values."""
    total = factors[0] * values[0]
    for factor, value in zip(factors[1:], values[1:], strict=True):
        total = total + factor * value
    return total
