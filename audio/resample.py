"""Changes the sample rate or the number of channels of a waveform."""

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

# torchaudio tabulates one filter per output phase. Common rates need about 10^4 values; coprime rates (44101 and 48000)
# need 10^9, which is gigabytes.
MAX_KERNEL_SIZE = 2**22

# Weights of each channel for the left and the right side, in FFmpeg's channel order. ITU-R BS.775: centre and surrounds
# at -3 dB, no low-frequency channel.
_3_DB = math.sqrt(0.5)
DOWNMIX: dict[int, tuple[list[float], list[float]]] = {
    # FL FR FC LFE BL BR
    6: ([1.0, 0.0, _3_DB, 0.0, _3_DB, 0.0], [0.0, 1.0, _3_DB, 0.0, 0.0, _3_DB]),
    # FL FR FC LFE BL BR SL SR
    8: ([1.0, 0.0, _3_DB, 0.0, _3_DB, 0.0, _3_DB, 0.0], [0.0, 1.0, _3_DB, 0.0, 0.0, _3_DB, 0.0, _3_DB]),
}


def resample(waveform: Tensor, from_rate: int, to_rate: int, length: int | None = None) -> Tensor:
    """Resample `[b c n]` from one rate in Hz to another: `[b c length]`, by default ceil(n * to_rate / from_rate).

    Band-limited (windowed sinc), without delay: sample 0 stays at time 0. Uses torchaudio's default filter, like the
    official inference code, or FFmpeg's libswresample if torchaudio does not import or the rates have no useful common
    divisor. Equal rates return the samples unchanged.
    Raises ValueError for a rate that is not a positive whole number.
    """
    require_rate("from_rate", from_rate)
    require_rate("to_rate", to_rate)
    waveform = as_float32(waveform)
    if from_rate == to_rate:
        return waveform
    length = -(-waveform.shape[-1] * to_rate // from_rate) if length is None else length
    with_torchaudio = _torchaudio_resample()
    if with_torchaudio is None or _kernel_size(from_rate, to_rate) > MAX_KERNEL_SIZE:
        return _resample_with_pyav(waveform, from_rate, to_rate, length)
    # torchaudio computes the length in float32, which is off by samples after a few minutes: request more, then trim.
    padded = F.pad(waveform, (0, from_rate * _margin_seconds(from_rate, to_rate)))
    return with_torchaudio(padded, from_rate, to_rate)[..., :length].contiguous()


def torchaudio_length(samples: int, from_rate: int, to_rate: int) -> int:
    """The length that torchaudio's resampler gives, and so ComfyUI's nodes: computed in float32."""
    return int(torch.tensor(samples * to_rate / from_rate, dtype=torch.float32).ceil())


def route() -> str:
    """The library used on this machine: "torchaudio" or "PyAV (libswresample)"."""
    return PYAV if _torchaudio_resample() is None else TORCHAUDIO


def to_stereo(waveform: Tensor) -> Tensor:
    """Mix `[b c n]` to `[b 2 n]`.

    Mono goes to both sides; stereo is unchanged. 5.1 and 7.1 in FFmpeg's channel order are mixed by ITU-R BS.775 and
    scaled so that full-scale channels cannot clip. Any other number of channels implies no layout: both sides get the
    average.
    """
    waveform = as_float32(waveform)
    channels = waveform.shape[1]
    if channels == 2:
        return waveform
    weights = torch.tensor(DOWNMIX.get(channels, ([1.0] * channels,) * 2))
    weights = weights / weights.sum(dim=1, keepdim=True)
    return torch.einsum("sc,bcn->bsn", weights, waveform)


def to_channels(waveform: Tensor, channels: int) -> Tensor:
    """Mix `[b c n]` to `[b channels n]`: to 2 as `to_stereo` does, to 1 by averaging its sides.

    A waveform that already has that many channels is unchanged. Raises ValueError for any other number of channels.
    """
    if waveform.shape[1] == channels:
        return as_float32(waveform)
    if channels not in (1, 2):
        raise ValueError(f"{waveform.shape[1]} channels can be mixed to 1 or 2, not to {channels}")
    stereo = to_stereo(waveform)
    return stereo if channels == 2 else stereo.mean(dim=1, keepdim=True)


@functools.cache
def _torchaudio_resample() -> Callable[[Tensor, int, int], Tensor] | None:
    """torchaudio's resampler, or None, with one warning in the log, if torchaudio does not import."""
    try:
        from torchaudio.functional import resample as torchaudio_resample
    # Missing: ImportError. Built for another torch or CUDA: OSError from the loader, or RuntimeError from torchaudio's
    # comparison of the CUDA versions.
    except (ImportError, OSError, RuntimeError) as error:
        logger.warning("resampling with %s because torchaudio does not import: %s", PYAV, error)
        return None
    return torchaudio_resample


def _kernel_size(from_rate: int, to_rate: int) -> int:
    """Number of filter values that torchaudio tabulates for two rates (6 zero crossings on each side)."""
    divisor = math.gcd(from_rate, to_rate)
    old, new = from_rate // divisor, to_rate // divisor
    return new * (old + 12 * math.ceil(old / min(old, new)))


def _margin_seconds(from_rate: int, to_rate: int) -> int:
    """Whole seconds that are far longer than the filters at both rates; one second at audio rates."""
    return -(-1024 // min(from_rate, to_rate))


def _resample_with_pyav(waveform: Tensor, from_rate: int, to_rate: int, length: int) -> Tensor:
    """Resample with libswresample, one channel at a time, so that any number of channels works."""
    # libswresample mirrors the signal at both ends. Zeros keep that away from the song; whole seconds of them remain a
    # whole number of samples, so that sample 0 stays at time 0.
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
