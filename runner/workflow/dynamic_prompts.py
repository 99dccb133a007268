"""Texts that ComfyUI's editor rewrites when it queues a graph: comments go, of {alternatives|in braces} one stays."""

from __future__ import annotations

import random
import re
from collections.abc import Callable

Choose = Callable[[list[str]], str]

_COMMENT = re.compile(r"/\*.*?\*/|//[^\n]*", re.DOTALL)
_ESCAPED = re.compile(r"\\([{}|])")


def rewrite(text: str, choose: Choose = random.choice) -> str:
    """The text as the server gets it.

    Alternatives may hold others. A backslash keeps a brace or a bar as it is; a brace that nothing closes is closed by
    the end. choose: takes one of the alternatives.
    """
    text = _COMMENT.sub("", text)
    parts: list[str] = []
    position = 0
    while position < len(text):
        if text[position] == "{":
            alternatives, position = _alternatives(text, position + 1)
            parts.append(rewrite(choose(alternatives), choose))
            continue
        length = 2 if text[position] == "\\" else 1
        parts.append(text[position : position + length])
        position += length
    return _ESCAPED.sub(r"\1", "".join(parts))


def _alternatives(text: str, position: int) -> tuple[list[str], int]:
    """The alternatives of a block whose brace is before the position, and the position after it."""
    alternatives, depth = [""], 0
    while position < len(text):
        length = 2 if text[position] == "\\" else 1
        part = text[position : position + length]
        position += length
        if part == "}" and not depth:
            break
        if part == "|" and not depth:
            alternatives.append("")
            continue
        depth += {"{": 1, "}": -1}.get(part, 0)
        alternatives[-1] += part
    return alternatives, position
