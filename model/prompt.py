"""The text that the network reads: prompt templates, one instruction per task, and the checks on what goes in.

Every character counts: the network was trained on exactly these strings (official inference code). The official
tokenizer appends one more end mark to each of them; that is the text encoder's work, not done here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from .. import parameters

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
_NOT_GIVEN = "N/A"
_DEFAULT_DURATION = 30  # seconds; what official inference writes when it is told nothing
_SLOWEST = 30  # beats per minute; the widget's own minimum is 0, its word for "left to the model"


@dataclass(frozen=True)
class Metadata:
    """What the prompt says about the music besides the caption; None leaves a value to the model.

    bpm: beats per minute. time_signature: beats per measure, "2", "3", "4" or "6". key_scale: such as "F# minor".
    duration: seconds; the network reads whole seconds, and 30 (the official default) for None.
    """

    bpm: int | None = None
    time_signature: str | None = None
    key_scale: str | None = None
    duration: float | None = None

    def fields(self) -> dict[str, str]:
        """The four values by the names the template gives them, in its order, as the network reads them."""
        seconds = _DEFAULT_DURATION if self.duration is None else int(self.duration)
        return {
            "bpm": _NOT_GIVEN if self.bpm is None else str(self.bpm),
            "timesignature": _NOT_GIVEN if self.time_signature is None else self.time_signature,
            "keyscale": _NOT_GIVEN if self.key_scale is None else _ascii_key(self.key_scale),
            "duration": f"{seconds} seconds",
        }


@dataclass(frozen=True)
class Prompt:
    """Everything the text encoder reads for one song; refused with all problems at once when anything is wrong.

    language: one of parameters.LANGUAGES. instruction: see instruction().
    """

    caption: str
    lyrics: str
    language: str
    metadata: Metadata
    instruction: str

    def __post_init__(self) -> None:
        found = problems(self.metadata, self.language)
        for name in ("caption", "lyrics", "instruction"):
            found += _text_problems(name, getattr(self, name))
        if found:
            raise ValueError("; ".join(found))

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


def caption_excess(prompt: Prompt, offsets: Sequence[tuple[int, int]], room: int) -> str:
    """Say what the model no longer reads of a caption prompt; "" when all of it fits.

    offsets: characters [start, end) of caption_text that each token stands for. room: tokens that are kept; the end
    mark that follows them is counted in the sentence, as the model's limit counts it.
    """
    text = prompt.caption_text
    start = text.index(_CAPTION, len(prompt.instruction)) + len(_CAPTION)
    fields = {name: text.index("\n", text.rindex(f"- {name}: ")) for name in prompt.metadata.fields()}
    return _excess("caption", text, (start, start + len(prompt.caption)), fields, offsets, room)


def lyric_excess(prompt: Prompt, offsets: Sequence[tuple[int, int]], room: int) -> str:
    """Say what the model no longer reads of a lyric prompt; the arguments are those of caption_excess()."""
    text = prompt.lyric_text
    end = len(text) - len(END)
    return _excess("lyrics", text, (end - len(prompt.lyrics), end), {}, offsets, room)


def _excess(
    name: str,
    text: str,
    own: tuple[int, int],
    fields: Mapping[str, int],
    offsets: Sequence[tuple[int, int]],
    room: int,
) -> str:
    """own: where the user's words begin and end in the text. fields: where each metadata field ends."""
    excess = len(offsets) - room
    if excess <= 0:
        return ""
    cut, (start, end) = offsets[room][0], own
    words = " ".join(text[max(cut, start) : end].split()[:6])
    lost = [f"the {name} from {words[:60]!r} on"] if words else []
    lost += [field for field, place in fields.items() if cut < place]
    *some, last = lost or ["only the closing mark of the template"]
    own_tokens = [place for place, _ in offsets if start <= place < end]
    surplus = text[own_tokens[max(len(own_tokens) - excess, 0)] : end] if own_tokens else ""
    return (
        f"{name}: {len(offsets) + 1} tokens, {room + 1} is the limit; no longer read by the model: "
        f"{', '.join(some) + ' and ' if some else ''}{last}; shorten the {name} by about {len(surplus.split())} words "
        f"({len(surplus)} characters)"
    )


def problems(metadata: Metadata, language: str) -> list[str]:
    """Everything wrong with the values, one sentence each: the value and what is allowed. Empty when all is well."""
    found = []
    bpm, beats, key, seconds = metadata.bpm, metadata.time_signature, metadata.key_scale, metadata.duration
    _, fastest = _range("bpm")
    shortest, longest = _range("duration")
    signatures = [choice for choice in parameters.get("time_signature").choices if choice != parameters.AUTO]
    if bpm is not None and not (type(bpm) is int and _SLOWEST <= bpm <= fastest):
        found.append(f"bpm {bpm!r}: give a whole number from {_SLOWEST} to {fastest}, or leave it to the model")
    if beats is not None and beats not in signatures:
        found.append(
            f"time signature {beats!r}: give the beats per measure as one of {', '.join(signatures)}, "
            "or leave it to the model"
        )
    if key is not None and _ascii_key(key) not in parameters.KEY_SCALES:
        found.append(
            f"key {key!r}: give a note A to G, if need be with # or b, and major or minor (such as 'F# minor'), "
            "or leave it to the model"
        )
    if seconds is not None and not shortest <= seconds <= longest:  # also refuses NaN
        found.append(f"duration {seconds!r}: give {shortest:g} to {longest:g} seconds")
    if language not in parameters.LANGUAGES:
        found.append(f"language {language!r}: give one of {', '.join(parameters.LANGUAGES)}")
    return found


def _range(name: str) -> tuple[float, float]:
    parameter = parameters.get(name)
    assert parameter.minimum is not None and parameter.maximum is not None
    return parameter.minimum, parameter.maximum


def _ascii_key(key: str) -> str:
    return key.replace("♯", "#").replace("♭", "b")


def _text_problems(name: str, text: str) -> list[str]:
    """Half of a surrogate pair, as broken JSON escapes leave it, is no character and cannot be tokenised."""
    for place, character in enumerate(text):
        if "\ud800" <= character <= "\udfff":
            return [f"{name}: character {place} is half of a surrogate pair ({character!a}); remove it"]
    return []


@dataclass(frozen=True)
class Instruction:
    """A task's sentence without and, where the task knows tracks, with their names."""

    plain: str
    with_tracks: str = ""
    several: bool = False


def instruction(task: str, tracks: Sequence[str] = ()) -> str:
    """The instruction of a task.

    Args:
        task: a key of INSTRUCTIONS. Text to music that is steered by audio codes is a cover to the network.
        tracks: names out of TRACKS, in any case: at most one for extract and lego, any number for complete.

    Raises:
        ValueError: unknown task or track, or tracks that the task does not take.
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
        raise ValueError(f"task {task!r} takes no tracks, given {list(tracks)}; tracks belong to {', '.join(takers)}")
    if len(tracks) > 1 and not entry.several:
        raise ValueError(f"task {task!r} takes one track, given {list(tracks)}; run it once for each")
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
