"""Fetches model files by name, resumable and verified, and only when the user asks."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

COMFY_FILES = "Comfy-Org/ace_step_1.5_ComfyUI_files"
EMBEDDER = "Qwen/Qwen3-Embedding-0.6B"
READ_SIZE = 2**24

Say = Callable[[str], None]


class DownloadError(RuntimeError):
    """The files could not be fetched; the message says what to do."""


@dataclass(frozen=True)
class Source:
    """One file of a Hugging Face repository and where it goes below the model root."""

    repo: str
    path: str
    target: str


@dataclass(frozen=True)
class _Plan:
    """What the hub says about a source, and what is left to fetch."""

    source: Source
    target: Path
    part: Path
    url: str
    checksum: str
    size: int
    complete: bool

    @property
    def missing(self) -> int:
        return 0 if self.complete else self.size - (self.part.stat().st_size if self.part.exists() else 0)


def _bundle(variant: str) -> tuple[Source, ...]:
    """The files of one XL checkpoint.

    The network file of this layout has no silence latent; the official repository's goes beside it under the same
    stem. The text encoder has no tokenizer; its original repository's goes into a folder named like the file.
    """
    network = f"acestep_v1.5_xl_{variant}_bf16"
    encoder = "qwen_0.6b_ace15"
    return (
        _split("diffusion_models", f"{network}.safetensors"),
        _split("text_encoders", f"{encoder}.safetensors"),
        _split("vae", "ace_1.5_vae.safetensors"),
        Source(EMBEDDER, "tokenizer.json", f"text_encoders/{encoder}/tokenizer.json"),
        Source(EMBEDDER, "tokenizer_config.json", f"text_encoders/{encoder}/tokenizer_config.json"),
        Source(
            f"ACE-Step/acestep-v15-xl-{variant}",
            "silence_latent.pt",
            f"diffusion_models/{network}.silence_latent.pt",
        ),
    )


def _split(folder: str, name: str) -> Source:
    return Source(COMFY_FILES, f"split_files/{folder}/{name}", f"{folder}/{name}")


def find_bundle(name: str) -> tuple[Source, ...]:
    """The files of a bundle. Raises ValueError that lists the known bundles."""
    if name not in BUNDLES:
        raise ValueError(f"unknown bundle {name!r}; known: {', '.join(BUNDLES)}")
    return BUNDLES[name]


def download(sources: Sequence[Source], root: Path, say: Say, endpoint: str | None = None) -> list[Path]:
    """Bring every source below `root`; files that are there and whole are left alone.

    A partial file keeps its bytes beside its target as NAME.<checksum>.part and is continued by the next call; a file
    appears under its own name only when its size and checksum are the hub's. endpoint: another hub, None for
    HF_ENDPOINT or huggingface.co. Raises DownloadError.
    """
    plans = _plan(sources, root, say, endpoint)
    _check_space(sum(plan.missing for plan in plans), root)
    for plan in plans:
        if plan.complete:
            say(f"have {plan.target}")
            continue
        _fetch(plan, say)
    return [plan.target for plan in plans]


def _plan(sources: Sequence[Source], root: Path, say: Say, endpoint: str | None) -> list[_Plan]:
    plans: list[_Plan] = []
    faults: list[str] = []
    for source in sources:
        try:
            plans.append(_ask(source, root, say, endpoint))
        except DownloadError as error:
            faults.append(str(error))
    if faults:
        raise DownloadError("\n".join(faults))
    return plans


def _ask(source: Source, root: Path, say: Say, endpoint: str | None) -> _Plan:
    from huggingface_hub import get_hf_file_metadata, hf_hub_url
    from huggingface_hub.errors import EntryNotFoundError

    url = hf_hub_url(source.repo, source.path, endpoint=endpoint)
    try:
        facts = get_hf_file_metadata(url, endpoint=endpoint)
    except EntryNotFoundError as error:
        raise DownloadError(f"{source.repo} has no file {source.path} (404 from {url})") from error
    except Exception as error:  # the hub library's errors share no base class across its versions
        raise DownloadError(f"cannot ask the hub about {url}: {type(error).__name__}: {error}") from error
    if facts.size is None or facts.etag is None or len(facts.etag) not in (40, 64):
        raise DownloadError(f"the hub gives no size and checksum for {url}, so it could not be verified")
    target = root / source.target
    part = target.with_name(f"{target.name}.{facts.etag[:12]}.part")
    there = target.is_file() and target.stat().st_size == facts.size
    if there:
        say(f"checking {target}")
    complete = there and _checksum(target, facts.etag) == facts.etag
    # The commit the facts are about, so that a push in between cannot mix two versions.
    pinned = hf_hub_url(source.repo, source.path, revision=facts.commit_hash, endpoint=endpoint)
    return _Plan(source, target, part, pinned, facts.etag, facts.size, complete)


def _check_space(needed: int, root: Path) -> None:
    existing = next(folder for folder in (root, *root.absolute().parents) if folder.is_dir())
    free = shutil.disk_usage(existing).free
    if needed > free:
        raise DownloadError(
            f"{root} needs {_amount(needed)} more but its disk has {_amount(free)} free; "
            "free some space or choose another folder with --models"
        )


def _fetch(plan: _Plan, say: Say) -> None:
    plan.target.parent.mkdir(parents=True, exist_ok=True)
    have = plan.size - plan.missing
    if have > plan.size:
        plan.part.unlink()
        have = 0
    say(f"fetching {plan.target.name} ({_amount(plan.size)}" + (f", {_amount(have)} already here)" if have else ")"))
    with plan.part.open("ab") as file:
        _transfer(plan, file, have)
    if plan.part.stat().st_size != plan.size or _checksum(plan.part, plan.checksum) != plan.checksum:
        plan.part.unlink()
        raise DownloadError(f"{plan.source.path} arrived damaged and was thrown away; run the same command again")
    os.replace(plan.part, plan.target)
    say(f"wrote {plan.target}")


def _transfer(plan: _Plan, file: Any, have: int) -> None:
    # hf_hub_download deletes what it has when it is stopped (huggingface_hub 2.4); its own http_get can continue.
    from huggingface_hub.file_download import http_get
    from huggingface_hub.utils import build_hf_headers

    headers = build_hf_headers() | {"Accept-Encoding": "identity"}
    try:
        http_get(plan.url, file, resume_size=have, headers=headers, expected_size=plan.size)
    except Exception as error:  # as above: no common base class
        raise DownloadError(
            f"{plan.source.path} broke off: {type(error).__name__}: {error}\nrun the same command again to continue"
        ) from error


def _checksum(path: Path, like: str) -> str:
    """SHA-256 for large files, git's blob SHA-1 for small ones: whichever the hub's own checksum is."""
    digest = hashlib.sha256() if len(like) == 64 else hashlib.sha1(b"blob %d\0" % path.stat().st_size)
    with path.open("rb") as file:
        while block := file.read(READ_SIZE):
            digest.update(block)
    return digest.hexdigest()


def _amount(size: int) -> str:
    return f"{size / 1e9:.1f} GB" if size >= 1e8 else f"{size / 1e6:.1f} MB"


BUNDLES: dict[str, tuple[Source, ...]] = {f"xl-{variant}": _bundle(variant) for variant in ("sft", "base", "turbo")}
