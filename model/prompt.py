"""The text that the network reads: prompt templates, one instruction per task, and validation of the values.

Every character counts: the network was trained on exactly these strings (official inference code). The official
tokenizer appends one more end mark to each of them; here the text encoder does that.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from .. import parameters
from ..parameters import choices

END = "<|endoftext|>"
TRACKS = (
    "woodwinds",
    "brass",
    "fx",
    "synth",
    "strings",
    "percussion",
    "keyboard",
    "guitar",
    "bass",
    "drums",
    "backing_vocals",
    "vocals",
)

_CAPTION = "\n\n# Caption\n"
_UNSPECIFIED = "N/A"
_DEFAULT_DURATION = 30  # seconds; what official inference writes if no duration is given
_MIN_BPM = 30  # the widget's minimum is 0, which leaves the tempo to the model


@dataclass(frozen=True)
class Metadata:
    """What the prompt states about the music besides the caption; None leaves a value to the model.

    bpm: beats per minute. time_signature: beats per measure, "2", "3", "4" or "6". key_scale: such as "F# minor".
    duration: seconds; the network reads whole seconds, and 30 (the official default) for None.
    """

    bpm: int | None = None
    time_signature: str | None = None
    key_scale: str | None = None
    duration: float | None = None

    def fields(self) -> dict[str, str]:
        """The four values under the template's names and in its order, as the network reads them."""
        seconds = _DEFAULT_DURATION if self.duration is None else int(self.duration)
        return {
            "bpm": _UNSPECIFIED if self.bpm is None else str(self.bpm),
            "timesignature": _UNSPECIFIED if self.time_signature is None else self.time_signature,
            "keyscale": _UNSPECIFIED if self.key_scale is None else choices.ascii_key(self.key_scale),
            "duration": f"{seconds} seconds",
        }


@dataclass(frozen=True)
class Prompt:
    """Everything the text encoder reads for one song.

    language: one of parameters.LANGUAGES. instruction: see instruction(). Raises ValueError with all problems at once.
    """

    caption: str
    lyrics: str
    language: str
    metadata: Metadata
    instruction: str

    def __post_init__(self) -> None:
        problems = find_problems(self.metadata, self.language)
        for name in ("caption", "lyrics", "instruction"):
            problems += _surrogate_problems(name, getattr(self, name))
        if problems:
            raise ValueError("; ".join(problems))

    @property
    def caption_text(self) -> str:
        """The caption branch's string."""
        return caption_prompt(self.caption, self.metadata, self.instruction)

    @property
    def lyric_text(self) -> str:
        """The lyric branch's string."""
        return lyric_prompt(self.lyrics, self.language)


def caption_prompt(caption: str, metadata: Metadata, instruction: str) -> str:
    """The caption branch's string. The instruction gets a closing colon if it has none; the caption stays verbatim."""
    colon = "" if instruction.endswith(":") else ":"
    lines = "".join(f"- {name}: {value}\n" for name, value in metadata.fields().items())
    return f"# Instruction\n{instruction}{colon}{_CAPTION}{caption}\n\n# Metas\n{lines}{END}\n"


def lyric_prompt(lyrics: str, language: str) -> str:
    """The lyric branch's string; the lyrics stay verbatim."""
    return f"# Languages\n{language}\n\n# Lyric\n{lyrics}{END}"


def caption_cut_warning(prompt: Prompt, offsets: Sequence[tuple[int, int]], room: int) -> str:
    """Describe what the model no longer reads of a caption prompt; "" if all of it fits.

    offsets: the characters [start, end) of caption_text behind each token. room: tokens that fit, without the end mark
    that follows them; the warning counts it, as the model's limit does.
    """
    text = prompt.caption_text
    start = text.index(_CAPTION, len(prompt.instruction)) + len(_CAPTION)
    fields = {name: text.index("\n", text.rindex(f"- {name}: ")) for name in prompt.metadata.fields()}
    return _cut_warning("caption", text, (start, start + len(prompt.caption)), fields, offsets, room)


def lyric_cut_warning(prompt: Prompt, offsets: Sequence[tuple[int, int]], room: int) -> str:
    """Describe what the model no longer reads of a lyric prompt; arguments as in caption_cut_warning()."""
    text = prompt.lyric_text
    end = len(text) - len(END)
    return _cut_warning("lyrics", text, (end - len(prompt.lyrics), end), {}, offsets, room)


def _cut_warning(
    name: str,
    text: str,
    user_text: tuple[int, int],
    fields: Mapping[str, int],
    offsets: Sequence[tuple[int, int]],
    room: int,
) -> str:
    """user_text: start and end of the user's words in the text. fields: where each metadata field ends."""
    excess = len(offsets) - room
    if excess <= 0:
        return ""
    cut, (start, end) = offsets[room][0], user_text
    words = " ".join(text[max(cut, start) : end].split()[:6])
    lost = [f"the {name} from {words[:60]!r} on"] if words else []
    lost += [field for field, field_end in fields.items() if cut < field_end]
    *some, last = lost or ["only the closing mark of the template"]
    token_starts = [position for position, _ in offsets if start <= position < end]
    surplus = text[token_starts[max(len(token_starts) - excess, 0)] : end] if token_starts else ""
    return (
        f"{name}: {len(offsets) + 1} tokens exceed the limit of {room + 1}; no longer read by the model: "
        f"{', '.join(some) + ' and ' if some else ''}{last}; shorten the {name} by about {len(surplus.split())} words "
        f"({len(surplus)} characters)"
    )


def find_problems(metadata: Metadata, language: str) -> list[str]:
    """Everything wrong with the values, one sentence each: the value and what is allowed."""
    problems = []
    bpm, beats, key, seconds = metadata.bpm, metadata.time_signature, metadata.key_scale, metadata.duration
    _, max_bpm = _range("bpm")
    shortest, longest = _range("duration")
    if bpm is not None and not (type(bpm) is int and _MIN_BPM <= bpm <= max_bpm):
        problems.append(f"bpm {bpm!r} must be a whole number from {_MIN_BPM} to {max_bpm}, or left to the model")
    for name, value in (("time_signature", beats), ("key_scale", key), ("language", language)):
        # "auto" is a choice of the widgets; here None leaves a value to the model.
        allowed = [choice for choice in parameters.get(name).choices if choice != parameters.AUTO]
        message = "" if value is None else choices.problem(name, allowed, value)
        problems += [message] if message else []
    if seconds is not None and not shortest <= seconds <= longest:  # also refuses NaN
        problems.append(f"duration {seconds!r} must be {shortest:g} to {longest:g} seconds")
    return problems


def _range(name: str) -> tuple[float, float]:
    parameter = parameters.get(name)
    assert parameter.minimum is not None and parameter.maximum is not None
    return parameter.minimum, parameter.maximum


def _surrogate_problems(name: str, text: str) -> list[str]:
    """A lone surrogate, as broken JSON escapes leave it, cannot be tokenised."""
    for position, character in enumerate(text):
        if "\ud800" <= character <= "\udfff":
            return [f"{name}: character {position} is half of a surrogate pair ({character!a}); remove it"]
    return []


@dataclass(frozen=True)
class Instruction:
    """A task's sentence without track names and, if the task takes tracks, with them."""

    plain: str
    with_tracks: str = ""
    several: bool = False


def instruction(task: str, tracks: Sequence[str] = ()) -> str:
    """The instruction of a task.

    Args:
        task: a key of INSTRUCTIONS. To the network, text to music guided by audio codes is a cover.
        tracks: names from TRACKS, in any case: at most one for extract and lego, any number for complete.

    Raises:
        ValueError: unknown task or track, or tracks for a task that does not take them.
    """
    if task not in INSTRUCTIONS:
        raise ValueError(f"unknown task {task!r}; known: {', '.join(INSTRUCTIONS)}")
    entry = INSTRUCTIONS[task]
    if not tracks:
        return entry.plain
    unknown = [track for track in tracks if track.lower() not in TRACKS]
    if unknown:
        raise ValueError(f"unknown track {', '.join(map(repr, unknown))}; known: {', '.join(TRACKS)}")
    if not entry.with_tracks:
        takers = [name for name, other in INSTRUCTIONS.items() if other.with_tracks]
        raise ValueError(f"task {task!r} takes no tracks, got {list(tracks)}; tracks belong to {', '.join(takers)}")
    if len(tracks) > 1 and not entry.several:
        raise ValueError(f"task {task!r} takes one track, got {list(tracks)}; run it once for each")
    return entry.with_tracks.format(" | ".join(track.upper() for track in tracks))


INSTRUCTIONS: dict[str, Instruction] = {
    "text2music": Instruction("Fill the audio semantic mask based on the given conditions:"),
    "cover": Instruction("Generate audio semantic tokens based on the given conditions:"),
    "cover-nofsq": Instruction("Generate audio semantic tokens based on the given conditions:"),
    "repaint": Instruction("Repaint the mask area based on the given conditions:"),
    "extract": Instruction("Extract the track from the audio:", "Extract the {} track from the audio:"),
    "lego": Instruction(
        "Generate the track based on the audio context:", "Generate the {} track based on the audio context:"
    ),
    "complete": Instruction("Complete the input track:", "Complete the input track with {}:", several=True),
}
