"""The models command: lists model files and where they are looked for."""

from __future__ import annotations

import argparse

from ..host.model_folders import KINDS, folders_by_kind, list_models, search_roots
from .terminal import OK, print_result


def add_arguments(command: argparse.ArgumentParser) -> None:
    """No options besides --models, which every command has."""


def print_models(arguments: argparse.Namespace) -> int:
    """Print the model files of each kind and the folders searched, and return the exit code."""
    folders = folders_by_kind(search_roots(arguments.models))
    for kind in KINDS:
        print_result(f"{kind}:")
        for name in list_models(kind, folders[kind]) or ["(none)"]:
            print_result(f"  {name}")
        for folder in folders[kind]:
            print_result(f"    looked in {folder}" + ("" if folder.is_dir() else " (no such folder)"))
    return OK
