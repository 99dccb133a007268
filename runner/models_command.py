"""The models command: lists model files and where they are looked for."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from ..host.extra_model_paths import config_of
from ..host.folder_parts import NAMES, part_of
from ..host.model_folders import KINDS, find_model, folders_by_kind, is_weight_file, list_models, search_roots
from .terminal import OK, UsageError, print_result


def add_arguments(command: argparse.ArgumentParser) -> None:
    """No options besides --models, which every command has."""


def print_models(arguments: argparse.Namespace) -> int:
    """Print the model files of each kind and the folders searched, and return the exit code. Raises UsageError."""
    roots = search_roots(arguments.models)
    try:
        folders = folders_by_kind(roots)
    except ValueError as error:
        raise UsageError([str(error)]) from error
    for kind in KINDS:
        print_result(f"{kind}:")
        for line in _lines(kind, folders[kind]) or ["(none)"]:
            print_result(f"  {line}")
        for folder in folders[kind]:
            print_result(f"    looked in {folder}" + ("" if folder.is_dir() else " (no such folder)"))
    for config in filter(None, map(config_of, roots)):
        print_result(f"read {config}")
    return OK


def _lines(kind: str, folders: Sequence[Path]) -> list[str]:
    """The names of a kind; after the models of ACE-Step the folders that are something else, with what they are."""
    notes = {name: _note(kind, name, folders) for name in list_models(kind, folders)}
    ordered = sorted(notes, key=lambda name: bool(notes[name]))
    return [f"{name} ({notes[name]})" if notes[name] else name for name in ordered]


def _note(kind: str, name: str, folders: Sequence[Path]) -> str:
    if is_weight_file(name) or kind in ("text_encoders", "vae"):
        return ""
    return NAMES.get(part_of(find_model(kind, name, folders)), "")
