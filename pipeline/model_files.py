"""Which files a loader's choices stand for, by ComfyUI's folder names, and whether they can be loaded."""

from __future__ import annotations

import difflib
from collections.abc import Callable
from pathlib import Path

from .. import parameters
from ..host.folder_parts import part_of
from ..host.model_folders import is_weight_file
from ..host.protocol import Host
from ..model import demo
from ..model.checkpoint import read_silence
from ..model.fit import check_fit
from ..model.layouts import Component, Layout, open_text_encoder, open_vae, recognise
from ..model.tokenizer import find_tokenizer

# ComfyUI's folders for each part of a model; the first that has the name wins. The official application keeps all parts
# in one folder, so the later ones are searched for folders of the part.
KINDS = {
    "model": ("diffusion_models", "checkpoints", "diffusers"),
    "text_encoder": ("text_encoders", "diffusers", "checkpoints"),
    "vae": ("vae", "diffusers", "checkpoints"),
}
# Words that "auto" looks for in file names where a checkpoint lacks the part; the later ones, of acestep.cpp's files,
# where no name has the first.
AUTO_WORDS = {"text_encoder": (("qwen", "0.6b"),), "vae": (("ace", "1.5", "vae"), ("vae-", ".gguf"))}
# Words in names of the models that this pack is for, and of files that are likely another part.
PREFERRED, OTHER_PARTS = ("sft", "xl", "1.5", "v15"), ("lm", "5hz", "vae", "qwen", "lora")
SHOWN_NAMES = 20

Files = tuple[Layout, Component, Component]


def find(host: Host, model: str, text_encoder: str, vae: str) -> Files:
    """The checkpoint, its text encoder and its VAE by the loader's choices, from the headers of their files.

    Raises FileNotFoundError and CheckpointError for what can't be loaded.
    """
    layout = recognise(_path(host, "model", model))
    text = _component(host, "text_encoder", text_encoder, layout.text)
    sound = _component(host, "vae", vae, layout.vae)
    check_fit(layout, text, sound)
    read_silence(layout)
    return layout, text, sound


def problem(host: Host, model: str, text_encoder: str, vae: str) -> str:
    """Why the loader's choices can't be loaded; empty if they can. Reads the headers of the files."""
    missing = []
    for part, name in zip(KINDS, (model, text_encoder, vae), strict=True):
        if name == parameters.AUTO:
            continue
        try:
            _path(host, part, name)
        except FileNotFoundError as error:
            missing.append(str(error))
    if missing:
        return "\n".join(missing)
    try:
        _, text, _ = find(host, model, text_encoder, vae)
        find_tokenizer(text.path, host.tokenizer_bundles())
    except (OSError, ValueError) as error:
        return str(error)
    return ""


def _component(host: Host, part: str, name: str, included: Component | None) -> Component:
    """The part the user chose; for "auto" the one in the checkpoint, or the only one that is named like one."""
    opener: Callable[[Path], Component] = open_text_encoder if part == "text_encoder" else open_vae
    if name != parameters.AUTO:
        return opener(_path(host, part, name))
    if included is not None:
        return included
    names = part_names(host, part)
    by_words = ([name for name in names if all(map(name.lower().__contains__, words))] for words in AUTO_WORDS[part])
    matches = next(filter(None, by_words), [])
    if len(matches) == 1:
        return opener(_path(host, part, matches[0]))
    raise FileNotFoundError(
        f"{part} = auto: the checkpoint has none, and {len(matches)} files in {KINDS[part][0]} are named like one"
        f"{': ' + ', '.join(matches) if matches else ''}. Choose one by name, or run `acestep-xl download xl-sft`"
    )


def part_names(host: Host, part: str) -> list[str]:
    """The names to choose a part from ("model", "text_encoder" or "vae"): what is likely to be one first.

    Folders of other parts are left out. Files are recognised by name alone, so that a list costs no reading.
    """
    first, *others = KINDS[part]
    names = [name for name in host.model_names(first) if _may_be(host, first, name, part, ("unknown",))]
    unsure = ("unknown",) if part == "model" else ()
    for kind in others:
        names += [name for name in host.model_names(kind) if _may_be(host, kind, name, part, unsure)]
    return sorted(dict.fromkeys(names), key=_rank if part == "model" else str.lower)


def _may_be(host: Host, kind: str, name: str, part: str, unsure: tuple[str, ...]) -> bool:
    """Whether a name belongs among the choices of a part. unsure: what a file or an unreadable folder counts as."""
    return ("unknown" if is_weight_file(name) else part_of(host.model_path(kind, name))) in (part, *unsure)


def _rank(name: str) -> tuple[bool, bool, int, str]:
    lower = name.lower()
    is_other = any(word in lower for word in OTHER_PARTS)
    return "ace" not in lower, is_other, -sum(word in lower for word in PREFERRED), lower


def _path(host: Host, part: str, name: str) -> Path:
    for kind in KINDS[part]:
        try:
            return host.model_path(kind, name)
        except FileNotFoundError:
            continue
    names, folders = part_names(host, part), host.search_folders()
    closest = difflib.get_close_matches(name, names, n=1, cutoff=0.4)
    hint = f" Did you mean {closest[0]!r}?" if closest else ""
    choices = [*names[:SHOWN_NAMES], *([f"{len(names) - SHOWN_NAMES} more"] if names[SHOWN_NAMES:] else [])]
    choices.append(demo.NAME if part == "model" else parameters.AUTO)
    searched = ", ".join(str(folder) for kind in KINDS[part] for folder in folders.get(kind, [])) or "no folder"
    raise FileNotFoundError(
        f"{part}: {name!r} is not one of the choices: {', '.join(choices)}.{hint} Looked in {searched}; choose "
        "another, or run `acestep-xl download xl-sft`"
    )
