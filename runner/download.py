"""Downloads model files from the Hugging Face hub: resumable, verified, and only when the user asks."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from .model_bundles import Source

READ_SIZE = 2**24

Report = Callable[[str], None]


class DownloadError(RuntimeError):
    """A download failed; the message says what to do."""


@dataclass(frozen=True)
class _RemoteFile:
    """What the hub says about a source, and the local files that it becomes. size: bytes."""

    source: Source
    target: Path
    part: Path
    url: str
    checksum: str
    size: int
    is_complete: bool

    @property
    def missing(self) -> int:
        """Bytes left to download; negative if the partial file is too long."""
        if self.is_complete:
            return 0
        return self.size - (self.part.stat().st_size if self.part.exists() else 0)


def download(sources: Sequence[Source], root: Path, report: Report, endpoint: str | None = None) -> list[Path]:
    """Download every source below `root`, except the files that are already complete there. Returns their paths.

    A partial file is kept beside its target as NAME.<checksum>.part and resumed by the next call; a file gets its own
    name only once its size and checksum match the hub's. endpoint: a hub in place of HF_ENDPOINT or huggingface.co.
    Raises DownloadError.
    """
    files = _look_up_all(sources, root, report, endpoint)
    _check_space(sum(file.missing for file in files), root)
    for file in files:
        if file.is_complete:
            report(f"have {file.target}")
        else:
            _download_file(file, report)
    return [file.target for file in files]


def _look_up_all(sources: Sequence[Source], root: Path, report: Report, endpoint: str | None) -> list[_RemoteFile]:
    files: list[_RemoteFile] = []
    problems: list[str] = []
    for source in sources:
        try:
            files.append(_look_up(source, root, report, endpoint))
        except DownloadError as error:
            problems.append(str(error))
    if problems:
        raise DownloadError("\n".join(problems))
    return files


def _look_up(source: Source, root: Path, report: Report, endpoint: str | None) -> _RemoteFile:
    from huggingface_hub import get_hf_file_metadata, hf_hub_url
    from huggingface_hub.errors import EntryNotFoundError

    url = hf_hub_url(source.repo, source.path, endpoint=endpoint)
    try:
        metadata = get_hf_file_metadata(url, endpoint=endpoint)
    except EntryNotFoundError as error:
        raise DownloadError(f"{source.repo} has no file {source.path} (404 from {url})") from error
    except Exception as error:  # the hub library's errors share no base class across its versions
        raise DownloadError(f"the hub request for {url} failed: {type(error).__name__}: {error}") from error
    if metadata.size is None or metadata.etag is None or len(metadata.etag) not in (40, 64):
        raise DownloadError(f"the hub gives no size and checksum for {url}, so the file could not be verified")
    target = root / source.target
    part = target.with_name(f"{target.name}.{metadata.etag[:12]}.part")
    is_complete = target.is_file() and target.stat().st_size == metadata.size
    if is_complete:
        report(f"checking {target}")
        is_complete = _checksum(target, metadata.etag) == metadata.etag
    # The commit that the metadata describes, so that a push in between cannot mix two versions.
    pinned = hf_hub_url(source.repo, source.path, revision=metadata.commit_hash, endpoint=endpoint)
    return _RemoteFile(source, target, part, pinned, metadata.etag, metadata.size, is_complete)


def _check_space(needed: int, root: Path) -> None:
    existing = next(folder for folder in (root, *root.absolute().parents) if folder.is_dir())
    free = shutil.disk_usage(existing).free
    if needed > free:
        raise DownloadError(
            f"{root} needs {_format_size(needed)} more, but its disk has only {_format_size(free)} free; "
            "free some space or choose another folder with --models"
        )


def _download_file(file: _RemoteFile, report: Report) -> None:
    file.target.parent.mkdir(parents=True, exist_ok=True)
    offset = file.size - file.missing
    if offset > file.size:
        file.part.unlink()
        offset = 0
    resumed = f", {_format_size(offset)} already here" if offset else ""
    report(f"fetching {file.target.name} ({_format_size(file.size)}{resumed})")
    with file.part.open("ab") as stream:
        _append(file, stream, offset)
    if file.part.stat().st_size != file.size or _checksum(file.part, file.checksum) != file.checksum:
        file.part.unlink()
        raise DownloadError(f"{file.source.path} arrived damaged and was deleted; run the same command again")
    os.replace(file.part, file.target)
    report(f"wrote {file.target}")


def _append(file: _RemoteFile, stream: BinaryIO, offset: int) -> None:
    """Append the rest of a file from a byte offset on."""
    # hf_hub_download deletes a partial file when interrupted (huggingface_hub 2.4); the http_get below it can resume.
    from huggingface_hub.file_download import http_get
    from huggingface_hub.utils import build_hf_headers

    headers = build_hf_headers() | {"Accept-Encoding": "identity"}
    try:
        http_get(file.url, stream, resume_size=offset, headers=headers, expected_size=file.size)
    except Exception as error:  # as above: no common base class
        raise DownloadError(
            f"the download of {file.source.path} failed: {type(error).__name__}: {error}\n"
            "run the same command again to resume it"
        ) from error


def _checksum(path: Path, expected: str) -> str:
    """The file's checksum of the hub's kind: SHA-256 for large files, git's blob SHA-1 for small ones."""
    digest = hashlib.sha256() if len(expected) == 64 else hashlib.sha1(b"blob %d\0" % path.stat().st_size)
    with path.open("rb") as file:
        while block := file.read(READ_SIZE):
            digest.update(block)
    return digest.hexdigest()


def _format_size(size: int) -> str:
    return f"{size / 1e9:.1f} GB" if size >= 1e8 else f"{size / 1e6:.1f} MB"
