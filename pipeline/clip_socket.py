"""CLIP sockets: our text encoder, and that of ComfyUI's own loaders."""

from __future__ import annotations

from typing import Any
from weakref import WeakKeyDictionary

from torch import nn

from ..host import current_host
from ..host.protocol import Held
from ..model.text import TextEncoder
from ..model.tokenizer import find_tokenizer, load_tokenizer

# What encodes for a CLIP of another loader, or for one that other nodes have patched: its states are its own.
_encoders: WeakKeyDictionary[Any, TextEncoder] = WeakKeyDictionary()


def encoder_of(clip: Any) -> TextEncoder:
    """The text encoder of a CLIP. Raises ValueError for that of another model."""
    host = current_host()
    encoder = host.sockets.encoder_of(clip)
    if isinstance(encoder, TextEncoder) and not host.sockets.is_patched(clip):
        return encoder
    if clip not in _encoders:
        if isinstance(encoder, nn.Module):
            bundles = host.tokenizer_bundles()
            _encoders[clip] = TextEncoder(encoder, load_tokenizer(find_tokenizer(bundles[-1], bundles)))
        else:
            _encoders[clip] = TextEncoder(encoder.model, encoder.tokenizer)
    return _encoders[clip]


def held(clip: Any) -> Held:
    """The text network of a CLIP, for the host to load with the patches of other nodes."""
    return Held(encoder_of(clip).model, clip)
