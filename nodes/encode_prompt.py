"""Node: encode caption and lyrics."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, ClassVar

from .. import parameters
from ..host import current_host
from ..model.prompt import Metadata, Prompt, find_problems, instruction
from ..pipeline import conditioning
from ..pipeline.advice.checks import advice_on
from ..pipeline.encoding import encode
from ..pipeline.input_checks import join_answers, text_problem


class Encode:
    """Turns caption, lyrics and metadata into a conditioning."""

    CATEGORY = "audio/ACE-Step XL"
    DESCRIPTION = (
        "Encodes caption, lyrics and metadata with the exact prompt format the model was trained on. Metadata set "
        "to auto or 0 is left to the model. Warns when text does not fit into the prompt."
    )
    FUNCTION = "encode"
    RETURN_TYPES = ("CONDITIONING",)
    RETURN_NAMES = ("conditioning",)
    OUTPUT_TOOLTIPS = ("For the guider's positive or negative input; core ACE-Step 1.5 nodes accept it too.",)
    SEARCH_ALIASES: ClassVar = ["ace step prompt", "lyrics", "caption", "tags", "bpm", "key"]

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        return {
            "required": {
                "text_encoder": ("CLIP", {"tooltip": "From this pack's loader or ComfyUI's CLIP loaders, type ace."}),
                "caption": parameters.widget("caption"),
                "lyrics": parameters.widget("lyrics"),
                "language": parameters.widget("language"),
                "bpm": parameters.widget("bpm"),
                "key_scale": parameters.widget("key_scale"),
                "time_signature": parameters.widget("time_signature"),
                "duration": parameters.widget("prompt_duration"),
                "task": parameters.widget("task"),
                "tracks": parameters.widget("tracks"),
            }
        }

    @classmethod
    def VALIDATE_INPUTS(
        cls,
        language: str | None,
        key_scale: str | None,
        time_signature: str | int | None,
        bpm: int | None = None,
        duration: float | None = None,
        caption: str | None = None,
        lyrics: str | None = None,
        task: str | None = None,
        tracks: str | None = None,
    ) -> bool | str:
        """ComfyUI's own check takes neither numbers nor ♯ and ♭, and knows ranges without gaps only.

        A linked value arrives as None.
        """
        values = {"language": language, "key_scale": key_scale, "time_signature": time_signature}
        numbers = Metadata(bpm=bpm or None, duration=duration or None)
        problems = [*parameters.choice_problems(values), *find_problems(numbers, "unknown")]
        if task is not None and tracks is not None:
            try:
                instruction(task, _track_names(tracks))
            except ValueError as error:
                problems.append(str(error))
        return join_answers(*problems, text_problem({"caption": caption, "lyrics": lyrics, "tracks": tracks}))

    def encode(
        self,
        text_encoder: Any,
        caption: str,
        lyrics: str,
        language: str,
        bpm: int,
        key_scale: str,
        time_signature: str | int,
        duration: float,
        task: str,
        tracks: str,
    ) -> tuple[conditioning.Conditioning]:
        metadata = Metadata(
            bpm=bpm or None,
            key_scale=None if key_scale == parameters.AUTO else key_scale,
            time_signature=None if time_signature == parameters.AUTO else parameters.choices.spell(time_signature),
            duration=duration or None,
        )
        prompt = Prompt(caption, lyrics, language, metadata, instruction(task, _track_names(tracks)))
        plain = replace(prompt, instruction=instruction("text2music"))
        # Without its source part, for the steps after the source has been dropped.
        states, *after_switch = encode(text_encoder, [prompt] if plain == prompt else [prompt, plain])
        current_host().advise([*states.warnings, *advice_on("prompt", prompt)])
        return (conditioning.write(states, task, [prompt], *after_switch),)


def _track_names(text: str) -> list[str]:
    return [track.strip() for track in text.split(",") if track.strip()]
