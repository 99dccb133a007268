"""Integrals of polynomials through earlier values: what multistep solvers are made of."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor


def weights(nodes: Sequence[float], moments: Sequence[float]) -> list[float]:
    """The weights that integrate exactly every polynomial through values at the nodes, one weight per node.

    moments: the integrals of 1, s, s^2, ...; as many as there are nodes. The nodes must differ.
    """
    result = []
    for i, node in enumerate(nodes):
        basis = [1.0]  # coefficients of the polynomial that is 1 at this node and 0 at the others
        for other in (*nodes[:i], *nodes[i + 1 :]):
            raised, lowered = [0.0, *basis], [*basis, 0.0]
            basis = [(a - other * b) / (node - other) for a, b in zip(raised, lowered, strict=True)]
        result.append(sum(c * m for c, m in zip(basis, moments, strict=True)))
    return result


def combine(factors: Sequence[float], values: Sequence[Tensor]) -> Tensor:
    """The sum of the values, each times its factor."""
    total = factors[0] * values[0]
    for factor, value in zip(factors[1:], values[1:], strict=True):
        total = total + factor * value
    return total
