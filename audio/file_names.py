"""File name prefixes, in ComfyUI's scheme `folder/name_00001_.extension`, that every system takes."""

from __future__ import annotations

import re
import unicodedata
from pathlib import PureWindowsPath

# File systems allow 255 bytes in a name; the rest is for the number, the extension and a hidden marker's dot.
LONGEST_PART, LONGEST_NAME = 255, 237
_SHOWN = 60  # characters of a prefix in a message
_ILLEGAL = '<>:"|?*'
_UNPRINTABLE = ("Cc", "Cs", "Zl", "Zp")  # control characters, halves of surrogate pairs, line separators
# Names of devices on Windows, with any extension.
_PORTS = [f"{port}{number}" for port in ("COM", "LPT") for number in "0123456789¹²³"]
_DEVICES = frozenset(["CON", "PRN", "AUX", "NUL", "CONIN$", "CONOUT$", *_PORTS])


def split_prefix(prefix: str) -> tuple[tuple[str, ...], str]:
    """The folders and the name of a prefix. Both / and \\ separate folders on every system.

    Raises ValueError with everything that keeps the prefix from naming a file inside the output folder.
    """
    if problems := prefix_problems(prefix):
        raise ValueError("; ".join(problems))
    *folders, name = _parts(prefix)
    return tuple(folder for folder in folders if folder not in ("", ".")), name


def prefix_problems(prefix: str) -> list[str]:
    """What is wrong with a prefix, in words."""
    shown = f"file name prefix {prefix if len(prefix) <= _SHOWN else prefix[:_SHOWN] + '...'!r}"
    *folders, name = _parts(prefix)
    problems = []
    windows = PureWindowsPath(prefix)
    if windows.drive or windows.root or ".." in (*folders, name):
        problems.append(f"{shown} leaves the output folder; use a relative name without ..")
    elif name.strip(" .") == "":
        problems.append(f"{shown} has no name after its folders; use something like audio/song")
    if illegal := sorted({character for character in prefix if _is_illegal(character)}):
        problems.append(f"{shown} contains {illegal}, which not every system allows in names; leave them out")
    for part in folders:
        if part not in ("", ".", "..") and part[-1] in " .":
            problems.append(f"{shown} has a folder {_short(part)} that ends in a space or dot, which Windows drops")
    # The number follows the name, so only an extension of its own makes a device of it.
    for part in (*folders, *([name] if "." in name else [])):
        if part.partition(".")[0].rstrip(" ").upper() in _DEVICES:
            problems.append(f"{shown} contains {_short(part)}, the name of a device on Windows; choose another")
    for part, limit in (*((folder, LONGEST_PART) for folder in folders), (name, LONGEST_NAME)):
        if (size := len(part.encode("utf-8", "surrogatepass"))) > limit:
            problems.append(f"{shown} is too long: {_short(part)} takes {size} bytes in UTF-8, allowed: {limit}")
    return problems


def legal_text(text: str) -> str:
    """A text as part of a file name: characters that some system forbids, and separators, become underscores."""
    return "".join("_" if _is_illegal(character) or character in "/\\" else character for character in text)


def _parts(prefix: str) -> list[str]:
    return re.split(r"[/\\]", prefix)


def _is_illegal(character: str) -> bool:
    return character in _ILLEGAL or unicodedata.category(character) in _UNPRINTABLE


def _short(part: str) -> str:
    return repr(part if len(part) <= _SHOWN else part[:_SHOWN] + "...")
