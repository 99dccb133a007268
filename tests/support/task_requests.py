"""Requests of the task API: built from dotted names, read, and generated at random."""

from __future__ import annotations

import copy
import math
import uuid
from typing import Any

from hypothesis import strategies as st

from acestep_xl.parameters import api
from acestep_xl.service.schema.errors import ApiError
from acestep_xl.service.schema.request import read_tasks
from acestep_xl.service.schema.task import Task

MODEL = "runware:ace-step@v1.5-xl-sft"
SOURCE = {"inputs.audio": "https://example.com/song.mp3"}


def task(changes: dict[str, Any] | None = None) -> dict[str, Any]:
    """A minimal audioInference task with these values, by dotted names; ... removes a key."""
    element: dict[str, Any] = {
        "taskType": "audioInference",
        "taskUUID": str(uuid.uuid4()),
        "model": MODEL,
        "positivePrompt": "calm piano",
    }
    for name, value in (changes or {}).items():
        parent, _, key = name.rpartition(".")
        group = element.setdefault(parent, {}) if parent else element
        if value is ...:
            del group[key]
        else:
            group[key] = value
    return element


def accepted(changes: dict[str, Any] | None = None) -> Task:
    """The task as it is read; fails with its errors if it is refused."""
    element = task(changes)
    (result,) = read_tasks([element])
    assert isinstance(result, Task), [error.message for error in result]
    assert result.to_json() == element
    return result


def refused(changes: dict[str, Any] | None = None) -> tuple[ApiError, ...]:
    """The errors of the task."""
    return errors_of(task(changes))


def errors_of(element: object) -> tuple[ApiError, ...]:
    """The errors of a request that holds only this element."""
    (result,) = read_tasks([element])
    assert isinstance(result, tuple) and result, f"{element} was accepted"
    return result


def the_error(changes: dict[str, Any]) -> ApiError:
    """The only error of the task."""
    errors = refused(changes)
    assert len(errors) == 1, [error.message for error in errors]
    return errors[0]


# Random requests

SCHEDULERS: list[Any] = [{}, "Euler", {"solver": {"type": "unipc"}}, {"schedule": {"type": "karras", "rho": 5}}]
ADDRESSES = ["https://example.com/a?b=1", "http://example.com:8080/", "https://[2606:4700::1111]/a.mp3"]
TEXT = st.text(st.characters(exclude_categories=("Cs",), exclude_characters="\0"), min_size=10, max_size=40)
ANY_TEXT = st.text(st.characters(), max_size=12)  # with unpaired surrogates
NAMES = list(api.of("audioInference"))
LEAVES = [name for name in NAMES if api.get(name).type != "object"]

JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.sampled_from([10**400, -(10**30), 2**53, 60, 0, 1])
    | st.floats()
    | ANY_TEXT
    | st.sampled_from(["MP3", "OGG", "URL", "en", MODEL, *ADDRESSES]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(ANY_TEXT | st.sampled_from(LEAVES), inner, max_size=3),
    max_leaves=8,
)


def values(name: str) -> st.SearchStrategy[Any]:
    """Valid values of a parameter, apart from rules between parameters."""
    parameter = api.get(name)
    if name in ("webhookURL", "uploadEndpoint"):
        return st.sampled_from(ADDRESSES)
    if name == "inputs.audio":
        return st.sampled_from(ADDRESSES) | st.uuids().map(str)
    if name == "taskUUID":
        return st.uuids(version=4).map(str)
    if name == "settings.keyScale":
        return st.sampled_from(["C major", "F# minor", "B♭ major"])
    if parameter.type == "recipe":
        return st.sampled_from(SCHEDULERS).map(copy.deepcopy)
    if parameter.choices:
        return st.sampled_from(parameter.choices)
    if parameter.type in ("boolean", "string"):
        return st.booleans() if parameter.type == "boolean" else TEXT
    low, high = parameter.minimum or 0, parameter.maximum or 320
    integers = st.integers(math.ceil(low), math.floor(high))
    return integers if parameter.type == "integer" else integers | st.floats(low, high)


@st.composite
def tasks(draw: st.DrawFn) -> dict[str, Any]:
    """An audioInference task whose single values are valid; a few tasks break rules between them."""
    names = draw(st.lists(st.sampled_from(LEAVES), unique=True, max_size=12))
    if draw(st.integers(0, 9)):
        excluded = {"duration"} if draw(st.booleans()) else {"inputs.audio", "strength", *REPAINT}
        excluded |= {"ttl", "audioSettings.bitrate"}
        names = [name for name in names if name not in excluded]
    chosen = {name: draw(values(name)) for name in names if name not in ("taskType", "model")}
    return task({"taskUUID": draw(values("taskUUID")), **chosen})


@st.composite
def damaged_tasks(draw: st.DrawFn) -> Any:
    """A task with a few values replaced, added or removed."""
    element = draw(tasks())
    for _ in range(draw(st.integers(1, 3))):
        groups = [element, *(value for value in element.values() if isinstance(value, dict))]
        group = draw(st.sampled_from(groups))
        key = draw(st.sampled_from([*group, *(name.rpartition(".")[2] for name in LEAVES), "x"]))
        if draw(st.integers(0, 4)):
            group[key] = draw(JSON | values(draw(st.sampled_from(LEAVES))))
        else:
            group.pop(key, None)
    return element


REPAINT = ("settings.repaintingStart", "settings.repaintingEnd")
