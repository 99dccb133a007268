"""What the planner wrote, read: the fields of its thought, lyrics and audio codes."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from .prompts import END, END_OF_THOUGHT, FIELDS

_CODE = re.compile(r"<\|audio_code_([0-9]{1,9})\|>")
_THOUGHTS = (re.compile(r"<think>(.*?)</think>", re.DOTALL), re.compile(r"<reasoning>(.*?)</reasoning>", re.DOTALL))
_LYRICS_HEADER = re.compile(r"\A.{0,64}?^#[ \t]*lyrics?[ \t]*(?:\n|\Z)", re.DOTALL | re.IGNORECASE | re.MULTILINE)
_READ_FIELDS = (*FIELDS, "genres")
_NUMBERS = ("bpm", "duration")
_NUMBER = re.compile(r"[0-9]{1,9}")


@dataclass(frozen=True)
class Output:
    """values: by field; bpm and duration are numbers where the planner wrote numbers. lyrics: empty without any."""

    values: dict[str, str | int]
    lyrics: str
    codes: tuple[int, ...]


def read_output(text: str) -> Output:
    """Read what the planner wrote, finished or not. Unlike the official reader it takes YAML's quotes off."""
    codes = tuple(int(code) for code in _CODE.findall(text))
    values = {name: _value(name, value) for name, value in _fields(_thought(text)) if name in _READ_FIELDS}
    return Output(values, _lyrics(text), codes)


def _thought(text: str) -> str:
    """The thought; all before the first code if it has no end, as after a pass that stops there."""
    for pattern in _THOUGHTS:
        if match := pattern.search(text):
            return match[1]
    return _CODE.split(text, maxsplit=1)[0]


def _fields(thought: str) -> Iterator[tuple[str, str]]:
    """Names in lower case and values; an indented line continues the value above, other lines do not count."""
    name, lines = "", list[str]()
    for line in thought.splitlines():
        if line.startswith((" ", "\t")):
            lines.append(line.strip())
        elif ":" in line and not line.startswith("<"):
            yield name, " ".join(filter(None, lines))
            name, _, first = line.partition(":")
            name, lines = name.strip().lower(), [first.strip()]
    yield name, " ".join(filter(None, lines))


def _value(name: str, value: str) -> str | int:
    unquoted = _unquoted(value)
    return int(unquoted) if name in _NUMBERS and _NUMBER.fullmatch(unquoted) else unquoted


def _unquoted(value: str) -> str:
    """YAML's quotes off; the planner learnt from text that has them around `no`, and around colons."""
    if len(value) > 1 and value[0] == value[-1] == "'":
        return value[1:-1].replace("''", "'")
    if len(value) > 1 and value[0] == value[-1] == '"':
        return value[1:-1].replace('\\"', '"')
    return value


def _lyrics(text: str) -> str:
    """What follows the thought, without its header and without codes."""
    after = text.partition(END_OF_THOUGHT)[2]
    words = _CODE.sub("", after).strip().removesuffix(END).strip()
    return _LYRICS_HEADER.sub("", words, count=1).strip()
