"""Writes what ComfyUI shows of the nodes in each language, locales/LANGUAGE/nodeDefs.json: python docs/make_locales.py

The words of the widgets, locales/LANGUAGE/main.json, are written by hand.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from definitions import Node, nodes
from translation import Words, languages

FOLDER = Path(__file__).parent.parent / "locales"


def files(words: Words) -> dict[Path, str]:
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
    """A text for ComfyUI's interface, which reads { } @ | as a language of its own unless they are quoted."""
    return re.sub(r"[{}@|]", lambda found: "{'" + found[0] + "'}", text)


def main() -> None:
    for language in languages():
        for path, text in files(Words(language)).items():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
