"""Loading, levels and files."""

from __future__ import annotations

from .kind import Parameter

OUTPUT = (
    Parameter(
        "precision",
        "CHOICE",
        "auto",
        "Number format of the network. auto: bf16 where the device has it, float32 elsewhere. fp16 keeps the parts "
        "that overflow in float32.",
        choices=("auto", "bf16", "fp16", "fp32"),
    ),
    Parameter(
        "normalize",
        "BOOLEAN",
        True,
        "Bring the peak to peak_db. Off: only peaks above full scale are lowered.",
    ),
    Parameter(
        "peak_db",
        "FLOAT",
        -1.0,
        "Peak level of the result in dBFS, for quiet and loud songs alike.",
        minimum=-30.0,
        maximum=0.0,
        step=0.1,
    ),
    Parameter(
        "fade_in",
        "FLOAT",
        0.0,
        "Linear fade at the start, in seconds.",
        minimum=0.0,
        maximum=60.0,
        step=0.1,
    ),
    Parameter(
        "fade_out",
        "FLOAT",
        0.0,
        "Linear fade at the end, in seconds.",
        minimum=0.0,
        maximum=60.0,
        step=0.1,
    ),
    Parameter(
        "filename_prefix",
        "STRING",
        "audio/acestep",
        "Start of the file name, inside the output folder; may contain folders.",
    ),
    Parameter(
        "plot_prefix",
        "STRING",
        "plots/acestep",
        "Start of the picture's name, inside the output folder; may contain folders.",
    ),
    Parameter(
        "audio_format",
        "CHOICE",
        "flac",
        "flac and wav are lossless, mp3 is small.",
        choices=("flac", "wav", "mp3"),
    ),
    Parameter(
        "bit_depth",
        "CHOICE",
        "24",
        "Bits per sample. 32 is floating point and WAV only; MP3 has none and ignores it.",
        choices=("16", "24", "32"),
    ),
)
