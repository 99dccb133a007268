"""The prompt: caption, lyrics, metadata and task."""

from __future__ import annotations

from .choices import TIME_SIGNATURES
from .kind import AUTO, KEY_SCALES, Parameter
from .languages import LANGUAGES

PROMPT = (
    Parameter(
        "caption",
        "STRING",
        "",
        "Describes the music: genre, instruments, mood, voice. About 200 tokens fit alongside the metadata.",
        multiline=True,
    ),
    Parameter(
        "lyrics",
        "STRING",
        "[Instrumental]",
        "Lyrics with section tags such as [Verse] and [Chorus]; [Instrumental] for music without vocals. Up to 2048 "
        "tokens.",
        multiline=True,
    ),
    Parameter(
        "language",
        "CHOICE",
        "en",
        "Language of the vocals; unknown for instrumental music or to let the model decide.",
        choices=LANGUAGES,
    ),
    Parameter(
        "bpm",
        "INT",
        0,
        "Beats per minute, 30 to 300. 0 leaves the tempo to the model.",
        minimum=0,
        maximum=300,
        step=1,
    ),
    Parameter(
        "key_scale",
        "CHOICE",
        AUTO,
        "Musical key and mode. auto leaves them to the model.",
        choices=(AUTO, *KEY_SCALES),
    ),
    Parameter(
        "time_signature",
        "CHOICE",
        AUTO,
        "Beats per measure (2 = 2/4, 3 = 3/4, 4 = 4/4, 6 = 6/8). auto leaves it to the model.",
        choices=(AUTO, *TIME_SIGNATURES),
    ),
    Parameter(
        "prompt_duration",
        "FLOAT",
        0.0,
        "Length in seconds as stated in the prompt; connect it to the latent's seconds. 0 states the official "
        "default of 30 seconds.",
        minimum=0.0,
        maximum=600.0,
        step=0.1,
    ),
    Parameter(
        "task",
        "CHOICE",
        "text2music",
        "The instruction to the model, in the wording it was trained with.",
        choices=("text2music", "cover", "cover-nofsq", "repaint", "lego", "extract", "complete"),
    ),
    Parameter(
        "tracks",
        "STRING",
        "",
        "For lego, extract and complete: track names separated by commas, such as vocals, drums or guitar.",
    ),
)
