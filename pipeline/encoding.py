"""Prompts to text states; a prompt that was just encoded is not encoded again."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, TypeVar
from weakref import WeakKeyDictionary

import torch

from ..host import current_host
from ..model.prompt import Prompt
from ..model.text import TextEncoder, TextStates
from . import clip_socket
from .memory import estimate
from .memory.oom_retry import Strategy, fallbacks, run_with_retries

T = TypeVar("T")
REMEMBERED = 8  # prompts per encoder, 9 MB each with the longest texts

_remembered: WeakKeyDictionary[TextEncoder, OrderedDict[Prompt, TextStates]] = WeakKeyDictionary()


def encode(clip: Any, prompts: Sequence[Prompt]) -> list[TextStates]:
    """The states of each prompt, ``[1 n d]`` on the CPU. clip: a CLIP, from this pack's loader or ComfyUI's.

    ComfyUI runs a node again when anything above it changes, also what leaves its inputs as they were: the number of
    songs, beside the length that goes into the prompt. The encoder is then neither loaded nor run.
    """
    recent = _remembered.setdefault(clip_socket.encoder_of(clip), OrderedDict())
    states = {prompt: recent[prompt] for prompt in prompts if prompt in recent}
    states |= _encode_new(clip, [prompt for prompt in dict.fromkeys(prompts) if prompt not in states])
    for prompt, encoded in states.items():
        recent[prompt] = encoded
        recent.move_to_end(prompt)
    while len(recent) > REMEMBERED:
        recent.popitem(last=False)
    return [states[prompt] for prompt in prompts]


def _encode_new(clip: Any, prompts: Sequence[Prompt]) -> dict[Prompt, TextStates]:
    if not prompts:
        return {}
    return with_encoder(clip, lambda encoder: {prompt: _on_cpu(encoder.encode([prompt])) for prompt in prompts})


def with_encoder(clip: Any, work: Callable[[TextEncoder], T]) -> T:
    """What `work` makes of a CLIP's text encoder while it is loaded."""
    host, encoder = current_host(), clip_socket.encoder_of(clip)

    def encode_loaded(strategy: Strategy, device: torch.device) -> T:
        return work(encoder)

    strategies = fallbacks(estimate.text(encoder.model), host.memory_info("text"))
    return run_with_retries(host, "encoding the prompt", [clip_socket.held(clip)], strategies, encode_loaded, "text")


def _on_cpu(states: TextStates) -> TextStates:
    tensors = ("caption", "caption_mask", "lyrics", "lyrics_mask")
    return replace(states, **{name: getattr(states, name).cpu() for name in tensors})
