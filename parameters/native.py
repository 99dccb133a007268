"""The inputs of ComfyUI's own node classes that run here without ComfyUI.

Names, order, ranges, choices and defaults are those of ComfyUI 0.20.1, so that its workflows load unchanged.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from .native_kinds import FILES, LARGEST, Input
from .native_kinds import choice as _choice
from .native_kinds import real as _real
from .native_kinds import seed as _seed
from .native_kinds import text as _text
from .native_kinds import whole as _whole
from .native_models import MODEL_INPUTS, OPTIONAL, SAMPLERS, TEXT_ENCODE

__all__ = ["FILES", "LARGEST", "OPTIONAL", "TEXT_ENCODE", "input_types", "with_files"]


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


def with_files(class_id: str, files: Mapping[str, Sequence[str]]) -> dict[str, dict[str, Input]]:
    """INPUT_TYPES of a class with the files to choose from, by input."""
    groups = input_types(class_id)
    groups["required"] |= {name: (list(choices), {}) for name, choices in files.items()}
    return groups


EMPTY_LATENT = "EmptyAceStep1.5LatentAudio"
LARGEST_SIZE = 16384  # of latents and masks in one direction

_AUDIO: Input = ("AUDIO", {})
_LATENT: Input = ("LATENT", {})
_MASK: Input = ("MASK", {})
_VAE: Input = ("VAE", {})
_PREFIX = _text("audio/ComfyUI")
_TWO_LATENTS = {"samples1": _LATENT, "samples2": _LATENT}
_BATCH = _whole(1, 1, 4096)
_GAIN = _real(0.0, -24.0, 24.0, 0.1)

_STEPS = _whole(20, 1, 10000)
# From the noise of the image models that the nodes were made for; a flow model's levels end at 1.
_SIGMA_MAX, _SIGMA_MIN = _real(14.614642, 0.0, 5000.0, 0.01), _real(0.0291675, 0.0, 5000.0, 0.01)
_SIGMAS: Input = ("SIGMAS", {})
_SHARE = _real(1.0, 0.0, 100.0, 0.01)  # of fresh noise, and its scale
_NOISE_DEVICE = _choice("gpu", "cpu")

INPUTS: dict[str, dict[str, Input]] = {
    **MODEL_INPUTS,
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
    "InvertMask": {"mask": _MASK},
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
    "RandomNoise": {"noise_seed": _seed()},
    "DisableNoise": {},
    "KSamplerSelect": {"sampler_name": _choice(*SAMPLERS)},
    "SamplerEulerAncestral": {"eta": _SHARE, "s_noise": _SHARE},
    "SamplerEulerAncestralCFGPP": {"eta": _real(1.0, 0.0, 1.0, 0.01), "s_noise": _real(1.0, 0.0, 10.0, 0.01)},
    "SamplerLMS": {"order": _whole(4, 1, 100)},
    "SamplerDPMPP_2S_Ancestral": {"eta": _SHARE, "s_noise": _SHARE},
    "SamplerDPMPP_SDE": {
        "eta": _SHARE,
        "s_noise": _SHARE,
        "r": _real(0.5, 0.0, 100.0, 0.01),
        "noise_device": _NOISE_DEVICE,
    },
    "SamplerDPMPP_2M_SDE": {
        "solver_type": _choice("midpoint", "heun"),
        "eta": _SHARE,
        "s_noise": _SHARE,
        "noise_device": _NOISE_DEVICE,
    },
    "SamplerDPMPP_3M_SDE": {"eta": _SHARE, "s_noise": _SHARE, "noise_device": _NOISE_DEVICE},
    "SamplerDPMAdaptative": {
        "order": _whole(3, 2, 3),
        "rtol": _real(0.05, 0.0, 100.0, 0.01),
        "atol": _real(0.0078, 0.0, 100.0, 0.01),
        "h_init": _real(0.05, 0.0, 100.0, 0.01),
        "pcoeff": _real(0.0, 0.0, 100.0, 0.01),
        "icoeff": _SHARE,
        "dcoeff": _real(0.0, 0.0, 100.0, 0.01),
        "accept_safety": _real(0.81, 0.0, 100.0, 0.01),
        "eta": _real(0.0, 0.0, 100.0, 0.01),
        "s_noise": _SHARE,
    },
    "SamplerER_SDE": {
        "solver_type": _choice("ER-SDE", "Reverse-time SDE", "ODE"),
        "max_stage": _whole(3, 1, 3),
        "eta": _SHARE,
        "s_noise": _SHARE,
    },
    "SamplerSEEDS2": {
        "solver_type": _choice("phi_1", "phi_2"),
        "eta": _SHARE,
        "s_noise": _SHARE,
        "r": _real(0.5, 0.01, 1.0, 0.01),
    },
    "KarrasScheduler": {
        "steps": _STEPS,
        "sigma_max": _SIGMA_MAX,
        "sigma_min": _SIGMA_MIN,
        "rho": _real(7.0, 0.0, 100.0, 0.01),
    },
    "ExponentialScheduler": {"steps": _STEPS, "sigma_max": _SIGMA_MAX, "sigma_min": _SIGMA_MIN},
    "PolyexponentialScheduler": {"steps": _STEPS, "sigma_max": _SIGMA_MAX, "sigma_min": _SIGMA_MIN, "rho": _SHARE},
    "LaplaceScheduler": {
        "steps": _STEPS,
        "sigma_max": _SIGMA_MAX,
        "sigma_min": _SIGMA_MIN,
        "mu": _real(0.0, -10.0, 10.0, 0.1),
        "beta": _real(0.5, 0.0, 10.0, 0.1),
    },
    "VPScheduler": {
        "steps": _STEPS,
        "beta_d": _real(19.9, 0.0, 5000.0, 0.01),
        "beta_min": _real(0.1, 0.0, 5000.0, 0.01),
        "eps_s": _real(0.001, 0.0, 1.0, 0.0001),
    },
    "ManualSigmas": {"sigmas": _text("1, 0.5")},
    "SplitSigmas": {"sigmas": _SIGMAS, "step": _whole(0, 0, 10000)},
    "SplitSigmasDenoise": {"sigmas": _SIGMAS, "denoise": _real(1.0, 0.0, 1.0, 0.01)},
    "FlipSigmas": {"sigmas": _SIGMAS},
    "SetFirstSigma": {"sigmas": _SIGMAS, "sigma": _real(136.0, 0.0, 20000.0, 0.001)},
    "ExtendIntermediateSigmas": {
        "sigmas": _SIGMAS,
        "steps": _whole(2, 1, 100),
        "start_at_sigma": _real(-1.0, -1.0, 20000.0, 0.01),
        "end_at_sigma": _real(12.0, 0.0, 20000.0, 0.01),
        "spacing": _choice("linear", "cosine", "sine"),
    },
    "StringConcatenate": {
        "string_a": _text(multiline=True),
        "string_b": _text(multiline=True),
        "delimiter": _text(""),
    },
}
