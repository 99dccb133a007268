"""Songs to deliver, and a graph with a secret that must not leave with them."""

from __future__ import annotations

from typing import Any

import torch

from acestep_xl.audio.encoding import EncodedAudio
from acestep_xl.nodes.delivery.encode_audio import EncodeAudio

SECRET = "X-Amz-Signature=abc123"
GRAPH = {
    "1": {"class_type": "AceStepXLSampler", "inputs": {"seed": 7, "latent": ["2", 0]}},
    "2": {"class_type": "AceStepXLEmptyLatent", "inputs": {"seconds": 2.0, "batch_size": 2}},
    "3": {"class_type": "AceStepXLDecode", "inputs": {"latent": ["1", 0], "peak_db": -1.0}},
    "4": {"class_type": "AceStepXLSave", "inputs": {"audio": ["3", 0], "format": "flac"}},
    "5": {"class_type": "AceStepXLSampler", "inputs": {"seed": 99}},
    "6": {
        "class_type": "AceStepXLUpload",
        "inputs": {"urls": f"https://store.example/a?{SECRET}\nhttp://u:p@b.example/c"},
    },
}
WORKFLOW = {
    "nodes": [{"type": "AceStepXLUpload", "widgets_values": [f"https://store.example/a?{SECRET}", False, 300.0]}]
}


def noise_audio(songs: int = 2, channels: int = 2, samples: int = 4800, rate: int = 48000) -> dict[str, Any]:
    """An AUDIO of noise."""
    waveform = torch.rand(songs, channels, samples, generator=torch.Generator().manual_seed(1)) * 0.5
    return {"waveform": waveform, "sample_rate": rate}


def encode_noise(songs: int = 2, format: str = "flac", title: str = "") -> list[EncodedAudio]:
    return EncodeAudio().encode(noise_audio(songs), format, "16", 0, "auto", "auto", title)[0]
