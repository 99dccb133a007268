"""Change the sample rate or the number of channels of a waveform."""

from __future__ import annotations

import functools
import logging
import math
from collections.abc import Callable

import av
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from .waveform import as_float32, require_rate

logger = logging.getLogger(__name__)

TORCHAUDIO = "torchaudio"
PYAV = "PyAV (libswresample)"

# torchaudio tabulates one filter per output phase. Common rates need some 10^4 values; two rates without a common
# divisor (44101 and 48000) need 10^9, which is gigabytes.
LARGEST_KERNEL = 2**22

# Weights of each channel for the left side, in FFmpeg's channel order; the right side mirrors them. ITU-R BS.775:
# centre and surrounds at -3 dB, no low-frequency channel.
_3_DB = math.sqrt(0.5)
DOWNMIX: dict[int, tuple[list[float], list[float]]] = {
    # FL FR FC LFE BL BR
    6: ([1.0, 0.0, _3_DB, 0.0, _3_DB, 0.0], [0.0, 1.0, _3_DB, 0.0, 0.0, _3_DB]),
    # FL FR FC LFE BL BR SL SR
    8: ([1.0, 0.0, _3_DB, 0.0, _3_DB, 0.0, _3_DB, 0.0], [0.0, 1.0, _3_DB, 0.0, 0.0, _3_DB, 0.0, _3_DB]),
}


def resample(waveform: Tensor, from_rate: int, to_rate: int) -> Tensor:
    """Resample `[b c n]` from one rate in Hz to another: `[b c m]` with m = ceil(n * to_rate / from_rate).

    Band-limited (windowed sinc), without delay: sample 0 stays at time 0. torchaudio's default filter does the work,
    which is what the official inference code uses; FFmpeg's libswresample does it where torchaudio does not import, or
    where the two rates have no useful common divisor. Equal rates return the samples unchanged.
    Raises ValueError for a rate that is no positive whole number.
    """
    require_rate("from_rate", from_rate)
    require_rate("to_rate", to_rate)
    waveform = as_float32(waveform)
    if from_rate == to_rate:
        return waveform
    length = -(-waveform.shape[-1] * to_rate // from_rate)
    with_torchaudio = _torchaudio_resample()
    if with_torchaudio is None or _kernel_size(from_rate, to_rate) > LARGEST_KERNEL:
        return _resample_with_pyav(waveform, from_rate, to_rate, length)
    # torchaudio computes the length in float32, which is samples off after a few minutes: ask for more, then cut.
    padded = F.pad(waveform, (0, from_rate * _margin_seconds(from_rate, to_rate)))
    return with_torchaudio(padded, from_rate, to_rate)[..., :length].contiguous()


def route() -> str:
    """The library that resamples on this machine: "torchaudio" or "PyAV (libswresample)"."""
    return PYAV if _torchaudio_resample() is None else TORCHAUDIO


def to_stereo(waveform: Tensor) -> Tensor:
    """Mix `[b c n]` to `[b 2 n]`.

    Mono goes to both sides and stereo stays. 5.1 and 7.1 in FFmpeg's channel order are mixed by ITU-R BS.775 and scaled
    so that full-scale channels cannot clip. Any other number of channels has no one layout: both sides get the average.
    """
    waveform = as_float32(waveform)
    channels = waveform.shape[1]
    if channels == 2:
        return waveform
    weights = torch.tensor(DOWNMIX.get(channels, ([1.0] * channels,) * 2))
    weights = weights / weights.sum(dim=1, keepdim=True)
    return torch.einsum("sc,bcn->bsn", weights, waveform)


def to_channels(waveform: Tensor, channels: int) -> Tensor:
    """Mix `[b c n]` to `[b channels n]`: 2 as `to_stereo` does, 1 the average of its two sides.

    A waveform with that many channels stays as it is. Raises ValueError for any other number of channels.
    """
    if waveform.shape[1] == channels:
        return as_float32(waveform)
    if channels not in (1, 2):
        raise ValueError(f"{waveform.shape[1]} channels can be mixed to 1 or 2, not to {channels}")
    stereo = to_stereo(waveform)
    return stereo if channels == 2 else stereo.mean(dim=1, keepdim=True)


@functools.cache
def _torchaudio_resample() -> Callable[[Tensor, int, int], Tensor] | None:
    """torchaudio's resampler, or None (said once in the log) where torchaudio does not import."""
    try:
        from torchaudio.functional import resample as torchaudio_resample
    # Absent: ImportError. Built for another torch or CUDA: OSError from the loader, or RuntimeError from torchaudio's
    # own comparison of the two CUDA versions.
    except (ImportError, OSError, RuntimeError) as error:
        logger.warning("resampling with %s because torchaudio does not import: %s", PYAV, error)
        return None
    return torchaudio_resample


def _kernel_size(from_rate: int, to_rate: int) -> int:
    """Number of filter values torchaudio tabulates for this pair of rates (6 zero crossings on each side)."""
    divisor = math.gcd(from_rate, to_rate)
    old, new = from_rate // divisor, to_rate // divisor
    return new * (old + 12 * math.ceil(old / min(old, new)))


def _margin_seconds(from_rate: int, to_rate: int) -> int:
    """Whole seconds of zeros that are far longer than either filter at both rates; one second at audio rates."""
    return -(-1024 // min(from_rate, to_rate))


def _resample_with_pyav(waveform: Tensor, from_rate: int, to_rate: int, length: int) -> Tensor:
    """The same contract through libswresample, one channel at a time, so that any number of channels works."""
    # libswresample mirrors the signal at both ends. Whole seconds of zeros keep that away from the song, and become a
    # whole number of samples, so that time 0 stays where it is.
    seconds = _margin_seconds(from_rate, to_rate)
    padded = F.pad(waveform, (seconds * from_rate, seconds * from_rate)).flatten(0, 1).numpy()
    song = slice(seconds * to_rate, seconds * to_rate + length)
    rows = [torch.from_numpy(_swresample(row, from_rate, to_rate)[song]) for row in padded]
    if not rows:
        return waveform.new_zeros(*waveform.shape[:2], length)
    return torch.stack(rows).unflatten(0, waveform.shape[:2])


def _swresample(samples: np.ndarray, from_rate: int, to_rate: int) -> np.ndarray:
    """Resample one channel `[n]` of float32."""
    frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(samples[None]), format="fltp", layout="mono")
    frame.sample_rate = from_rate
    resampler = av.AudioResampler(format="fltp", layout="mono", rate=to_rate)
    frames = [*resampler.resample(frame), *resampler.resample(None)]
    return np.concatenate([out.to_ndarray()[0] for out in frames])
