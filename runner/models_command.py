"""The models command: lists model files and where they are looked for."""

from __future__ import annotations

import argparse

from ..host.extra_model_paths import config_of
from ..host.model_folders import KINDS, folders_by_kind, list_models, search_roots
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
        for name in list_models(kind, folders[kind]) or ["(none)"]:
            print_result(f"  {name}")
        for folder in folders[kind]:
            print_result(f"    looked in {folder}" + ("" if folder.is_dir() else " (no such folder)"))
    for config in filter(None, map(config_of, roots)):
        print_result(f"read {config}")
    return OK
