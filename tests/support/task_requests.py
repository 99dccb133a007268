"""Requests of the task API: made from dotted names, read, and drawn at random."""

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
    """The smallest audioInference task with these values, by dotted names; ... takes a key away."""
    made: dict[str, Any] = {
        "taskType": "audioInference",
        "taskUUID": str(uuid.uuid4()),
        "model": MODEL,
        "positivePrompt": "calm piano",
    }
    for name, value in (changes or {}).items():
        parent, _, key = name.rpartition(".")
        place = made.setdefault(parent, {}) if parent else made
        if value is ...:
            del place[key]
        else:
            place[key] = value
    return made


def accepted(changes: dict[str, Any] | None = None) -> Task:
    """The task as it is read; fails with its errors where it is refused."""
    given = task(changes)
    (read,) = read_tasks([given])
    assert isinstance(read, Task), [error.message for error in read if isinstance(error, ApiError)]
    assert read.to_json() == given
    return read


def refused(changes: dict[str, Any] | None = None) -> tuple[ApiError, ...]:
    """Everything that is wrong with the task."""
    given = task(changes)
    return errors_of(given)


def errors_of(given: object) -> tuple[ApiError, ...]:
    """Everything that is wrong with a request of this one task."""
    (read,) = read_tasks([given])
    assert isinstance(read, tuple) and read, f"{given} was accepted"
    return read


def the_error(changes: dict[str, Any]) -> ApiError:
    """The one thing that is wrong with the task."""
    found = refused(changes)
    assert len(found) == 1, [error.message for error in found]
    return found[0]


# Random requests

SCHEDULERS: list[Any] = [{}, "Euler", {"solver": {"type": "unipc"}}, {"schedule": {"type": "karras", "rho": 5}}]
ADDRESSES = ["https://example.com/a?b=1", "http://example.com:8080/", "https://[2606:4700::1111]/a.mp3"]
TEXT = st.text(st.characters(exclude_categories=("Cs",), exclude_characters="\0"), min_size=10, max_size=40)
ANY_TEXT = st.text(st.characters(), max_size=12)  # with halves of surrogate pairs
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
    """Values that are right for a parameter, taken for itself."""
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
    whole = st.integers(math.ceil(low), math.floor(high))
    return whole if parameter.type == "integer" else whole | st.floats(low, high)


@st.composite
def tasks(draw: st.DrawFn) -> dict[str, Any]:
    """An audioInference task in which each value is right for itself; a few break rules between them."""
    names = draw(st.lists(st.sampled_from(LEAVES), unique=True, max_size=12))
    if draw(st.integers(0, 9)):
        without = {"duration"} if draw(st.booleans()) else {"inputs.audio", "strength", *REPAINT}
        without |= {"ttl", "audioSettings.bitrate"}
        names = [name for name in names if name not in without]
    chosen = {name: draw(values(name)) for name in names if name not in ("taskType", "model")}
    return task({"taskUUID": draw(values("taskUUID")), **chosen})


@st.composite
def nearly(draw: st.DrawFn) -> Any:
    """A task with a few places replaced, added or taken away."""
    made = draw(tasks())
    for _ in range(draw(st.integers(1, 3))):
        places = [made, *(value for value in made.values() if isinstance(value, dict))]
        place = draw(st.sampled_from(places))
        key = draw(st.sampled_from([*place, *(name.rpartition(".")[2] for name in LEAVES), "x"]))
        if draw(st.integers(0, 4)):
            place[key] = draw(JSON | values(draw(st.sampled_from(LEAVES))))
        else:
            place.pop(key, None)
    return made


REPAINT = ("settings.repaintingStart", "settings.repaintingEnd")
