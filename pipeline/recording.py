"""How nodes read recordings that the user named."""

from __future__ import annotations

import hashlib
from pathlib import Path

from torch import Tensor

from ..audio.containers import UnreadableAudio
from ..audio.decoding import read as decode


def read(path: Path, name: str) -> tuple[Tensor, int]:
    """The waveform ``[1 c n]`` of an absolute path and its rate in Hz. Raises UnreadableAudio, which names the name.

    A service passes errors on to its clients, who must not learn where the folder is.
    """
    try:
        return decode(path)
    except UnreadableAudio as error:
        raise UnreadableAudio(str(error).replace(str(path), name)) from None


def fingerprint(path: Path) -> str:
    """What changes when the file's content does."""
    return hashlib.sha256(path.read_bytes()).hexdigest()
