"""ComfyUI's nodes: texts."""

from __future__ import annotations

from typing import Any

from ...parameters import native


class StringConcatenate:
    """Two texts with something between them."""

    FUNCTION = "join"
    RETURN_TYPES = ("STRING",)

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        return native.input_types("StringConcatenate")

    def join(self, string_a: str, string_b: str, delimiter: str) -> tuple[str]:
        return (f"{string_a}{delimiter}{string_b}",)
