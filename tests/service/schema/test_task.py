"""One task by the table of parameters: its values, the order of its errors, and what it never shows."""

from __future__ import annotations

import uuid
from typing import Any

import pytest
from task_requests import SOURCE, accepted, errors_of, refused, task

from acestep_xl.parameters import api
from acestep_xl.service.schema.errors import RequestError
from acestep_xl.service.schema.task import Task

OBJECTS = [name for name, parameter in api.of("audioInference").items() if parameter.type == "object"]


def test_a_value_is_the_one_given_or_the_default():
    given = accepted({**SOURCE, "strength": 0.0, "includeCost": False, "settings.bpm": 90})
    assert (given.value("strength"), given.value("includeCost"), given.value("settings.bpm")) == (0.0, False, 90)
    for name, parameter in api.of("audioInference").items():
        if not parameter.required:
            assert accepted().value(name) == parameter.default


def test_a_value_by_an_unknown_name():
    for name in ("bpm", "settings.bmp", "taskuuid", ""):
        with pytest.raises(KeyError, match="unknown parameter"):
            accepted().value(name)
    with pytest.raises(KeyError, match="of ping"):
        Task("ping", {"taskType": "ping"}).value("steps")
    with pytest.raises(KeyError):
        _ = Task("ping", {"taskType": "ping"}).task_uuid


def test_values_have_the_type_of_their_parameter():
    values = accepted({"steps": 60.0, "duration": 45, "settings.bpm": 90.0}).to_json()
    assert [type(values[name]) for name in ("steps", "duration")] == [int, float]
    assert type(values["settings"]["bpm"]) is int


def test_the_reader_knows_exactly_the_parameters_of_the_table():
    for task_type, table in api.TASKS.items():
        given: dict[str, Any] = {"taskType": task_type}
        for name in table:
            parent, _, key = name.rpartition(".")
            if name not in (*OBJECTS, "taskType"):
                (given.setdefault(parent, {}) if parent else given)[key] = None
        errors = [error for error in errors_of(given) if error.code != "incompatibleParameters"]
        assert {error.parameter for error in errors} == set(table) - {*OBJECTS, "taskType"}
        assert "unsupportedParameter" not in {error.code for error in errors}


def test_unknown_keys_of_every_object_are_refused():
    for parent in ("", *OBJECTS):
        prefix = f"{parent}." * bool(parent)
        errors = refused({f"{prefix}zzz": 1, **({"outputFormat": "MP3"} if parent == "audioSettings" else {})})
        siblings = [name for name in api.of("audioInference") if name.rpartition(".")[0] == parent]
        assert [(error.code, error.parameter) for error in errors] == [("unsupportedParameter", f"{prefix}zzz")]
        assert errors[0].allowed_values == tuple(name.rpartition(".")[2] for name in siblings)


def test_errors_of_the_music_come_before_those_of_its_delivery():
    changes = {"zzz": 1, "settings.bpm": 0, "settings.zzz": 1, "ttl": 1, "outputType": 1, "steps": 0, "model": ...}
    assert [error.parameter for error in refused(changes)] == [
        "model",
        "steps",
        "outputType",
        "ttl",
        "settings.bpm",
        "settings.zzz",
        "zzz",
    ]


def test_a_stored_task_is_read_again():
    given = accepted({**SOURCE, "settings.lyrics": "[Verse] words", "advancedFeatures.modularScheduler": "Euler"})
    assert Task.from_json(given.to_json()) == given


def test_a_stored_task_that_is_wrong_is_refused_with_every_reason():
    with pytest.raises(RequestError, match=r"steps is 0.*zzz is not a parameter") as caught:
        Task.from_json(task({"steps": 0, "zzz": 1}))
    assert [error.code for error in caught.value.errors] == ["invalidSteps", "unsupportedParameter"]


def test_the_repr_holds_no_values():
    assert "s3cr3t" not in repr(Task("authentication", {"taskType": "authentication", "apiKey": "s3cr3t"}))


def test_the_values_of_a_task_are_its_own():
    values = {"taskType": "getResponse", "taskUUID": str(uuid.uuid4())}
    given = Task.from_json(values)
    given.to_json().clear()
    values.clear()
    assert set(given.to_json()) == {"taskType", "taskUUID"}
