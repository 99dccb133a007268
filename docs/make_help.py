"""Writes the nodes' help pages and their pictures, web/docs: python docs/make_help.py

A page is the node's definition and what docs/help/NODE.md adds by hand: what the node is for, what it is usually
connected to, what to beware of. Other languages have a page where docs/words has their words.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from definitions import Input, Node, nodes
from draw_nodes import picture
from translation import ENGLISH, Words, languages

FOLDER = Path(__file__).parent.parent / "web" / "docs"
TEXTS = Path(__file__).parent / "help"
MOST_CHOICES = 12


def files(words: Words) -> dict[Path, str]:
    """The pages of one language."""
    return {_path(node, words.language): page(node, words) for node in nodes()}


def pictures() -> dict[Path, str]:
    known = {node.id: node for node in nodes()}
    return {FOLDER / "images" / f"{node.id}.svg": picture(node, known) for node in known.values()}


def page(node: Node, words: Words) -> str:
    """One page in Markdown."""
    parts = [f"# {words(node.title)}", f"![{words(node.title)}](images/{node.id}.svg)"]
    parts += [words(paragraph) for paragraph in (node.description, *_by_hand(node))]
    if node.inputs:
        parts += [f"## {words('Inputs')}", "\n".join(_line(entry, words) for entry in node.inputs)]
    if node.outputs:
        lines = [f"- {_name(entry.name, words)} ({entry.kind}): {words(entry.tip)}" for entry in node.outputs]
        parts += [f"## {words('Outputs')}", "\n".join(lines)]
    return "\n\n".join(parts) + "\n"


def _path(node: Node, language: str) -> Path:
    """Where ComfyUI looks for it; English is what it falls back to."""
    return FOLDER / (f"{node.id}.md" if language == ENGLISH else f"{node.id}/{language}.md")


def _by_hand(node: Node) -> list[str]:
    return (TEXTS / f"{node.id}.md").read_text("utf-8").strip().split("\n\n")


def _line(entry: Input, words: Words) -> str:
    return f"- {_name(entry.name, words)} ({'; '.join(_facts(entry, words))}): {words(entry.tip)}"


def _name(name: str, words: Words) -> str:
    """What the node shows, and behind it what workflows and the command line call it."""
    return f"**{name}**" if words(name) == name else f"**{words(name)}** `{name}`"


def _facts(entry: Input, words: Words) -> Iterator[str]:
    """What may be set or connected."""
    if not entry.is_value:
        yield entry.kind
        if entry.optional:
            yield words("may stay unconnected")
    elif entry.kind == "COMBO":
        few = 0 < len(entry.choices) <= MOST_CHOICES
        yield ", ".join(f"`{choice}`" for choice in entry.choices) if few else words("choice")
    elif entry.limits is not None:
        yield words("{least} to {most}").format(least=_number(entry.limits[0]), most=_number(entry.limits[1]))
    else:
        yield words({"STRING": "text", "BOOLEAN": "on or off"}.get(entry.kind, entry.kind))
    if entry.is_value and entry.default not in (None, ""):
        yield words("default {value}").format(value=_value(entry.default, words))


def _value(value: Any, words: Words) -> str:
    if isinstance(value, bool):
        return words("on") if value else words("off")
    return f"`{value:.4g}`" if isinstance(value, float) else f"`{value}`"


def _number(value: float) -> str:
    return f"{value:g}" if abs(value) < 1e6 else str(value)


def main() -> None:
    fresh = pictures()
    for language in languages():
        fresh |= files(Words(language))
    for path in FOLDER.rglob("*"):
        if path.is_file() and path not in fresh:
            path.unlink()
    for path, content in fresh.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content, encoding="utf-8")


if __name__ == "__main__":
    main()
