"""The parameters of an audioInference task.

A range that a node widget has too is taken from there. Where the page states no bound, the bound is ours and the help
text says so.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from .api_kind import LONGEST_URL, URL, ApiParameter, task_type, url, uuid
from .editing import EDITING
from .kind import SAMPLE_RATE, Parameter
from .languages import LANGUAGES
from .prompt import PROMPT
from .sampling import SAMPLING

MODEL = "runware:ace-step@v1.5-xl-sft"
TASK_UUID = uuid("taskUUID", "Identifies the task in every response; must be unique.")
_UUID = "^[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}$"
_NO_ZERO = "^[^\\u0000]*$"  # audio tags cannot hold U+0000
_NODE: dict[str, Parameter] = {p.name: p for p in (*PROMPT, *SAMPLING, *EDITING)}


def _from_widget(node: str, name: str, default: Any = None, help: str = "") -> ApiParameter:
    """The parameter `name` with the range of the widget `node`."""
    widget = _NODE[node]
    default = widget.default if default is None else default
    parameter = ApiParameter(name, "number", help or widget.help, default, node=node)
    if widget.kind == "CHOICE":
        return replace(parameter, type="string", choices=widget.choices)
    kind = "integer" if widget.kind == "INT" else "number"
    return replace(parameter, type=kind, minimum=widget.minimum, maximum=widget.maximum, step=widget.step)


def _text(name: str, help: str, minimum: int, node: str, required: bool = False) -> ApiParameter:
    """A text parameter of at least `minimum` characters."""
    return ApiParameter(
        name,
        "string",
        help,
        required=required,
        minimum=minimum,
        maximum=3000,
        patterns={"": _NO_ZERO},
        node=node,
    )


DELIVERY = (
    task_type("audioInference"),
    TASK_UUID,
    ApiParameter(
        "outputType",
        "string",
        "How the audio is returned: as a URL, as base64, or as a data URI.",
        "URL",
        choices=("URL", "base64Data", "dataURI"),
    ),
    ApiParameter(
        "outputFormat",
        "string",
        "MP3 is small, WAV and FLAC are lossless, OGG is Vorbis.",
        "MP3",
        choices=("MP3", "WAV", "FLAC", "OGG"),
    ),
    ApiParameter("audioSettings", "object", "How MP3 and OGG are encoded. Not allowed with WAV and FLAC."),
    ApiParameter(
        "audioSettings.bitrate",
        "integer",
        "In kbit/s; the allowed range depends on format, sample rate and channels. Default: the highest allowed.",
        minimum=8,
        node="bitrate",
    ),
    ApiParameter("audioSettings.channels", "integer", "1 for mono, 2 for stereo.", 2, choices=(1, 2), node="channels"),
    ApiParameter(
        "audioSettings.sampleRate",
        "integer",
        f"In Hz. MP3 supports all of them; OGG 8000, 12000, 16000, 24000 and 48000. Default: {SAMPLE_RATE}.",
        choices=(8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000),
        node="sample_rate",
    ),
    url("webhookURL", "Receives every result and every failure as a JSON POST, as soon as it is available."),
    ApiParameter(
        "deliveryMethod",
        "string",
        "sync responds with the results. async responds immediately; poll getResponse for the results.",
        "sync",
        choices=("sync", "async"),
    ),
    url(
        "uploadEndpoint",
        "Receives the file of every result as an HTTP PUT, for example a presigned cloud storage URL.",
    ),
    ApiParameter(
        "ttl",
        "integer",
        "Seconds for which the result can be fetched; only with outputType URL. The maximum is this server's own.",
        minimum=60,
        maximum=2**31 - 1,
    ),
    ApiParameter("includeCost", "boolean", "Include the cost of each result.", False),
    ApiParameter(
        "numberResults",
        "integer",
        "Number of variations. Variation i, counted from 0, uses seed + i.",
        1,
        minimum=1,
        maximum=4,
    ),
)

CORE = (
    ApiParameter("inputs", "object", "Source material."),
    ApiParameter(
        "inputs.audio",
        "string",
        "Source of a cover or repaint: a URL, or the UUID of an upload or an earlier result.",
        minimum=1,
        maximum=LONGEST_URL,
        patterns={"uuid": _UUID, "uri": URL},
        form=f"the UUID of an upload or a result, or an http or https URL of at most {LONGEST_URL} characters",
        secret=True,
    ),
    ApiParameter("model", "string", "The model to use.", required=True, choices=(MODEL,)),
    _text("positivePrompt", "Describes the music: genre, instruments, mood, voice.", 2, "caption", required=True),
    _text(
        "negativePrompt",
        "What to steer the music away from. Has no effect when guidance is off (CFGScale 1).",
        2,
        "caption",
    ),
    ApiParameter(
        "duration",
        "number",
        "Length in seconds, rounded down to frames of 0.04 s. Not allowed with inputs.audio, which sets the length.",
        60.0,
        minimum=30,
        maximum=300,
        step=0.1,
        node="duration",
    ),
    ApiParameter(
        "seed",
        "integer",
        "The same seed gives the same music. Default: random over the whole range; the result reports it.",
        minimum=0,
        maximum=2**31 - 1,
        node="seed",
    ),
    _from_widget("steps", "steps", 100, "Denoising steps. More steps are slower and usually add detail."),
    _from_widget("guidance_scale", "CFGScale", 10.0),
    _from_widget(
        "strength",
        "strength",
        help="Fraction of the steps that use the source; higher stays closer to it. Only with inputs.audio.",
    ),
)

SETTINGS = (
    ApiParameter("settings", "object", "Music and guidance settings."),
    ApiParameter(
        "settings.bpm",
        "integer",
        "Beats per minute. Default: the model decides.",
        minimum=30,
        maximum=_NODE["bpm"].maximum,
        node="bpm",
    ),
    _from_widget("guidance_end", "settings.cfgIntervalEnd"),
    _from_widget("guidance_start", "settings.cfgIntervalStart"),
    ApiParameter(
        "settings.guidanceType",
        "string",
        "apg: adaptive projected guidance. cfg: classifier-free guidance.",
        _NODE["guidance_type"].default,
        choices=("apg", "cfg"),
        node="guidance_type",
    ),
    ApiParameter(
        "settings.keyScale",
        "string",
        "Musical key and mode, such as C major, F# minor or Bb major. Default: the model decides.",
        minimum=7,
        maximum=8,
        patterns={"": "^[A-G][#b♯♭]? (?:major|minor)$"},
        form="a note from A to G, optionally #, b, ♯ or ♭, then a space and major or minor",
        node="key_scale",
    ),
    _text(
        "settings.lyrics",
        "Lyrics, with section tags such as [Verse] and [Chorus]. Default: instrumental.",
        10,
        "lyrics",
    ),
    ApiParameter(
        "settings.repaintingEnd",
        "number",
        "End of the region to regenerate, in seconds of the source; an end beyond the source appends music. Only "
        "with inputs.audio. Default, with a start: the end of the source.",
        minimum=0,
        maximum=300,
        node="regions",
    ),
    ApiParameter(
        "settings.repaintingStart",
        "number",
        "Start of the region to regenerate, in seconds of the source; a start below 0 prepends music. Only with "
        "inputs.audio. Default, with an end: the start of the source.",
        minimum=-300,
        maximum=300,
        node="regions",
    ),
    ApiParameter(
        "settings.timeSignature",
        "integer",
        "Beats per measure: 2/4, 3/4, 4/4 or 6/8. Default: the model decides.",
        choices=(2, 3, 4, 6),
        node="time_signature",
    ),
    ApiParameter(
        "settings.vocalLanguage",
        "string",
        "Language of the vocals; unknown for instrumental music or to let the model decide.",
        _NODE["language"].default,
        choices=LANGUAGES,
        node="language",
    ),
)

FEATURES = (
    ApiParameter("advancedFeatures", "object", "Advanced features."),
    ApiParameter(
        "advancedFeatures.modularScheduler",
        "recipe",
        "Schedule, solver, guidance curve and modifiers; see modular-scheduler.md.",
        form="an object, or a name such as 'DPM++ 2M Karras'",
        node="recipe",
    ),
)

AUDIO_INFERENCE = (*DELIVERY, *CORE, *SETTINGS, *FEATURES)
