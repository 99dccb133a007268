"""How ComfyUI declares the inputs of a node: (type, options)."""

from __future__ import annotations

from typing import Any

Input = tuple[Any, dict[str, Any]]
LARGEST = 2**64 - 1
FILES: Input = ("COMBO", {"options": ()})  # the class lists them


def number(kind: str, default: float, low: float, high: float | None, step: float | None = None) -> Input:
    options = {"default": default, "min": low, "max": high, "step": step}
    return kind, {name: value for name, value in options.items() if value is not None}


def whole(default: int, low: int, high: int, step: int | None = None) -> Input:
    return number("INT", default, low, high, step)


def real(default: float, low: float, high: float | None, step: float) -> Input:
    return number("FLOAT", default, low, high, step)


def choice(*choices: str, default: str | None = None) -> Input:
    return "COMBO", {"options": choices} | ({} if default is None else {"default": default})


def seed() -> Input:
    kind, options = whole(0, 0, LARGEST)
    return kind, {**options, "control_after_generate": True}


def text(default: str | None = None, *, multiline: bool = False, dynamic: bool = False) -> Input:
    """dynamic: the editor rewrites the text when it queues a graph, see runner/workflow/dynamic_prompts.py."""
    options = {"multiline": multiline, "dynamicPrompts": dynamic or None, "default": default}
    return "STRING", {name: value for name, value in options.items() if value is not None}
