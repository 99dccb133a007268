"""Markdown for the generated pages, and writing them."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
WIDTH = 120


def join(sections: Iterable[str]) -> str:
    """A page of these sections. Paragraphs and list items are wrapped, tables, code and headings are not."""
    return "\n\n".join(_wrapped(section) for section in sections) + "\n"


def table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    head = list(head)
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)


def bullets(items: Iterable[str]) -> str:
    return "\n".join(f"- {item}" for item in items)


def code(text: str, language: str = "json") -> str:
    return f"```{language}\n{text}\n```"


def json_lines(value: Mapping[str, Any], indent: int = 0) -> str:
    """A JSON object with each of its keys on one line."""
    keys = ",\n".join(f"  {json.dumps(key)}: {json.dumps(entry)}" for key, entry in value.items())
    return textwrap.indent(f"{{\n{keys}\n}}", " " * indent)


def write(files: Mapping[Path, str | bytes]) -> None:
    """Write each file completely before it replaces the old one."""
    for path, content in files.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_name(path.name + ".new")
        partial.write_bytes(content.encode() if isinstance(content, str) else content)
        partial.replace(path)


def _wrapped(section: str) -> str:
    if section.startswith(("#", "|", "```", "<")):
        return section
    lines = section.split("\n") if section.startswith("- ") else [section]
    return "\n".join(_filled(line) for line in lines)


def _filled(line: str) -> str:
    indent = "  " if line.startswith("- ") else ""
    return textwrap.fill(line, WIDTH, break_long_words=False, break_on_hyphens=False, subsequent_indent=indent)
