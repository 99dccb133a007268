"""ComfyUI's own node classes that run here without ComfyUI, by their ids; inside ComfyUI its own ones run.

A class takes the same inputs as ComfyUI's and gives the same results. Its inputs are in parameters/native.py.
"""

from __future__ import annotations

from . import (
    audio_edit,
    audio_mix,
    latent_arithmetic,
    latents,
    load_audio,
    samplers,
    save_audio,
    sde_samplers,
    sigmas,
    strings,
    vae,
)

# Class -> what carries it out, and the name that ComfyUI shows.
NODES: dict[str, tuple[type, str]] = {
    "EmptyAceStep1.5LatentAudio": (latents.EmptyAceStep15LatentAudio, "Empty Ace Step 1.5 Latent Audio"),
    "LatentFromBatch": (latents.LatentFromBatch, "Latent From Batch"),
    "RepeatLatentBatch": (latents.RepeatLatentBatch, "Repeat Latent Batch"),
    "LatentBatch": (latents.LatentBatch, "LatentBatch"),
    "LatentBatchSeedBehavior": (latents.LatentBatchSeedBehavior, "LatentBatchSeedBehavior"),
    "SetLatentNoiseMask": (latents.SetLatentNoiseMask, "Set Latent Noise Mask"),
    "InvertMask": (latents.InvertMask, "Invert Mask"),
    "SolidMask": (latents.SolidMask, "SolidMask"),
    "LatentConcat": (latent_arithmetic.LatentConcat, "LatentConcat"),
    "LatentCut": (latent_arithmetic.LatentCut, "LatentCut"),
    "LatentAdd": (latent_arithmetic.LatentAdd, "LatentAdd"),
    "LatentSubtract": (latent_arithmetic.LatentSubtract, "LatentSubtract"),
    "LatentMultiply": (latent_arithmetic.LatentMultiply, "LatentMultiply"),
    "LatentBlend": (latent_arithmetic.LatentBlend, "Latent Blend"),
    "VAEDecodeAudio": (vae.VAEDecodeAudio, "VAE Decode Audio"),
    "VAEDecodeAudioTiled": (vae.VAEDecodeAudioTiled, "VAE Decode Audio (Tiled)"),
    "VAEEncodeAudio": (vae.VAEEncodeAudio, "VAE Encode Audio"),
    "LoadAudio": (load_audio.LoadAudio, "Load Audio"),
    "SaveAudio": (save_audio.SaveAudio, "Save Audio (FLAC)"),
    "SaveAudioMP3": (save_audio.SaveAudioMP3, "Save Audio (MP3)"),
    "SaveAudioOpus": (save_audio.SaveAudioOpus, "Save Audio (Opus)"),
    "PreviewAudio": (save_audio.PreviewAudio, "Preview Audio"),
    "EmptyAudio": (audio_edit.EmptyAudio, "Empty Audio"),
    "TrimAudioDuration": (audio_edit.TrimAudioDuration, "Trim Audio Duration"),
    "AudioAdjustVolume": (audio_edit.AudioAdjustVolume, "Audio Adjust Volume"),
    "AudioEqualizer3Band": (audio_edit.AudioEqualizer3Band, "Audio Equalizer (3-Band)"),
    "SplitAudioChannels": (audio_mix.SplitAudioChannels, "Split Audio Channels"),
    "JoinAudioChannels": (audio_mix.JoinAudioChannels, "Join Audio Channels"),
    "AudioConcat": (audio_mix.AudioConcat, "Audio Concat"),
    "AudioMerge": (audio_mix.AudioMerge, "Audio Merge"),
    "RandomNoise": (samplers.RandomNoise, "RandomNoise"),
    "DisableNoise": (samplers.DisableNoise, "DisableNoise"),
    "KSamplerSelect": (samplers.KSamplerSelect, "KSamplerSelect"),
    "SamplerEulerAncestral": (samplers.SamplerEulerAncestral, "SamplerEulerAncestral"),
    "SamplerEulerAncestralCFGPP": (samplers.SamplerEulerAncestralCFGPP, "SamplerEulerAncestralCFG++"),
    "SamplerLMS": (samplers.SamplerLMS, "SamplerLMS"),
    "SamplerDPMPP_2S_Ancestral": (samplers.SamplerDPMPP_2S_Ancestral, "SamplerDPMPP_2S_Ancestral"),
    "SamplerDPMPP_SDE": (sde_samplers.SamplerDPMPP_SDE, "SamplerDPMPP_SDE"),
    "SamplerDPMPP_2M_SDE": (sde_samplers.SamplerDPMPP_2M_SDE, "SamplerDPMPP_2M_SDE"),
    "SamplerDPMPP_3M_SDE": (sde_samplers.SamplerDPMPP_3M_SDE, "SamplerDPMPP_3M_SDE"),
    "SamplerDPMAdaptative": (samplers.SamplerDPMAdaptative, "SamplerDPMAdaptative"),
    "SamplerER_SDE": (samplers.SamplerER_SDE, "SamplerER_SDE"),
    "SamplerSEEDS2": (samplers.SamplerSEEDS2, "SamplerSEEDS2"),
    "KarrasScheduler": (sigmas.KarrasScheduler, "KarrasScheduler"),
    "ExponentialScheduler": (sigmas.ExponentialScheduler, "ExponentialScheduler"),
    "PolyexponentialScheduler": (sigmas.PolyexponentialScheduler, "PolyexponentialScheduler"),
    "LaplaceScheduler": (sigmas.LaplaceScheduler, "LaplaceScheduler"),
    "VPScheduler": (sigmas.VPScheduler, "VPScheduler"),
    "ManualSigmas": (sigmas.ManualSigmas, "ManualSigmas"),
    "SplitSigmas": (sigmas.SplitSigmas, "SplitSigmas"),
    "SplitSigmasDenoise": (sigmas.SplitSigmasDenoise, "SplitSigmasDenoise"),
    "FlipSigmas": (sigmas.FlipSigmas, "FlipSigmas"),
    "SetFirstSigma": (sigmas.SetFirstSigma, "SetFirstSigma"),
    "ExtendIntermediateSigmas": (sigmas.ExtendIntermediateSigmas, "ExtendIntermediateSigmas"),
    "StringConcatenate": (strings.StringConcatenate, "Concatenate Text"),
}

NATIVE_CLASS_MAPPINGS: dict[str, type] = {node_id: node_class for node_id, (node_class, _) in NODES.items()}
NATIVE_DISPLAY_NAME_MAPPINGS: dict[str, str] = {node_id: name for node_id, (_, name) in NODES.items()}
