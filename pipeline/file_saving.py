"""Writes the files of output nodes under free names, and keeps them elsewhere where that fails."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from ..audio.file_names import prefix_problems, split_prefix
from ..audio.files import numbered_stem, write_new
from ..host import current_host
from ..host.submission import Submission, current_submission
from .name_tokens import expand_tokens

_RESCUED = "rescued"  # prefix of files that are kept elsewhere
_ATTEMPTS = 100  # numbers that another program may take while a file is written


@dataclass(frozen=True)
class OutputFile:
    """A complete file. sidecar: the content of the JSON file beside it, given the file's name; None for none."""

    data: bytes
    extension: str
    sidecar: Callable[[str], bytes] | None = None


class NotSaved(OSError):  # noqa: N818 - says what happened to the song
    """Files are not where they should be; the message says why and where they are."""

    def __str__(self) -> str:
        return str(self.strerror)


def name_problems(prefix: str, extension: str, size: int) -> list[str]:
    """What will keep files of that prefix and extension, of `size` bytes altogether, from being written, in words."""
    submission = current_submission()
    try:
        expanded = expand_tokens(prefix, submission)
    except ValueError as error:
        return [str(error)]
    if problems := prefix_problems(expanded):
        made = "" if expanded == prefix else f" (made from {prefix!r})"
        return [problem + made for problem in problems]
    folders, name = split_prefix(expanded)
    problem = current_host().output_problem("/".join(folders), f"{name}_00001_.{extension}", size)
    return [] if problem is None else [problem]


def save_files(files: Iterable[OutputFile], prefix: str, submission: Submission | None) -> list[dict[str, str]]:
    """Write files under the next free names in the output folder, and return ComfyUI's references to them.

    prefix: with tokens that refer to the submission's nodes. A file that cannot be written is kept in another folder
    and the others are written all the same; then NotSaved says what is where.
    """
    references: list[dict[str, str]] = []
    failures: list[tuple[Exception, Path | None]] = []
    try:
        for index, file in enumerate(files):
            try:
                path = _write(current_host().output_directory(), expand_tokens(prefix, submission, index), file)
                references.append(output_reference(path))
            except (OSError, ValueError) as error:
                failures.append((error, _rescue(file)))
    except BaseException:
        if failures:
            current_host().warn(str(_not_saved(failures, len(references))))
        raise
    if failures:
        raise _not_saved(failures, len(references)) from failures[0][0]
    return references


def output_reference(path: Path) -> dict[str, str]:
    """ComfyUI's reference to a file in the output folder, for its "ui" results."""
    subfolder = path.relative_to(current_host().output_directory()).parent
    return {"filename": path.name, "subfolder": "" if subfolder == Path() else subfolder.as_posix(), "type": "output"}


def output_path(reference: dict[str, str]) -> Path:
    """The file of a reference to the output folder."""
    return current_host().output_directory() / reference["subfolder"] / reference["filename"]


def _write(directory: Path, prefix: str, file: OutputFile) -> Path:
    for attempt in range(_ATTEMPTS):
        with numbered_stem(directory, prefix) as stem:
            try:
                return _write_pair(stem, file)
            except FileExistsError:
                if attempt == _ATTEMPTS - 1:
                    raise
    raise AssertionError("unreachable")


def _write_pair(stem: Path, file: OutputFile) -> Path:
    """The sidecar, then the file, so that there is never a file without its sidecar."""
    path = stem.with_name(f"{stem.name}.{file.extension}")
    if file.sidecar is None:
        write_new(path, file.data)
        return path
    sidecar = write_new(stem.with_name(f"{stem.name}.json"), file.sidecar(path.name))
    try:
        write_new(path, file.data)
    except BaseException:
        sidecar.unlink(missing_ok=True)
        raise
    return path


def _rescue(file: OutputFile) -> Path | None:
    """Write a file into the first folder that takes it."""
    for folder in current_host().rescue_folders():
        try:
            return _write(folder.absolute(), _RESCUED, file)
        except OSError:
            continue
    return None


def _not_saved(failures: list[tuple[Exception, Path | None]], saved: int) -> NotSaved:
    reasons = dict.fromkeys(getattr(error, "strerror", None) or str(error) for error, _ in failures)
    kept = [str(path) for _, path in failures if path is not None]
    lost = len(failures) - len(kept)
    parts = [f"{len(failures)} of {len(failures) + saved} files could not be written: {'; '.join(reasons)}"]
    if kept:
        parts.append(f"kept instead as {', '.join(kept)}")
    if lost:
        parts.append(f"{lost} could not be kept anywhere")
    code = next((error.errno for error, _ in failures if isinstance(error, OSError) and error.errno), None)
    return NotSaved(code or 0, ". ".join(part[0].upper() + part[1:] for part in parts))
