"""Writes the nodes' help pages and their pictures, web/docs: python docs/generate/make_help.py

A page combines the node's definition with docs/help/NODE.md, written by hand: what the node is for, what it is usually
connected to, what to watch out for. Other languages get pages from the tables in docs/words.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from definitions import Input, Node, nodes
from draw_nodes import picture
from make_node_docs import number
from pages import DOCS, ROOT, write
from translation import ENGLISH, Words, languages

FOLDER = ROOT / "web" / "docs"
TEXTS = DOCS / "help"
MOST_CHOICES = 12  # a longer list is not spelt out


def files() -> dict[Path, str]:
    """The pages of every language, and the pictures."""
    pages = {path: text for language in languages() for path, text in translated(Words(language)).items()}
    return pictures() | pages


def translated(words: Words) -> dict[Path, str]:
    """The pages of one language."""
    return {_path(node, words.language): page(node, words) for node in nodes()}


def pictures() -> dict[Path, str]:
    by_id = {node.id: node for node in nodes()}
    return {FOLDER / "images" / f"{node.id}.svg": picture(node, by_id) for node in by_id.values()}


def page(node: Node, words: Words) -> str:
    """One page in Markdown."""
    parts = [f"# {words(node.title)}", f"![{words(node.title)}](images/{node.id}.svg)"]
    parts += [words(paragraph) for paragraph in (node.description, *_handwritten(node))]
    if node.inputs:
        parts += [f"## {words('Inputs')}", "\n".join(_line(entry, words) for entry in node.inputs)]
    if node.outputs:
        lines = [f"- {_name(entry.name, words)} ({entry.kind}): {words(entry.tip)}" for entry in node.outputs]
        parts += [f"## {words('Outputs')}", "\n".join(lines)]
    return "\n\n".join(parts) + "\n"


def _path(node: Node, language: str) -> Path:
    """The path that ComfyUI reads; it falls back to English."""
    return FOLDER / (f"{node.id}.md" if language == ENGLISH else f"{node.id}/{language}.md")


def _handwritten(node: Node) -> list[str]:
    return (TEXTS / f"{node.id}.md").read_text("utf-8").strip().split("\n\n")


def _line(entry: Input, words: Words) -> str:
    return f"- {_name(entry.name, words)} ({'; '.join(_facts(entry, words))}): {words(entry.tip)}"


def _name(name: str, words: Words) -> str:
    """The name the node shows, followed by the one in workflows and on the command line."""
    return f"**{name}**" if words(name) == name else f"**{words(name)}** `{name}`"


def _facts(entry: Input, words: Words) -> Iterator[str]:
    """The allowed values or the socket's type, then the default."""
    if not entry.is_value:
        yield entry.kind
        if entry.optional:
            yield words("optional")
    elif entry.kind == "COMBO":
        few = 0 < len(entry.choices) <= MOST_CHOICES
        yield ", ".join(f"`{choice}`" for choice in entry.choices) if few else words("choice")
    elif entry.limits is not None:
        minimum, maximum = (number(limit) for limit in entry.limits)
        yield words("{minimum} to {maximum}").format(minimum=minimum, maximum=maximum)
    else:
        yield words({"STRING": "text", "BOOLEAN": "on or off"}.get(entry.kind, entry.kind))
    if entry.is_value and entry.default not in (None, ""):
        yield words("default {value}").format(value=_value(entry.default, words))


def _value(value: Any, words: Words) -> str:
    if isinstance(value, bool):
        return words("on") if value else words("off")
    return f"`{value:.4g}`" if isinstance(value, float) else f"`{value}`"


def stale() -> list[Path]:
    """Files of nodes and languages that no longer exist."""
    current = files()
    return [path for path in FOLDER.rglob("*") if path.is_file() and path not in current]


if __name__ == "__main__":
    for path in stale():
        path.unlink()
    write(files())
