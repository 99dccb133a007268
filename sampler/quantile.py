"""Quantiles of the beta distribution, for the schedule of that name."""

from __future__ import annotations

import math

_ITERATIONS = 300  # of loops that end earlier; the fraction needs about sqrt(max(a, b)) terms, Newton a dozen steps
_PRECISION = 1e-15


def beta_quantile(p: float, a: float, b: float) -> float:
    """The x in 0 .. 1 below which a beta(a, b) variable falls with probability p, 0 < p < 1; a, b above 0."""
    if p > 0.5:  # from the other end, where 1 - p and 1 - x are the small numbers and keep their digits
        return 1 - _lower_quantile(1 - p, b, a)
    return _lower_quantile(p, a, b)


def _lower_quantile(p: float, a: float, b: float) -> float:
    """Newton's method in ``w = x^a``, in which the probability is nearly straight at 0, held inside a bracket."""
    scale = a * _beta(a, b)
    low, high = 0.0, 1.0
    w = min(p * scale, 0.5)  # the first term of the series around 0
    for _ in range(_ITERATIONS):
        x = w ** (1 / a)
        error = _probability(x, a, b) - p
        low, high = (w, high) if error < 0 else (low, w)
        guess = w - error * scale * (1 - x) ** (1 - b) if x < 1 else high
        if not low < guess < high:
            guess = (low + high) / 2
        if abs(guess - w) <= _PRECISION * w:
            break
        w = guess
    return w ** (1 / a)


def _probability(x: float, a: float, b: float) -> float:
    """That a beta(a, b) variable lies below x: the regularised incomplete beta function."""
    if x <= 0 or x >= 1:
        return float(x >= 1)
    if x > (a + 1) / (a + b + 2):  # where the fraction converges slowly
        return 1 - _probability(1 - x, b, a)
    return math.exp(a * math.log(x) + b * math.log1p(-x)) / (a * _beta(a, b) * _fraction(x, a, b))


def _fraction(x: float, a: float, b: float) -> float:
    """The denominator ``1 + d1 / (1 + d2 / (1 + ...))`` of the incomplete beta function (DLMF 8.17.22), by the method
    of Lentz in Thompson and Barnett's form."""
    value = upper = 1.0
    lower = 0.0
    for n in range(1, _ITERATIONS):
        m = n // 2
        if n % 2:
            term = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))
        else:
            term = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m))
        lower = 1 / (1 + term * lower)
        upper = 1 + term / upper
        value *= upper * lower
        if abs(upper * lower - 1) <= _PRECISION:
            break
    return value


def _beta(a: float, b: float) -> float:
    return math.exp(math.lgamma(a) + math.lgamma(b) - math.lgamma(a + b))
