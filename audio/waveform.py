"""Validation shared by all functions on waveforms: shape, dtype, finite samples, sample rate."""

from __future__ import annotations

import torch
from torch import Tensor


def as_float32(waveform: Tensor) -> Tensor:
    """The waveform `[b c n]` as a detached float32 tensor on the CPU, sharing memory if it is one already.

    Raises ValueError for another shape or no channels.
    """
    if waveform.ndim != 3 or waveform.shape[1] == 0:
        raise ValueError(
            f"a waveform has the shape [batch, channels, samples] with at least one channel; got {list(waveform.shape)}"
        )
    return waveform.detach().to("cpu", torch.float32)


def non_finite(samples: Tensor) -> str:
    """How many samples are not finite ("31 NaN and 2 infinite samples"); empty if all are finite."""
    # A finite sum has only finite terms and, unlike isfinite, allocates nothing. The sum itself may overflow.
    if samples.sum().isfinite() or samples.isfinite().all():
        return ""
    counts = {"NaN": int(samples.isnan().sum()), "infinite": int(samples.isinf().sum())}
    total = sum(counts.values())
    listed = " and ".join(f"{count} {kind}" for kind, count in counts.items() if count)
    return f"{listed} sample{'s' if total > 1 else ''}"


def require_rate(name: str, rate: int) -> None:
    """Raise ValueError unless a sample rate in Hz is a positive whole number."""
    if not isinstance(rate, int) or rate < 1:
        raise ValueError(f"{name} {rate!r} is not a sample rate; use a positive whole number of Hz such as 48000")
