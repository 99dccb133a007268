"""The parameters of an audioInference task.

Where a widget of the nodes has the same range, it is taken from there; where the page states no bound, it is ours and
the words say so.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from .api_kind import LONGEST_URL, URL, ApiParameter, task_type, url, uuid
from .editing import EDITING
from .kind import LANGUAGES, SAMPLE_RATE, Parameter
from .prompt import PROMPT
from .sampling import SAMPLING

MODEL = "runware:ace-step@v1.5-xl-sft"
TASK_UUID = uuid("taskUUID", "Names the task in every answer. Each task has its own.")
_UUID = "^[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}$"
_TEXT = "^[^\\u0000]*$"  # no file keeps a zero character
_NODE: dict[str, Parameter] = {p.name: p for p in (*PROMPT, *SAMPLING, *EDITING)}


def _same(node: str, name: str, default: Any = None, help: str = "") -> ApiParameter:
    """The parameter `name` with the range of a widget."""
    widget = _NODE[node]
    made = ApiParameter(name, "number", help or widget.help, widget.default if default is None else default, node=node)
    if widget.kind == "CHOICE":
        return replace(made, type="string", choices=widget.choices)
    kind = "integer" if widget.kind == "INT" else "number"
    return replace(made, type=kind, minimum=widget.minimum, maximum=widget.maximum, step=widget.step)


DELIVERY = (
    task_type("audioInference"),
    TASK_UUID,
    ApiParameter(
        "outputType",
        "string",
        "How the sound is handed over: as an address to fetch, as base64, or as a data URI.",
        "URL",
        choices=("URL", "base64Data", "dataURI"),
    ),
    ApiParameter(
        "outputFormat",
        "string",
        "MP3 is small, WAV and FLAC lose nothing, OGG is Vorbis.",
        "MP3",
        choices=("MP3", "WAV", "FLAC", "OGG"),
    ),
    ApiParameter("audioSettings", "object", "How MP3 and OGG are encoded. Not with WAV and FLAC."),
    ApiParameter(
        "audioSettings.bitrate",
        "integer",
        "In kbit/s; what is allowed depends on format, sample rate and channels. Absent: the highest of those.",
        minimum=8,
        node="bitrate",
    ),
    ApiParameter("audioSettings.channels", "integer", "1 is mono, 2 stereo.", 2, choices=(1, 2), node="channels"),
    ApiParameter(
        "audioSettings.sampleRate",
        "integer",
        f"In Hz. MP3 has all of them; OGG 8000, 12000, 16000, 24000 and 48000. Absent: {SAMPLE_RATE}.",
        choices=(8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000),
        node="sample_rate",
    ),
    url("webhookURL", "Gets every result, and every failure, as a POST of JSON as soon as it is there."),
    ApiParameter(
        "deliveryMethod",
        "string",
        "sync answers with the results. async answers at once; getResponse tells the results.",
        "sync",
        choices=("sync", "async"),
    ),
    url("uploadEndpoint", "Gets the bytes of every result as a PUT, such as a presigned address of a cloud store."),
    ApiParameter(
        "ttl",
        "integer",
        "Seconds that the result can be fetched; only with outputType URL. The largest value is ours.",
        minimum=60,
        maximum=2**31 - 1,
    ),
    ApiParameter("includeCost", "boolean", "Tell the cost of each result.", False),
    ApiParameter(
        "numberResults",
        "integer",
        "How many variations are made. Variation i, counted from 0, has seed + i.",
        1,
        minimum=1,
        maximum=4,
    ),
)

CORE = (
    ApiParameter("inputs", "object", "What the result is made from."),
    ApiParameter(
        "inputs.audio",
        "string",
        "The source of a cover or a repaint: its address, or the UUID of an upload or of an earlier result.",
        minimum=1,
        maximum=LONGEST_URL,
        patterns={"uuid": _UUID, "uri": URL},
        form=f"the UUID of an upload or a result, or an http or https URL of at most {LONGEST_URL} characters",
        secret=True,
    ),
    ApiParameter("model", "string", "The network to use.", required=True, choices=(MODEL,)),
    ApiParameter(
        "positivePrompt",
        "string",
        "What the music is: genre, instruments, mood, voice.",
        required=True,
        minimum=2,
        maximum=3000,
        patterns={"": _TEXT},
        node="caption",
    ),
    ApiParameter(
        "negativePrompt",
        "string",
        "What the music is kept away from. Without effect where guidance is off (CFGScale 1).",
        minimum=2,
        maximum=3000,
        patterns={"": _TEXT},
        node="caption",
    ),
    ApiParameter(
        "duration",
        "number",
        "Length in seconds, made in frames of 0.04 s. Not with inputs.audio, which brings its own length.",
        60.0,
        minimum=30,
        maximum=300,
        step=0.1,
        node="duration",
    ),
    ApiParameter(
        "seed",
        "integer",
        "The same seed gives the same music. Absent: drawn from the whole range and told in the result.",
        minimum=0,
        maximum=2**31 - 1,
        node="seed",
    ),
    _same("steps", "steps", 100, "Denoising steps. More take longer and say more."),
    _same("guidance_scale", "CFGScale", 10.0),
    _same(
        "strength",
        "strength",
        help="Fraction of the steps that use the source; higher stays closer to it. Only with inputs.audio.",
    ),
)

SETTINGS = (
    ApiParameter("settings", "object", "Details of the music and of guidance."),
    ApiParameter(
        "settings.bpm",
        "integer",
        "Beats per minute. Absent: the model decides.",
        minimum=30,
        maximum=_NODE["bpm"].maximum,
        node="bpm",
    ),
    _same("guidance_end", "settings.cfgIntervalEnd"),
    _same("guidance_start", "settings.cfgIntervalStart"),
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
        "Musical key and mode, such as C major, F# minor or Bb major. Absent: the model decides.",
        minimum=7,
        maximum=8,
        patterns={"": "^[A-G][#b♯♭]? (?:major|minor)$"},
        form="a note from A to G, with #, b, ♯ or ♭ or without, a space, and major or minor",
        node="key_scale",
    ),
    ApiParameter(
        "settings.lyrics",
        "string",
        "What is sung, with tags such as [Verse] and [Chorus]. Absent: instrumental.",
        minimum=10,
        maximum=3000,
        patterns={"": _TEXT},
        node="lyrics",
    ),
    ApiParameter(
        "settings.repaintingEnd",
        "number",
        "Where the new part ends, in seconds of the source; beyond its end, music is appended. Only with inputs.audio. "
        "Absent, with a start: the end of the source.",
        minimum=0,
        maximum=300,
        node="regions",
    ),
    ApiParameter(
        "settings.repaintingStart",
        "number",
        "Where the new part starts, in seconds of the source; below 0, music is put before it. Only with inputs.audio. "
        "Absent, with an end: the start of the source.",
        minimum=-300,
        maximum=300,
        node="regions",
    ),
    ApiParameter(
        "settings.timeSignature",
        "integer",
        "Beats per measure: 2/4, 3/4, 4/4 or 6/8. Absent: the model decides.",
        choices=(2, 3, 4, 6),
        node="time_signature",
    ),
    ApiParameter(
        "settings.vocalLanguage",
        "string",
        "Language of the voice; unknown for instrumental music or to let the model decide.",
        _NODE["language"].default,
        choices=LANGUAGES,
        node="language",
    ),
)

FEATURES = (
    ApiParameter("advancedFeatures", "object", "Additions."),
    ApiParameter(
        "advancedFeatures.modularScheduler",
        "recipe",
        "Schedule, solver, guidance curve and modifiers, see modular-scheduler.md.",
        form="an object, or a name such as 'DPM++ 2M Karras'",
        node="recipe",
    ),
)

AUDIO_INFERENCE = (*DELIVERY, *CORE, *SETTINGS, *FEATURES)
