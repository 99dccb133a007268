"""Writes the nodes' texts in each language, locales/LANGUAGE/nodeDefs.json: python docs/generate/make_locales.py

The texts of the widgets, locales/LANGUAGE/main.json, are written by hand.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from definitions import Node, nodes
from pages import ROOT, write
from translation import Words, languages

FOLDER = ROOT / "locales"


def files() -> dict[Path, str]:
    """The file of every language."""
    return {path: text for language in languages() for path, text in translated(Words(language)).items()}


def translated(words: Words) -> dict[Path, str]:
    """The file of one language."""
    content = {node.id: _texts(node, words) for node in nodes()}
    return {FOLDER / words.language / "nodeDefs.json": json.dumps(content, indent=2, ensure_ascii=False) + "\n"}


def _texts(node: Node, words: Words) -> dict[str, Any]:
    texts: dict[str, Any] = {
        "display_name": _message(words(node.title)),
        "description": _message(words(node.description)),
        "inputs": {entry.name: _entry(entry.name, entry.tip, words) for entry in node.inputs},
    }
    if node.outputs:
        numbered = enumerate(node.outputs)
        texts["outputs"] = {str(index): _entry(entry.name, entry.tip, words) for index, entry in numbered}
    return texts


def _entry(name: str, tip: str, words: Words) -> dict[str, str]:
    return {"name": _message(words(name)), "tooltip": _message(words(tip))}


def _message(text: str) -> str:
    """Quote { } @ | in a text, which ComfyUI's interface would otherwise interpret (vue-i18n message syntax)."""
    return re.sub(r"[{}@|]", lambda match: "{'" + match[0] + "'}", text)


if __name__ == "__main__":
    write(files())
