"""A three-band equaliser of torchaudio's filters, which are those of Bristow-Johnson's Audio EQ Cookbook."""

from __future__ import annotations

from torch import Tensor

SHELF_Q = 0.707


def equalise(
    waveform: Tensor,
    sample_rate: int,
    *,
    low: tuple[float, float],
    middle: tuple[float, float, float],
    high: tuple[float, float],
) -> Tensor:
    """The waveform `[b c n]` through a low shelf, a peak and a high shelf, each clipped to full scale; 0 dB is skipped.

    low, high: gain in dB and corner in Hz. middle: gain in dB, centre in Hz and Q. Raises ModuleNotFoundError without
    torchaudio.
    """
    try:
        from torchaudio import functional
    except ImportError as error:
        raise ModuleNotFoundError(
            "the equaliser needs torchaudio, built for the installed torch: pip install torchaudio"
        ) from error
    if low[0] != 0:
        waveform = functional.bass_biquad(waveform, sample_rate, gain=low[0], central_freq=low[1], Q=SHELF_Q)
    if middle[0] != 0:
        gain, centre, quality = middle
        waveform = functional.equalizer_biquad(waveform, sample_rate, center_freq=centre, gain=gain, Q=quality)
    if high[0] != 0:
        waveform = functional.treble_biquad(waveform, sample_rate, gain=high[0], central_freq=high[1], Q=SHELF_Q)
    return waveform
