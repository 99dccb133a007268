"""Replacements of ComfyUI's nodes between latents, recordings and files."""

from __future__ import annotations

from ...parameters import ids
from . import effects
from .rewrite import Rewrite

MARKS = (" [input]", " [output]", " [temp]")  # how ComfyUI names the folder of a recording
VARIABLE = "V0"


def replace_decode(rewrite: Rewrite, node_id: str) -> str:
    """VAEDecodeAudio, tiled or not, -> Decode. Always replaced."""
    before = rewrite.graph[node_id]
    rewrite.replace(node_id, ids.DECODE, {"latent": before.inputs.get("samples"), "vae": before.inputs.get("vae")})
    tiles = effects.TILES if "tile_size" in before.inputs else ""
    rewrite.record(node_id, before, (ids.DECODE,), effects.LEVEL, tiles)
    return ""


def replace_load_audio(rewrite: Rewrite, node_id: str) -> str:
    """LoadAudio -> our LoadAudio. Returns why it stays, or ""."""
    before = rewrite.graph[node_id]
    audio = before.inputs.get("audio")
    if not isinstance(audio, str):
        return "which file it loads comes over a link"
    if audio.endswith(MARKS):
        return f"{audio!r} names a folder, and this pack's node reads the input folder alone"
    rewrite.replace(node_id, ids.LOAD_AUDIO, {"audio": audio})
    rewrite.record(node_id, before, (ids.LOAD_AUDIO,), effects.NOTHING)
    return ""


def replace_save(rewrite: Rewrite, node_id: str) -> str:
    """SaveAudio, SaveAudioMP3, SaveAudioOpus -> Save. Returns why it stays, or ""."""
    before = rewrite.graph[node_id]
    quality = before.inputs.get("quality", VARIABLE)
    if not isinstance(quality, str):
        return "its quality comes over a link"
    inputs = {"audio": before.inputs.get("audio"), "filename_prefix": before.inputs.get("filename_prefix")}
    effect = effects.NOTHING
    if before.class_type == "SaveAudio":
        inputs |= {"format": "flac", "bit_depth": "16"}
    elif before.class_type == "SaveAudioMP3":
        inputs |= {"format": "mp3", "bitrate": 320 if quality == VARIABLE else int(quality.removesuffix("k"))}
        effect = effects.MP3_RATE if quality == VARIABLE else effect
    else:
        inputs |= {"format": "ogg"}
        effect = effects.OPUS
    rewrite.replace(node_id, ids.SAVE, inputs)
    rewrite.record(node_id, before, (ids.SAVE,), effect)
    return ""


def replace_preview(rewrite: Rewrite, node_id: str) -> str:
    """PreviewAudio -> Preview. Always replaced."""
    before = rewrite.graph[node_id]
    rewrite.replace(node_id, ids.PREVIEW, {"audio": before.inputs.get("audio")})
    rewrite.record(node_id, before, (ids.PREVIEW,), effects.NOTHING)
    return ""
