"""Node: prompts of a batch."""

from __future__ import annotations

from typing import Any, ClassVar

from ..pipeline import conditioning
from ..pipeline.conditioning import Conditioning


class BatchPrompts:
    """Gives the songs of a batch different prompts."""

    CATEGORY = "audio/ACE-Step XL"
    DESCRIPTION = "The songs of one batch with different captions, lyrics and metadata. Chain nodes for more than two."
    FUNCTION = "join"
    RETURN_TYPES = ("CONDITIONING",)
    RETURN_NAMES = ("conditioning",)
    OUTPUT_TOOLTIPS = ("One prompt per song; the latent's batch size must be their number.",)
    SEARCH_ALIASES: ClassVar = ["ace step batch", "several prompts", "batch conditioning"]

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        return {
            "required": {
                "first": ("CONDITIONING", {"tooltip": "Prompts of the first songs."}),
                "second": ("CONDITIONING", {"tooltip": "Prompts of the songs after them."}),
            }
        }

    def join(self, first: Conditioning, second: Conditioning) -> tuple[Conditioning]:
        return (conditioning.join(first, second),)
