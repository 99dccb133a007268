"""Encoded noise, tags, and the bitrate tables of the API page."""

from __future__ import annotations

from typing import Any

import torch

from acestep_xl.audio.encoding import encode

# The API page's tables, row by row: (format, channels, Hz, lowest kbps, highest kbps).
MP3_ROWS = [
    ("mp3", channels, rate, low, high)
    for channels in (1, 2)
    for rate, low, high in (
        (8000, 8, 64),
        (11025, 8, 64),
        (12000, 8, 64),
        (16000, 8, 160),
        (22050, 8, 160),
        (24000, 8, 160),
        (32000, 32, 320),
        (44100, 32, 320),
        (48000, 32, 320),
    )
]
OGG_ROWS = [
    ("ogg", 1, 8000, 8, 40),
    ("ogg", 1, 12000, 16, 48),
    ("ogg", 1, 16000, 16, 96),
    ("ogg", 1, 24000, 16, 80),
    ("ogg", 1, 48000, 32, 224),
    ("ogg", 2, 8000, 16, 80),
    ("ogg", 2, 12000, 16, 96),
    ("ogg", 2, 16000, 24, 192),
    ("ogg", 2, 24000, 32, 160),
    ("ogg", 2, 48000, 48, 256),
]
ROWS = MP3_ROWS + OGG_ROWS

TAGS = {
    "title": "Grüße 東京",
    "seed": "18446744073709551615",
    "parameters": '{"a=b": "x;y#z\\\\"}',
    "prompt": '{"1": {"inputs": {"text": "line\\nline"}}}',
    "workflow": '{"nodes": []}',
    "Own Name!": "yes",
    "[STREAM]": "[CHAPTER]",
}


def encode_bytes(waveform: torch.Tensor, sample_rate: int, **options: Any) -> bytes:
    return encode(waveform, sample_rate, **options).data


def uniform_noise(channels: int, samples: int, peak: float = 0.2, seed: int = 0) -> torch.Tensor:
    """`[c n]` of samples between -peak and peak."""
    return (torch.rand(channels, samples, generator=torch.Generator().manual_seed(seed)) * 2 - 1) * peak
