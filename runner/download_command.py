"""The download command: downloads a bundle of model files, or lists the bundles."""

from __future__ import annotations

import argparse
import sys

from ..host.extra_model_paths import config_of
from ..host.model_folders import data_directory
from .download import DownloadError, download
from .model_bundles import BUNDLES, find_bundle
from .terminal import FAILED, OK, UsageError, print_result, print_status


def add_arguments(command: argparse.ArgumentParser) -> None:
    """Options of download."""
    command.add_argument("name", nargs="?", metavar="NAME", help=", ".join(BUNDLES))
    command.add_argument("--list", action="store_true", help="list the bundles and their files")


def download_bundle(arguments: argparse.Namespace) -> int:
    """Download a bundle into the first --models folder, or the user's data folder, and return the exit code.

    Raises UsageError for a missing or unknown name, and for a file of folders instead of a folder.
    """
    if arguments.list:
        return _list_bundles()
    if arguments.name is None:
        raise UsageError([f"name a bundle ({', '.join(BUNDLES)}) or use --list"])
    try:
        sources = find_bundle(arguments.name)
    except ValueError as error:
        raise UsageError([str(error)]) from error
    root = arguments.models[0] if arguments.models else data_directory() / "models"
    if config_of(root) == root:
        raise UsageError([f"{root} is a list of folders; give --models the folder to download into"])
    if not sys.stderr.isatty():
        from huggingface_hub.utils import disable_progress_bars

        disable_progress_bars()
    try:
        paths = download(sources, root.expanduser().absolute(), print_status)
    except DownloadError as error:
        print_status(f"error: {error}")
        return FAILED
    for path in paths:
        print_result(path)
    return OK


def _list_bundles() -> int:
    for name, sources in BUNDLES.items():
        print_result(f"{name}:")
        for source in sources:
            print_result(f"  {source.target}  from  {source.repo}/{source.path}")
    return OK
