"""Where benchmarks write their reports, and the Markdown that they share."""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Sequence
from pathlib import Path

FOLDER = Path(__file__).parents[1] / "docs" / "benchmarks"


def add_option(parser: argparse.ArgumentParser) -> None:
    """Add ``--report``, the folder to write to."""
    parser.add_argument("--report", type=Path, default=FOLDER, help="folder for the report (docs/benchmarks)")


def write(folder: Path, name: str, page: str) -> None:
    """Write ``NAME.md``, replacing the report of an earlier run."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}.md"
    path.write_text(page, encoding="utf-8")
    print(f"report: {path}")


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table of cells that are text already."""
    lines = [f"| {' | '.join(cells)} |" for cells in (head, *rows)]
    return "\n".join([lines[0], "|" + "---|" * len(head), *lines[1:]])
