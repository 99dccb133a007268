"""The text that the planner reads in each of its modes.

Every character counts: the planner was trained on exactly these strings (official inference code, Qwen3's chat
markup). A prompt is a list of parts, so that control tokens come from here alone: `</think>` in a song's words is text.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import yaml

START, END = "<|im_start|>", "<|im_end|>"
THINK, END_OF_THOUGHT = "<think>", "</think>"
NO_INPUT = "NO USER INPUT"  # what the planner was trained on where nothing is asked for
CODES = 64_000  # the vocabulary has more code tokens; those beyond are reserved

# The fields of a thought, in the order of the alphabet, which is that of the grammar.
FIELDS = ("bpm", "caption", "duration", "keyscale", "language", "timesignature")
GIVEN_FIELDS = ("bpm", "duration", "keyscale", "timesignature")  # with all of them there is nothing left to plan

_PLAN = "Generate audio semantic tokens based on the given conditions:"
_UNDERSTAND = "Understand the given musical conditions and describe the audio semantics accordingly:"
_EXPAND = "Expand the user's input into a more detailed and specific musical description:"
_POLISH = "Format the user's input into a more detailed and specific musical description:"

Values = Mapping[str, str | int | None]


@dataclass(frozen=True)
class Part:
    """A piece of a prompt: one control token, or text in which control tokens are not recognised."""

    text: str
    is_control: bool = False


@dataclass(frozen=True)
class Prompt:
    """What the planner reads before it writes."""

    parts: tuple[Part, ...]

    @property
    def text(self) -> str:
        """The prompt as one string, to show; only the parts tell control tokens from the user's text."""
        return "".join(part.text for part in self.parts)


def metadata_prompt(caption: str, lyrics: str) -> Prompt:
    """Before the planner decides tempo, key and the rest of the thought."""
    return _chat(_PLAN, [Part(_song(caption, lyrics))])


def metadata_partner(lyrics: str, negative: str | None = None) -> Prompt:
    """The unconditional prompt beside `metadata_prompt`: the caption gives way to the negative prompt, or goes."""
    words = f"# Lyric\n{lyrics}\n"
    return _chat(_PLAN, [Part(_song(negative, lyrics) if negative and is_meaningful(negative) else words)])


def codes_prompt(caption: str, lyrics: str, values: Values, *, is_closed: bool = True) -> Prompt:
    """Before the planner writes audio codes.

    values: the fields of the thought; those that are None, and others than `FIELDS`, are left out. is_closed: whether
    the codes follow a finished turn, as officially, or belong to the turn of the thought.
    """
    return _with_thought(caption, lyrics, thought_text(values), is_closed)


def codes_partner(caption: str, lyrics: str, negative: str | None = None, *, is_closed: bool = True) -> Prompt:
    """The unconditional prompt beside `codes_prompt`: the thought is empty, and the negative prompt is the caption."""
    return _with_thought(negative if negative and is_meaningful(negative) else caption, lyrics, "", is_closed)


def understand_prompt(codes: Sequence[int]) -> Prompt:
    """Before the planner describes a recording; without codes it describes a song of its own.

    Raises ValueError for codes outside the code book.
    """
    outside = sorted({code for code in codes if not 0 <= code < CODES})
    if outside:
        shown = ", ".join(map(str, outside[:5])) + (", ..." if len(outside) > 5 else "")
        raise ValueError(f"Audio codes {shown} do not exist; codes go from 0 to {CODES - 1}. Remove them.")
    tokens = [Part(f"<|audio_code_{code}|>", is_control=True) for code in codes]
    return _chat(_UNDERSTAND, tokens or [Part(NO_INPUT)])


def expand_prompt(sentence: str, *, is_instrumental: bool) -> Prompt:
    """Before the planner makes a whole request of one sentence, or of none."""
    query = sentence if sentence.strip() else NO_INPUT
    return _chat(_EXPAND, [Part(f"{query}\n\ninstrumental: {str(is_instrumental).lower()}")])


def polish_prompt(caption: str, lyrics: str) -> Prompt:
    """Before the planner rewrites a caption and lyrics; unlike elsewhere no newline follows the lyrics."""
    return _chat(_POLISH, [Part(_song(caption, lyrics).removesuffix("\n"))])


def thought_text(values: Values) -> str:
    """The YAML between `<think>` and `</think>`, as official inference writes it; empty without values."""
    fields = {name: _scalar(name, value) for name in FIELDS if (value := values.get(name)) is not None}
    return yaml.safe_dump(fields, allow_unicode=True, sort_keys=True).strip() if fields else ""


def is_meaningful(negative: str | None) -> bool:
    """Whether a negative prompt says anything."""
    return (negative or "").strip() not in ("", NO_INPUT)


def is_decided(values: Values) -> bool:
    """Whether the user decided everything that the metadata pass would."""
    return all(values.get(name) is not None for name in GIVEN_FIELDS)


def _scalar(name: str, value: str | int) -> str | int:
    if isinstance(value, str):
        value = value.removesuffix("/4") if name == "timesignature" else value
        return int(value) if value.isdecimal() else value
    return value


def _song(caption: str, lyrics: str) -> str:
    return f"# Caption\n{caption}\n\n# Lyric\n{lyrics}\n"


def _chat(instruction: str, user: Sequence[Part]) -> Prompt:
    start, end = Part(START, is_control=True), Part(END, is_control=True)
    system = Part(f"system\n# Instruction\n{instruction}\n\n")
    opening = (start, system, end, Part("\n"), start, Part("user\n"))
    return Prompt(_joined([*opening, *user, end, Part("\n"), start, Part("assistant\n")]))


def _with_thought(caption: str, lyrics: str, thought: str, is_closed: bool) -> Prompt:
    turn = [Part(THINK, is_control=True), Part(f"\n{thought}\n"), Part(END_OF_THOUGHT, is_control=True), Part("\n\n")]
    closing = [Part(END, is_control=True), Part("\n")] if is_closed else []
    return Prompt((*metadata_prompt(caption, lyrics).parts, *turn, *closing))


def _joined(parts: Sequence[Part]) -> tuple[Part, ...]:
    """The parts with neighbouring texts as one, since where a text is cut decides its tokens."""
    joined: list[Part] = []
    for part in parts:
        if joined and not (part.is_control or joined[-1].is_control):
            joined[-1] = Part(joined[-1].text + part.text)
        else:
            joined.append(part)
    return tuple(joined)
