"""Writes the task API's page from its tables: python docs/generate/make_api_docs.py"""

from __future__ import annotations

import json
from collections.abc import Container, Iterable, Iterator
from pathlib import Path
from typing import Any

from pages import DOCS, bullets, code, join, json_lines, table, write

from acestep_xl import parameters
from acestep_xl.parameters import api
from acestep_xl.parameters.api import ApiParameter
from acestep_xl.service.schema import encoding_rules, task_rules
from acestep_xl.service.schema.errors import CODES, anchor
from acestep_xl.service.schema.request import read_tasks

PAGE = DOCS / "task-api.md"
UUID = "7f9c24e5-2f0b-4b0e-9d6d-2f6f1c6b3a51"
TASK: dict[str, Any] = {
    "taskType": "audioInference",
    "taskUUID": UUID,
    "model": api.MODEL,
    "positivePrompt": "calm piano and strings, warm, slow",
    "duration": 90,
    "seed": 7,
    "settings": {"bpm": 72, "keyScale": "D minor", "vocalLanguage": "unknown"},
}
COVER = {"inputs": {"audio": "https://example.com/song.mp3"}, "strength": 0.8}
REPAINT = {"inputs": {"audio": UUID}, "settings": {"repaintingStart": 20, "repaintingEnd": 35}}
MISTAKES: dict[str, Any] = {
    **{key: TASK[key] for key in ("taskType", "taskUUID", "model")},
    "steps": "50",
    "strength": 0.8,
    "settings": {"bmp": 72, "keyScale": "D dorian"},
    "outputFormat": "OGG",
    "audioSettings": {"channels": 1, "bitrate": 320},
}
RESULT = {
    "taskType": "audioInference",
    "taskUUID": UUID,
    "audioUUID": "0d0f6a0e-6a0c-4d0e-8d3b-0b3f6f5f0f11",
    "audioURL": "http://127.0.0.1:8190/audio/0d0f6a0e-6a0c-4d0e-8d3b-0b3f6f5f0f11.mp3",
    "seed": 7,
}
DELIVERY, MUSIC = "Delivery and format", "Source and music"
OBJECTS = ("settings", "audioSettings", "advancedFeatures")  # each has its own table
FAMILIES = (
    ("`missing…`, such as `missingModel`", "A required parameter is absent."),
    (
        "`invalid…`, such as `invalidBpm`",
        "A value has the wrong type or format, or is out of range; `allowedValues` lists the choices if there are few.",
    ),
)


def page() -> str:
    """The page in Markdown."""
    parts = (_introduction, _types, _tables, _rules, _bitrates, _others, _answers, _errors, _differences)
    return join(section for part in parts for section in part())


def _introduction() -> Iterator[str]:
    yield "# The task API"
    yield "<!-- Written by docs/generate/make_api_docs.py; a test compares. -->"
    yield (
        "A request is a JSON array of tasks: the body of a POST to `/` or `/v1`, or a message on the WebSocket at "
        "`/v1`. Every task has its own `taskUUID`, which identifies it in results, errors and webhooks. "
        "`GET /openapi.json` is the same description for programs."
    )
    yield code(f"[\n{json_lines(TASK, indent=2)}\n]")
    yield (
        "Without `inputs.audio` the task generates music from text. With it, the task is a cover, or with "
        "`settings.repaintingStart` or `settings.repaintingEnd` a repaint: that part is regenerated, and music "
        "before the start or after the end of the source is added."
    )
    yield code(json_lines(COVER))
    yield code(json_lines(REPAINT))


def _types() -> Iterator[str]:
    yield "## Validation"
    yield bullets(
        (
            "Unknown keys are refused; the error suggests the closest known one.",
            'Values are never converted: `"5"` is not a number and `1` is not `true`. `null` is not accepted for any '
            "key: leave the key out to get its default.",
            "An integer may be written `60` or `60.0`, as in JSON Schema. Numbers may be finer than the step given "
            "below.",
            "Text lengths count Unicode code points. The character U+0000 is refused.",
            "All problems of a task are reported at once; the other tasks of the request still run.",
            f"A request has 1 to {api.MAX_TASKS} tasks.",
        )
    )


def _tables() -> Iterator[str]:
    yield "## audioInference"
    groups: dict[str, list[ApiParameter]] = {title: [] for title in (DELIVERY, MUSIC, *OBJECTS)}
    title = DELIVERY
    for name, parameter in api.of("audioInference").items():
        if name == "inputs":  # the groups of the hosted page follow each other
            title = MUSIC
        head = name.partition(".")[0]
        groups[head if head in OBJECTS else title].append(parameter)
    for title, parameters_of_group in groups.items():
        yield f"### {title}"
        yield _parameter_table(parameters_of_group)


def _parameter_table(rows: Iterable[ApiParameter], documented: Container[str] = ()) -> str:
    """documented: names that already have an anchor on the page."""
    return table(
        ("Parameter", "Type", "Default", "Allowed", "Meaning"),
        [[_anchor(row.name) * (row.name not in documented) + f"`{row.name}`", *_columns(row)] for row in rows],
    )


def _anchor(name: str) -> str:
    return f'<a id="{anchor(name)}"></a>'


def _columns(parameter: ApiParameter) -> list[str]:
    kind = {"recipe": "object"}.get(parameter.type, str(parameter.type))
    default = "" if parameter.default is None else f"`{_plain(parameter.default)}`"
    allowed = ", ".join(f"`{choice}`" for choice in parameter.choices) or _allowed(parameter)
    meaning = parameter.help.replace("modular-scheduler.md", "[its page](modular-scheduler.md)")
    return [kind, "required" if parameter.required else default, allowed, meaning]


def _plain(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value)
    return text.removesuffix(".0")


def _allowed(parameter: ApiParameter) -> str:
    if parameter.type == "boolean":
        return "`true`, `false`"
    if parameter.type == "object":
        return ""
    step = f", step {parameter.step:g}" if parameter.step not in (None, 1) else ""
    words = parameter.requirement.removeprefix("a whole number ").removeprefix("a number ")
    return words.removeprefix("from ").removeprefix("of ") + step


def _rules() -> Iterator[str]:
    yield "## Cross-field rules"
    yield bullets(rule.description for rule in task_rules.RULES)


def _bitrates() -> Iterator[str]:
    yield (
        f"Bitrates in kbit/s. `channels` defaults to {api.get('audioSettings.channels').default}, `sampleRate` to "
        f"{parameters.SAMPLE_RATE}."
    )
    columns: dict[str, encoding_rules.Ranges] = {}
    for name in encoding_rules.LOSSY:
        mono, stereo = (encoding_rules.ranges(name, channels) or {} for channels in (1, 2))
        columns |= {name: mono} if mono == stereo else {f"{name}, mono": mono, f"{name}, stereo": stereo}
    rows = []
    for rate in api.get("audioSettings.sampleRate").choices:
        cells = [column.get(int(rate)) for column in columns.values()]
        rows.append([f"{rate} Hz", *("" if cell is None else f"{cell[0]} to {cell[1]}" for cell in cells)])
    yield table(("Sample rate", *columns), rows)


def _others() -> Iterator[str]:
    yield "## Other tasks"
    for task_type, description in api.DESCRIPTIONS.items():
        if task_type != "audioInference":
            yield f"### {task_type}"
            yield description
            rows = [parameter for name, parameter in api.of(task_type).items() if name != "taskType"]
            yield _parameter_table(rows, documented=api.of("audioInference"))


def _answers() -> Iterator[str]:
    yield "## Responses"
    yield (
        "A response is an object with `data`, a list of results, and `errors`, a list of errors; either may be "
        "absent. Each entry names its task by `taskType` and `taskUUID`."
    )
    yield code(json.dumps({"data": [RESULT]}, indent=2))
    yield bullets(
        (
            "A result has `audioURL`, `audioBase64Data` or `audioDataURI`, depending on `outputType`. `audioUUID` "
            "identifies the audio and can be the `inputs.audio` of a later task. Send `seed` to reproduce the result.",
            "`numberResults` gives that many results under one `taskUUID`; result i, counted from 0, has `seed` + i, "
            "which wraps to 0 after the largest seed.",
            "`includeCost` adds `cost`, from the server's price per hour, and `costDetails`: seconds, device, peak "
            "memory, and energy if the device reports it.",
            "With `deliveryMethod` `async`, or with a `webhookURL`, the response comes immediately and has only "
            "`taskType` and `taskUUID`. `getResponse` then returns all results each time, in order, each with the "
            "`status` `processing` or `success`; failed ones are in `errors`. Over the WebSocket it leaves out what "
            "the session already got, until it has got everything.",
            "The webhook receives each result as one object as soon as it is available, with its `status`; a failure "
            "is an object with `code` and `message`. Any response from 200 to 299 acknowledges it; otherwise the same "
            "body is sent again.",
        )
    )


def _errors() -> Iterator[str]:
    yield "## Errors"
    yield (
        "An error has a `code` for programs and a `message` for people. `parameter` is the dotted name of the "
        "parameter at fault, or a list of names that conflict; `allowedValues` lists the accepted values; "
        "`documentation` points to this page."
    )
    yield code(f"[\n{json_lines(MISTAKES, indent=2)}\n]")
    (errors,) = read_tasks([MISTAKES])
    assert isinstance(errors, tuple)
    yield code("\n".join(f"{error.code}: {error.message}" for error in errors), "text")
    yield (
        "The HTTP status is 200 as soon as one task has a result or was accepted. Otherwise it is the status that "
        "all errors share, or 400 if they differ."
    )
    rows = [[name, "400", words] for name, words in FAMILIES]
    rows += [[f"`{name}`", str(status), words] for name, (status, words) in CODES.items()]
    yield table(("Code", "HTTP status", "Meaning"), rows)


def _differences() -> Iterator[str]:
    yield "## Differences from the hosted service"
    yield bullets(
        (
            "`advancedFeatures.modularScheduler` is [described here](modular-scheduler.md); it may also be a name.",
            "Random seeds lie in the range that a request can set, so every result can be reproduced.",
            "The task `cancelTask` stops a task.",
            f"`ttl` is at most {api.get('ttl').maximum}, and a URL at most {api.LONGEST_URL} characters long.",
            "`bitrate` defaults to the highest that the format allows.",
        )
    )


def files() -> dict[Path, str]:
    """The page by its path."""
    return {PAGE: page()}


if __name__ == "__main__":
    write(files())
