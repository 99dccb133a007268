"""A route of ComfyUI's server: copies a result into the input folder, where it can be the source of another run."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from aiohttp import web

from ...host import current_host

if TYPE_CHECKING:
    from ...host.protocol import Host

PATH = "/acestep-xl-sources"
_EXTENSIONS = (".flac", ".wav", ".mp3", ".ogg")


async def copy_result(request: web.Request) -> web.Response:
    """Copy the file that a body `{"filename", "subfolder", "type"}` names, as ComfyUI refers to results.

    Answers `{"name"}`, its name in the input folder, or `{"error"}`.
    """
    try:
        body = await request.json()
        source = result_path(current_host(), body)
        name = await asyncio.to_thread(copy_into, current_host().input_directory(), source)
    except FileNotFoundError as error:
        return web.json_response({"error": str(error)}, status=404)
    except ValueError as error:
        return web.json_response({"error": str(error)}, status=400)
    except OSError as error:
        return web.json_response({"error": f"the copy failed: {error.strerror}"}, status=500)
    return web.json_response({"name": name})


def result_path(host: Host, body: object) -> Path:
    """The file of a result. Raises ValueError for anything else than a song in the output or temporary folder, and
    FileNotFoundError for one that is gone."""
    names = [body.get(key, "") for key in ("filename", "subfolder", "type")] if isinstance(body, dict) else []
    if not names or not all(isinstance(name, str) and "\0" not in name for name in names):
        raise ValueError("the body must be a JSON object with the texts filename, subfolder and type")
    filename, subfolder, kind = names
    folders = {"output": host.output_directory, "temp": host.temp_directory}
    if kind not in folders:
        raise ValueError(f"type is {kind!r}, allowed: {', '.join(folders)}")
    root = folders[kind]().resolve()
    path = (root / subfolder / filename).resolve()
    if not path.is_relative_to(root) or path.suffix.lower() not in _EXTENSIONS:
        raise ValueError(f"{filename!r} is not a song in the {kind} folder: allowed are {', '.join(_EXTENSIONS)}")
    if not path.is_file():
        raise FileNotFoundError(f"{filename!r} is no longer in the {kind} folder; run the workflow again")
    return path


def copy_into(folder: Path, source: Path) -> str:
    """Copy a file under its name, or the next free one, and return that. An identical file is not copied again."""
    from ...audio.files import write_new

    data = source.read_bytes()
    for path in _names(folder / source.name):
        if path.is_file() and path.stat().st_size == len(data) and path.read_bytes() == data:
            return path.name
        try:
            return write_new(path, data).name
        except FileExistsError:
            continue
    raise AssertionError("unreachable")


def _names(path: Path) -> Iterator[Path]:
    yield path
    for number in itertools.count(2):
        yield path.with_stem(f"{path.stem} ({number})")
