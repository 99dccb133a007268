"""Replacements of ComfyUI's nodes for prompts, lengths and references."""

from __future__ import annotations

from typing import Any

from ... import parameters
from ...parameters import ids
from ..graph import Link
from ..workflow.dynamic_prompts import rewrite as without_comments
from . import effects
from .limits import outside
from .rewrite import Rewrite

LOWEST_TEMPO = 30
# Encode's input -> that of TextEncodeAceStepAudio1.5.
TEXT_INPUTS = {
    "text_encoder": "clip",
    "caption": "tags",
    "lyrics": "lyrics",
    "language": "language",
    "bpm": "bpm",
    "key_scale": "keyscale",
    "time_signature": "timesignature",
    "duration": "duration",
}


def replace_text_encode(rewrite: Rewrite, node_id: str) -> str:
    """TextEncodeAceStepAudio1.5 -> Encode. Returns why it stays, or ""."""
    before = rewrite.graph[node_id]
    texts = [before.inputs.get(name) for name in ("tags", "lyrics")]
    if any(isinstance(text, str) and "{" in text for text in texts):
        return "ComfyUI's editor draws one of its {alternatives|in braces}, which it does for this class alone"
    if problem := outside(before.inputs.get("duration"), "duration", "prompt_duration"):
        return problem
    inputs = {ours: before.inputs.get(theirs) for ours, theirs in TEXT_INPUTS.items()}
    for name in ("caption", "lyrics"):
        text = inputs[name]
        inputs[name] = without_comments(text) if isinstance(text, str) else text
    is_slow = isinstance(inputs["bpm"], int) and inputs["bpm"] < LOWEST_TEMPO
    inputs["bpm"] = 0 if is_slow else inputs["bpm"]
    rewrite.replace(node_id, ids.ENCODE, inputs)
    codes = effects.NO_CODES if before.inputs.get("generate_audio_codes", True) is not False else ""
    tempo = effects.LOW_TEMPO if is_slow else ""
    rewrite.record(node_id, before, (ids.ENCODE,), effects.PROMPT, codes, tempo)
    return ""


def replace_empty_latent(rewrite: Rewrite, node_id: str) -> str:
    """EmptyAceStep1.5LatentAudio -> EmptyLatent. Returns why it stays, or ""."""
    before = rewrite.graph[node_id]
    seconds, songs = before.inputs.get("seconds"), before.inputs.get("batch_size")
    problems = outside(seconds, "seconds", "duration"), outside(songs, "batch_size", "batch_size")
    if any(problems):
        return "; ".join(filter(None, problems))
    rewrite.replace(node_id, ids.EMPTY_LATENT, {"seconds": seconds, "batch_size": songs})
    rewrite.record(node_id, before, (ids.EMPTY_LATENT,), *_length_effects(seconds))
    return ""


def replace_reference(rewrite: Rewrite, node_id: str) -> str:
    """ReferenceTimbreAudio -> Timbre. Returns why it stays, or ""."""
    before = rewrite.graph[node_id]
    conditioning, latent = before.inputs.get("conditioning"), before.inputs.get("latent")
    if not isinstance(latent, Link):
        return "it has no latent, so it passes its conditioning on"
    rewrite.replace(node_id, ids.TIMBRE, {"conditioning": conditioning, "latent": latent})
    rewrite.record(node_id, before, (ids.TIMBRE,), effects.TIMBRE)
    return ""


def _length_effects(seconds: Any) -> list[str]:
    if not isinstance(seconds, (int, float)):
        return [effects.WHOLE_FRAMES]
    frames = float(seconds * parameters.FRAME_RATE)
    texts = [] if frames.is_integer() else [effects.WHOLE_FRAMES]
    texts += [effects.SHORT] if frames < parameters.MINIMUM_FRAMES else []
    return texts or [effects.NOTHING]
