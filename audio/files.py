"""Names and writes audio files."""

from __future__ import annotations

import os
import re
import uuid
from pathlib import Path, PureWindowsPath


def write_bytes(path: str | Path, data: bytes) -> Path:
    """Write a file that appears under its name only when it is complete; returns its absolute path.

    Creates missing folders and replaces an existing file. An incomplete file is removed. Raises OSError, for example
    for a full disk.
    """
    path = Path(path).absolute()
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{uuid.uuid4().hex}.part")
    try:
        partial.write_bytes(data)
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)
    return path


def numbered_path(directory: str | Path, prefix: str, extension: str) -> Path:
    """The next free name in ComfyUI's scheme, `directory/prefix_00001_.extension`: one above the highest number there.

    prefix: may contain folders, separated by / or \\ on every system, so that workflows are portable. All extensions
    count. Raises ValueError for a prefix that leaves `directory` or is not a file name.
    """
    parts = PureWindowsPath(prefix)
    if parts.drive or parts.root or ".." in parts.parts:
        raise ValueError(f"file name prefix {prefix!r} leaves the output folder; use a relative name without ..")
    if illegal := sorted(set(re.findall(r'[<>:"|?*\x00-\x1f]', prefix))):
        raise ValueError(f"file name prefix {prefix!r} contains {illegal}, which not every system allows in names")
    if not parts.name or prefix[-1] in "/\\":
        raise ValueError(f"file name prefix {prefix!r} has no name after its folders; use something like audio/song")
    folder = Path(directory).joinpath(*parts.parts[:-1])
    pattern = re.compile(re.escape(os.path.normcase(parts.name)) + r"_(\d+)_", re.ASCII)
    names = os.listdir(folder) if folder.is_dir() else []
    numbers = [int(match[1]) for name in names if (match := pattern.match(os.path.normcase(name)))]
    return folder / f"{parts.name}_{max(numbers, default=0) + 1:05}_.{extension}"
