"""The inputs of ComfyUI's own node classes that run here without ComfyUI.

Names, order, ranges, choices and defaults are those of ComfyUI 0.20.1, so that its workflows load unchanged.
"""

from __future__ import annotations

from typing import Any

Input = tuple[Any, dict[str, Any]]


def input_types(class_id: str) -> dict[str, dict[str, Input]]:
    """INPUT_TYPES of a class: {"required", "optional"} -> input -> (type, options). Raises KeyError.

    The caller may change the result. Choices that are files are empty here; the class lists them.
    """
    if class_id not in INPUTS:
        raise KeyError(f"unknown native class {class_id!r}; known: {', '.join(INPUTS)}")
    optional = OPTIONAL.get(class_id, ())
    copies = {name: (kind, dict(options)) for name, (kind, options) in INPUTS[class_id].items()}
    groups = {
        "required": {name: entry for name, entry in copies.items() if name not in optional},
        "optional": {name: entry for name, entry in copies.items() if name in optional},
    }
    return {group: entries for group, entries in groups.items() if entries}


def _number(kind: str, default: float, low: float, high: float | None, step: float | None = None) -> Input:
    options = {"default": default, "min": low, "max": high, "step": step}
    return kind, {name: value for name, value in options.items() if value is not None}


def _whole(default: int, low: int, high: int, step: int | None = None) -> Input:
    return _number("INT", default, low, high, step)


def _real(default: float, low: float, high: float | None, step: float) -> Input:
    return _number("FLOAT", default, low, high, step)


def _choice(*choices: str, default: str | None = None) -> Input:
    return "COMBO", {"options": choices} | ({} if default is None else {"default": default})


def _text(default: str | None = None, *, multiline: bool = False) -> Input:
    return "STRING", {"multiline": multiline} | ({} if default is None else {"default": default})


EMPTY_LATENT = "EmptyAceStep1.5LatentAudio"
LARGEST_SIZE = 16384  # of latents and masks in one direction
LARGEST = 2**64 - 1

_AUDIO: Input = ("AUDIO", {})
_LATENT: Input = ("LATENT", {})
_MASK: Input = ("MASK", {})
_VAE: Input = ("VAE", {})
FILES: Input = ("COMBO", {"options": ()})
_PREFIX = _text("audio/ComfyUI")
_TWO_LATENTS = {"samples1": _LATENT, "samples2": _LATENT}
_BATCH = _whole(1, 1, 4096)
_GAIN = _real(0.0, -24.0, 24.0, 0.1)

# Inputs that a graph may leave out, by class.
OPTIONAL: dict[str, tuple[str, ...]] = {}

INPUTS: dict[str, dict[str, Input]] = {
    EMPTY_LATENT: {"seconds": _real(120.0, 1.0, 1000.0, 0.01), "batch_size": _BATCH},
    "LatentFromBatch": {"samples": _LATENT, "batch_index": _whole(0, 0, 63), "length": _whole(1, 1, 64)},
    "RepeatLatentBatch": {"samples": _LATENT, "amount": _whole(1, 1, 64)},
    "LatentBatch": _TWO_LATENTS,
    "LatentBatchSeedBehavior": {"samples": _LATENT, "seed_behavior": _choice("random", "fixed", default="fixed")},
    "LatentConcat": {**_TWO_LATENTS, "dim": _choice("x", "-x", "y", "-y", "t", "-t")},
    "LatentCut": {
        "samples": _LATENT,
        "dim": _choice("x", "y", "t"),
        "index": _whole(0, -LARGEST_SIZE, LARGEST_SIZE, 1),
        "amount": _whole(1, 1, LARGEST_SIZE, 1),
    },
    "LatentAdd": _TWO_LATENTS,
    "LatentSubtract": _TWO_LATENTS,
    "LatentMultiply": {"samples": _LATENT, "multiplier": _real(1.0, -10.0, 10.0, 0.01)},
    "LatentBlend": {**_TWO_LATENTS, "blend_factor": _real(0.5, 0, 1, 0.01)},
    "SetLatentNoiseMask": {"samples": _LATENT, "mask": _MASK},
    "SolidMask": {
        "value": _real(1.0, 0.0, 1.0, 0.01),
        "width": _whole(512, 1, LARGEST_SIZE, 1),
        "height": _whole(512, 1, LARGEST_SIZE, 1),
    },
    "VAEDecodeAudio": {"samples": _LATENT, "vae": _VAE},
    "VAEDecodeAudioTiled": {
        "samples": _LATENT,
        "vae": _VAE,
        "tile_size": _whole(512, 32, 8192, 8),
        "overlap": _whole(64, 0, 1024, 8),
    },
    "VAEEncodeAudio": {"audio": _AUDIO, "vae": _VAE},
    "LoadAudio": {"audio": FILES},
    "SaveAudio": {"audio": _AUDIO, "filename_prefix": _PREFIX},
    "SaveAudioMP3": {
        "audio": _AUDIO,
        "filename_prefix": _PREFIX,
        "quality": _choice("V0", "128k", "320k", default="V0"),
    },
    "SaveAudioOpus": {
        "audio": _AUDIO,
        "filename_prefix": _PREFIX,
        "quality": _choice("64k", "96k", "128k", "192k", "320k", default="128k"),
    },
    "PreviewAudio": {"audio": _AUDIO},
    "EmptyAudio": {
        "duration": _real(60.0, 0.0, LARGEST, 0.01),
        "sample_rate": _whole(44100, 1, 192000),
        "channels": _whole(2, 1, 2),
    },
    "TrimAudioDuration": {
        "audio": _AUDIO,
        "start_index": _real(0.0, -LARGEST, LARGEST, 0.01),
        "duration": _real(60.0, 0.0, None, 0.01),
    },
    "SplitAudioChannels": {"audio": _AUDIO},
    "JoinAudioChannels": {"audio_left": _AUDIO, "audio_right": _AUDIO},
    "AudioConcat": {"audio1": _AUDIO, "audio2": _AUDIO, "direction": _choice("after", "before", default="after")},
    "AudioMerge": {
        "audio1": _AUDIO,
        "audio2": _AUDIO,
        "merge_method": _choice("add", "mean", "subtract", "multiply"),
    },
    "AudioAdjustVolume": {"audio": _AUDIO, "volume": _whole(1, -100, 100)},
    "AudioEqualizer3Band": {
        "audio": _AUDIO,
        "low_gain_dB": _GAIN,
        "low_freq": _whole(100, 20, 500),
        "mid_gain_dB": _GAIN,
        "mid_freq": _whole(1000, 200, 4000),
        "mid_q": _real(0.707, 0.1, 10.0, 0.1),
        "high_gain_dB": _GAIN,
        "high_freq": _whole(5000, 1000, 15000),
    },
    "StringConcatenate": {
        "string_a": _text(multiline=True),
        "string_b": _text(multiline=True),
        "delimiter": _text(""),
    },
}
