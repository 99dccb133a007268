"""Node: prompts of a batch."""

from __future__ import annotations

from typing import Any, ClassVar

from ..pipeline import conditioning
from ..pipeline.conditioning import Conditioning


class BatchPrompts:
    """Gives the songs of a batch different prompts."""

    CATEGORY = "audio/ACE-Step XL"
    DESCRIPTION = "Gives the songs of one batch different captions, lyrics and metadata. Chain nodes for more than two."
    FUNCTION = "join"
    RETURN_TYPES = ("CONDITIONING",)
    RETURN_NAMES = ("conditioning",)
    OUTPUT_TOOLTIPS = ("One prompt per song; must match the latent's batch size.",)
    SEARCH_ALIASES: ClassVar = ["ace step batch", "several prompts", "batch conditioning"]

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        return {
            "required": {
                "first": ("CONDITIONING", {"tooltip": "Prompts for the first songs."}),
                "second": ("CONDITIONING", {"tooltip": "Prompts for the songs after them."}),
            }
        }

    def join(self, first: Conditioning, second: Conditioning) -> tuple[Conditioning]:
        return (conditioning.join(first, second),)
