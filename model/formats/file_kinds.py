"""Identifies files by their first bytes, for errors about files that are not what their names say."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

HEAD = 4096
LARGEST_HEADER = 100_000_000  # bytes; the safetensors library refuses longer ones
SHOWN_TEXT = 80

_GGML = (b"lmgg", b"tjgg", b"fmgg", b"algg")
_OLD_TORCH = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."  # of torch.save before version 1.6
_AUDIO = (b"RIFF", b"fLaC", b"OggS", b"ID3", b"\xff\xfb", b"\xff\xf3", b"FORM")
_ARCHIVES = (b"PK\x03\x04", b"\x1f\x8b", b"7z\xbc\xaf", b"Rar!", b"\xfd7zXZ", b"\x28\xb5\x2f\xfd", b"BZh")
_PICTURES = (b"\x89PNG", b"\xff\xd8\xff", b"GIF8", b"%PDF")
_PAGE = re.compile(rb"\s*<(!doctype|html|head|body|\?xml|!--)", re.IGNORECASE)
_AGAIN = "fetch the file again"


class FileKind(NamedTuple):
    """name: as in "it is a web page". matches: called with the first bytes. remedy: called with them for messages."""

    name: str
    matches: Callable[[bytes], object]
    remedy: Callable[[bytes], str]


def identify(path: Path) -> str:
    """The kind of a file, a key of KINDS, or "unknown"."""
    head = _head(path)
    return next((key for key, kind in KINDS.items() if kind.matches(head)), "unknown")


def mismatch(path: Path, expected: str) -> str:
    """What is wrong with a file that is not ``expected`` (such as "a safetensors file"), what it is, and the remedy."""
    return f"{path} ({path.stat().st_size:,} bytes) is not {expected}: {describe(path)}"


def describe(path: Path) -> str:
    """What a file is and what to do about it, for the end of a message."""
    head, key = _head(path), identify(path)
    if key == "unknown":
        return f"no known format starts with {head[:8]!r}; {_AGAIN}"
    return f"it is {KINDS[key].name}; {KINDS[key].remedy(head)}"


def _head(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(HEAD)


def _always(text: str) -> Callable[[bytes], str]:
    return lambda head: text


def _quote(head: bytes) -> str:
    text = " ".join(head.decode("utf-8", "replace").split())
    return repr(text if len(text) <= SHOWN_TEXT else text[:SHOWN_TEXT] + " ...")


def _pointer_remedy(head: bytes) -> str:
    size = re.search(rb"size (\d+)", head)
    announced = f"the file of {int(size[1]):,} bytes" if size else "the file"
    return f"it only stands for {announced}: run `git lfs pull` where it was cloned, or download the file itself"


def _page_remedy(head: bytes) -> str:
    title = re.search(rb"<title[^>]*>(.*?)</title", head, re.IGNORECASE | re.DOTALL)
    titled = f" with the title {_quote(title[1])}" if title else ""
    return f"the download saved a page{titled} in its place; {_AGAIN}, signed in if the page asks for it"


def _is_safetensors(head: bytes) -> bool:
    return len(head) > 8 and 2 <= int.from_bytes(head[:8], "little") <= LARGEST_HEADER and head[8:9] == b"{"


def _is_text(head: bytes) -> bool:
    try:
        text = head[: HEAD - 3].decode("utf-8")
    except UnicodeDecodeError:
        return False
    return all(character.isprintable() or character.isspace() for character in text)


def _is_onnx(head: bytes) -> bool:
    """A protobuf with a small version number first and the producer's name second."""
    return head[:1] == b"\x08" and head[1:2] < b"\x20" and head[2:3] == b"\x12" and head[4:8].isalnum()


# The first match wins, so what many files start with comes last.
KINDS: dict[str, FileKind] = {
    "empty": FileKind("an empty file", lambda head: not head, _always(_AGAIN)),
    "safetensors": FileKind("a safetensors file", _is_safetensors, _always("choose it as a model file")),
    "gguf": FileKind(
        "a GGUF file",
        lambda head: head.startswith(b"GGUF"),
        _always("give it a name that ends in .gguf"),
    ),
    "ggml": FileKind(
        "a GGML file", lambda head: head.startswith(_GGML), _always("choose the safetensors file of the model")
    ),
    "pointer": FileKind("a Git LFS pointer", lambda head: head.startswith(b"version https://git-lfs"), _pointer_remedy),
    "page": FileKind("a web page", lambda head: _PAGE.match(head.removeprefix(b"\xef\xbb\xbf")), _page_remedy),
    "torch": FileKind(
        "a PyTorch file",
        lambda head: (head.startswith(b"PK\x03\x04") and b"data.pkl" in head) or head.startswith(_OLD_TORCH),
        _always("PyTorch files can run code when read; choose or convert to the safetensors file of the model"),
    ),
    "pickle": FileKind(
        "a pickle",
        lambda head: head[:1] == b"\x80" and head[1:2] in (b"\x02", b"\x03", b"\x04", b"\x05"),
        _always("pickles can run code when read; choose or convert to the safetensors file of the model"),
    ),
    "archive": FileKind(
        "an archive",
        lambda head: head.startswith(_ARCHIVES) or head[257:262] == b"ustar",
        _always("unpack it and choose the file inside"),
    ),
    "onnx": FileKind("an ONNX model", _is_onnx, _always("choose the safetensors file of the model")),
    "hdf5": FileKind(
        "an HDF5 file", lambda head: head.startswith(b"\x89HDF"), _always("choose the safetensors file of the model")
    ),
    "numpy": FileKind("a NumPy array", lambda head: head.startswith(b"\x93NUMPY"), _always(_AGAIN)),
    "audio": FileKind(
        "an audio or video file",
        lambda head: head.startswith(_AUDIO) or head[4:8] == b"ftyp" or head.startswith(b"\x1aE\xdf\xa3"),
        _always("recordings belong in the input folder"),
    ),
    "picture": FileKind("a picture or document", lambda head: head.startswith(_PICTURES), _always(_AGAIN)),
    "zeros": FileKind(
        "reserved space that was never filled",
        lambda head: not any(head),
        _always(f"the download stopped or is still running; {_AGAIN}"),
    ),
    "json": FileKind(
        "a JSON text",
        lambda head: head.lstrip()[:1] in (b"{", b"[") and _is_text(head),
        lambda head: f"it begins with {_quote(head)}; {_AGAIN}",
    ),
    "text": FileKind("a text", _is_text, lambda head: f"it begins with {_quote(head)}; {_AGAIN}"),
}
