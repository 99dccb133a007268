"""Writes the page of the task API from its tables: python docs/make_api_docs.py"""

from __future__ import annotations

import json
import textwrap
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from acestep_xl import parameters
from acestep_xl.parameters import api
from acestep_xl.parameters.api import ApiParameter
from acestep_xl.service.schema import encoding_rules, task_rules
from acestep_xl.service.schema.errors import CODES, anchor
from acestep_xl.service.schema.request import MODELS, read_tasks

PAGE = Path(__file__).parent / "task-api.md"
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
OBJECTS = ("settings", "audioSettings", "advancedFeatures")  # with a table of their own
FAMILIES = (
    ("`missing…`, such as `missingModel`", "A required parameter is absent."),
    (
        "`invalid…`, such as `invalidBpm`",
        "A value is of the wrong type or form, or out of range; `allowedValues` lists them where there are few.",
    ),
)


def page() -> str:
    """The page in Markdown."""
    parts = (_introduction, _types, _tables, _rules, _bitrates, _others, _answers, _errors, _differences)
    return "\n\n".join(_wrapped(section) for part in parts for section in part()) + "\n"


def _wrapped(section: str) -> str:
    if section.startswith(("#", "|", "`" * 3)):
        return section
    lines = section.split("\n") if section.startswith("- ") else [section]
    filled = (
        textwrap.fill(
            line, 120, break_long_words=False, break_on_hyphens=False, subsequent_indent="  " * line.startswith("- ")
        )
        for line in lines
    )
    return "\n".join(filled)


def _introduction() -> Iterator[str]:
    yield "# The task API"
    yield "<!-- Written by docs/make_api_docs.py; a test compares. -->"
    yield (
        "A request is a JSON array of tasks: the body of a POST to `/` or `/v1`, or a message on the "
        "WebSocket at `/v1`. "
        "Every task has a `taskUUID` of its own, under which its results, its errors and its webhooks name it. "
        "`GET /openapi.json` describes the same for programs."
    )
    yield f"```json\n[\n{textwrap.indent(_json(TASK), '  ')}\n]\n```"
    yield (
        "Without `inputs.audio` the task makes music from text. With it, it is a cover, and with "
        "`settings.repaintingStart` or `settings.repaintingEnd` a repaint: that part is made anew, and what "
        "lies before "
        "the source's start or after its end is added."
    )
    yield f"```json\n{_json(COVER)}\n```"
    yield f"```json\n{_json(REPAINT)}\n```"


def _types() -> Iterator[str]:
    yield "## How strictly a task is read"
    yield "\n".join(
        (
            "- An unknown key is refused, and the known one closest to it named.",
            '- No value is converted: `"5"` is no number and `1` is not `true`. `null` is a value, and a wrong one: '
            "leave a key out to get its default.",
            "- A whole number may be written `60` or `60.0`, as in JSON Schema. A number may be finer than the "
            "step given below.",
            "- Lengths of text count characters, that is, Unicode code points. The character U+0000 is refused.",
            "- Everything that is wrong with a task is told at once, and the other tasks of the request are "
            "carried out.",
            f"- A request has 1 to {api.MAX_TASKS} tasks.",
        )
    )


def _tables() -> Iterator[str]:
    yield "## audioInference"
    tables: dict[str, list[ApiParameter]] = {title: [] for title in (DELIVERY, MUSIC, *OBJECTS)}
    title = DELIVERY
    for name, parameter in api.of("audioInference").items():
        if name == "inputs":  # the page's groups follow each other
            title = MUSIC
        head = name.partition(".")[0]
        tables[head if head in OBJECTS else title].append(parameter)
    for title, found in tables.items():
        yield f"### {title}"
        yield _parameters(found)


def _parameters(found: Iterable[ApiParameter], anchors: bool = True) -> str:
    rows = []
    for parameter in found:
        place = f'<a id="{anchor(parameter.name)}"></a>' if anchors else ""
        rows.append([f"{place}`{parameter.name}`", *_columns(parameter)])
    return _table(("Parameter", "Type", "Default", "Allowed", "Meaning"), rows)


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
    words = parameter.wanted.removeprefix("a whole number ").removeprefix("a number ")
    return words.removeprefix("from ").removeprefix("of ") + step


def _rules() -> Iterator[str]:
    yield "## Values together"
    yield "\n".join(f"- {rule.words}" for rule in task_rules.RULES)


def _bitrates() -> Iterator[str]:
    yield (
        f"The bitrates in kbit/s. An absent `channels` means {api.get('audioSettings.channels').default}, an absent "
        f"`sampleRate` {parameters.SAMPLE_RATE}."
    )
    columns: dict[str, encoding_rules.Ranges] = {}
    for name in encoding_rules.LOSSY:
        found = {int(channels): encoding_rules.ranges(name, int(channels)) or {} for channels in (1, 2)}
        if found[1] == found[2]:
            columns[name] = found[1]
        else:
            columns |= {f"{name}, mono": found[1], f"{name}, stereo": found[2]}
    rows = []
    for rate in api.get("audioSettings.sampleRate").choices:
        cells = [column.get(int(rate)) for column in columns.values()]
        rows.append([f"{rate} Hz", *("" if cell is None else f"{cell[0]} to {cell[1]}" for cell in cells)])
    yield _table(("Sample rate", *columns), rows)


def _others() -> Iterator[str]:
    yield "## Other tasks"
    for kind, model in MODELS.items():
        if kind != "audioInference":
            yield f"### {kind}"
            yield " ".join((model.__doc__ or "").split(" media:")[0].split())
            documented = [parameter for name, parameter in api.of(kind).items() if name != "taskType"]
            seen = api.of("audioInference")
            shown = (_parameters([parameter], parameter.name not in seen) for parameter in documented)
            first, *rest = (table.split("\n") for table in shown)
            yield "\n".join([*first, *(line for table in rest for line in table[2:])])


def _answers() -> Iterator[str]:
    yield "## Answers"
    yield (
        "The answer is an object with `data`, a list of what the tasks brought, and `errors`, a list of what "
        "went wrong; "
        "either may be absent. Entries name their task by `taskType` and `taskUUID`."
    )
    yield f"```json\n{json.dumps({'data': [RESULT]}, indent=2)}\n```"
    yield "\n".join(
        (
            "- A result has `audioURL`, `audioBase64Data` or `audioDataURI`, as `outputType` asks. `audioUUID` "
            "names the "
            "sound; it can be the `inputs.audio` of a later task. `seed` is the one to send to make it again.",
            "- With `numberResults` there are as many results under one `taskUUID`; result i, counted from 0, has "
            "`seed` + i, after the largest seed going on with 0.",
            "- With `includeCost` a result has `cost`, by the server's price per hour, and `costDetails`: "
            "seconds, device, "
            "peak memory, and energy where the device tells.",
            "- With `deliveryMethod` `async`, or a `webhookURL`, the answer comes at once, with `taskType` and "
            "`taskUUID` alone. `getResponse` then tells all results every time, in their order, each with a "
            "`status` of "
            "`processing` or `success`; failed ones are in `errors`.",
            "- The webhook gets each result's object by itself as soon as it is there, with its `status`, and a "
            "failure "
            "as an object of the same kind with `code` and `message`. Any answer from 200 to 299 settles it; "
            "other ones "
            "are tried again, always with the same body.",
        )
    )


def _errors() -> Iterator[str]:
    yield "## Errors"
    yield (
        "An error has a `code` for programs and a `message` for people. `parameter` is the dotted name of what is to "
        "blame, or a list of names that do not go together; `allowedValues` lists what would do; "
        "`documentation` is the "
        "place in this page."
    )
    yield f"```json\n[\n{textwrap.indent(_json(MISTAKES), '  ')}\n]\n```"
    (found,) = read_tasks([MISTAKES])
    assert isinstance(found, tuple)
    yield "```text\n" + "\n".join(f"{error.code}: {error.message}" for error in found) + "\n```"
    yield (
        "The HTTP status says what became of the request, and the errors what became of its tasks: it is 200 "
        "as soon as "
        "one task brought something or was taken on. Where all errors share a status it is that one, and else 400."
    )
    rows = [[code, "400", words] for code, words in FAMILIES]
    rows += [[f"`{code}`", str(status), words] for code, (status, words) in CODES.items()]
    yield _table(("Code", "HTTP status", "Meaning"), rows)


def _differences() -> Iterator[str]:
    yield "## Where this server goes beyond the hosted service"
    scheduler = (
        "`advancedFeatures.modularScheduler` is [described here](modular-scheduler.md); a name may stand for it."
    )
    yield "\n".join(
        (
            f"- {scheduler}",
            "- A seed that is drawn lies in the range that can be sent, so every result can be made again.",
            "- The task `cancelTask` stops a task.",
            f"- A `ttl` has a largest value, {api.get('ttl').maximum}, and an address a greatest length, "
            f"{api.LONGEST_URL} characters.",
            "- An absent `bitrate` means the highest that the format has.",
        )
    )


def _table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    head = list(head)
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in line)} |" for line in lines)


def _json(value: Mapping[str, Any]) -> str:
    inside = ",\n".join(f"  {json.dumps(key)}: {json.dumps(entry)}" for key, entry in value.items())
    return f"{{\n{inside}\n}}"


def files() -> dict[Path, str]:
    """What the file holds."""
    return {PAGE: page()}


def main() -> None:
    for path, text in files().items():
        fresh = path.with_name(path.name + ".new")
        fresh.write_text(text, encoding="utf-8")
        fresh.replace(path)


if __name__ == "__main__":
    main()
