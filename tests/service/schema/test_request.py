"""A request as a whole: its tasks, their UUIDs, keys and addresses, and the shape of errors."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from task_requests import MODEL, accepted, errors_of, refused, task, the_error

from acestep_xl.parameters import api
from acestep_xl.service.schema.errors import ApiError, RequestError, http_status
from acestep_xl.service.schema.request import read_tasks
from acestep_xl.service.schema.task import Task
from acestep_xl.transfer.policy import Policy

UUID = "a770f077-f413-47de-9dac-be0b26a35da6"


def test_an_invalid_task_does_not_affect_the_others():
    good, bad = task(), task({"steps": 0})
    results = read_tasks([good, bad, "nothing", {"taskType": "ping", "ping": True}, good | {"taskUUID": UUID}])
    assert [isinstance(result, tuple) for result in results] == [False, True, True, False, False]
    assert results[0] == read_tasks([good])[0] and results[1] == errors_of(bad)
    assert results[3] == Task("ping", {"taskType": "ping", "ping": True})


# The same UUID twice


def test_a_uuid_can_be_used_once():
    first, second, third = task({"taskUUID": UUID}), task({"taskUUID": UUID, "steps": 0}), task()
    results = read_tasks([first, second, third, task({"taskUUID": UUID.upper()})])
    assert [isinstance(result, tuple) for result in results] == [False, True, False, True]
    assert [(error.code, error.parameter) for error in results[1]] == [
        ("invalidSteps", "steps"),
        ("conflictTaskUUID", "taskUUID"),
    ]
    assert [error.code for error in results[3]] == ["conflictTaskUUID"]
    results = read_tasks([task({"taskUUID": UUID.upper()}), task({"taskUUID": UUID})])
    assert [isinstance(result, tuple) for result in results] == [False, True]


def test_a_refused_task_uses_its_uuid():
    # Clients match answers to tasks by the UUID alone.
    results = read_tasks([task({"taskUUID": UUID, "steps": 0}), task({"taskUUID": UUID})])
    assert [[error.code for error in result] for result in results] == [["invalidSteps"], ["conflictTaskUUID"]]


def test_asking_about_a_task_is_no_conflict():
    questions = [{"taskType": kind, "taskUUID": UUID} for kind in ("getResponse", "getResponse", "cancelTask")]
    assert not any(isinstance(result, tuple) for result in read_tasks([task({"taskUUID": UUID}), *questions]))


# Keys


@pytest.mark.parametrize(
    ("name", "suggestion"),
    [
        ("settings.bmp", "settings.bpm"),
        ("settings.Lyrics", "settings.lyrics"),
        ("positive_prompt", "positivePrompt"),
        ("cfgScale", "CFGScale"),
        ("webhookUrl", "webhookURL"),
        ("lyrics", "settings.lyrics"),
        ("audio", "inputs.audio"),
        ("settings.steps", "steps"),
        ("modularScheduler", "advancedFeatures.modularScheduler"),
        ("audioSettings.sampleRates", "audioSettings.sampleRate"),
    ],
)
def test_an_unknown_key_suggests_the_intended_one(name, suggestion):
    error = the_error({name: 1})
    assert (error.code, error.parameter) == ("unsupportedParameter", name)
    assert f"did you mean {suggestion}?" in error.message


def test_an_unknown_key_lists_the_allowed_ones():
    error = the_error({"inputs.referenceImages": []})
    assert error.allowed_values == ("audio",) and "allowed here: audio" in error.message
    error = the_error({"zzz": []})
    assert error.allowed_values is not None and {"taskUUID", "settings", "CFGScale"} <= set(error.allowed_values)
    assert "bpm" not in error.allowed_values


def test_a_misspelt_choice_suggests_the_nearest_one():
    assert the_error({"settings.vocalLanguage": "EN"}).message.endswith("did you mean en (English)?")
    assert the_error({"outputType": "base64"}).message.endswith("did you mean base64Data?")
    assert "did you mean" not in the_error({"outputType": "picture"}).message


# Addresses


def test_a_policy_refuses_private_addresses():
    private = {"webhookURL": "http://127.0.0.1:9000/hook", "uploadEndpoint": "http://[::1]:9000/", "inputs.audio": UUID}
    accepted(private)
    (result,) = read_tasks([task(private)], Policy(allow_private=True))
    assert not isinstance(result, tuple)
    (result,) = read_tasks([task({**private, "inputs.audio": "http://10.0.0.1/a.mp3"})], Policy())
    assert isinstance(result, tuple)
    assert [error.parameter for error in result] == ["webhookURL", "uploadEndpoint", "inputs.audio"]
    assert "loopback" in result[0].message


def test_secrets_are_not_repeated():
    token = "s3cr3t"
    errors = (
        *refused({"webhookURL": f"ftp://example.com/?token={token}", "uploadEndpoint": f"https://a b/?X-Sig={token}"}),
        *refused({"inputs.audio": token, "duration": 5}),
        *errors_of({"taskType": "authentication", "apiKey": [token]}),
        *errors_of({"taskType": "authentication", "apiKey": token, "connectionSessionUUID": 5}),
    )
    assert len(errors) >= 5
    assert token not in json.dumps([error.to_json() for error in errors])


# Other tasks


@pytest.mark.parametrize("kind", ["getResponse", "cancelTask", "getTaskDetails"])
def test_tasks_about_a_task(kind):
    (result,) = read_tasks([{"taskType": kind, "taskUUID": UUID}])
    assert not isinstance(result, tuple) and result.to_json() == {"taskType": kind, "taskUUID": UUID}
    assert [error.code for error in errors_of({"taskType": kind})] == ["missingTaskUUID"]
    assert [error.code for error in errors_of({"taskType": kind, "taskUUID": "x"})] == ["invalidTaskUUID"]
    assert [error.code for error in errors_of({"taskType": kind, "taskUUID": UUID, "x": 1})] == ["unsupportedParameter"]


def test_media_storage():
    def upload(media: Any) -> dict[str, Any]:
        return {"taskType": "mediaStorage", "taskUUID": UUID, "operation": "upload", "media": media}

    for media in ("https://example.com/a.wav", "data:audio/wav;base64,UklGRg==", "UklGRg==", "A" * 10_000_000):
        (result,) = read_tasks([upload(media)])
        assert not isinstance(result, tuple) and result.to_json() == upload(media)
        assert media not in repr(result)
    for media in ("", 5, None, ["UklGRg=="], "ftp://example.com/a.wav", "https://user:secret@example.com/a.wav"):
        (error,) = errors_of(upload(media))
        assert (error.code, error.parameter) == ("invalidMedia", "media")
    (error,) = errors_of(upload("UklGRg==") | {"operation": "delete"})
    assert (error.code, error.allowed_values) == ("invalidOperation", ("upload",))
    errors = errors_of({"taskType": "mediaStorage"})
    assert [error.code for error in errors] == ["missingTaskUUID", "missingOperation", "missingMedia"]


def test_authentication():
    (result,) = read_tasks([{"taskType": "authentication", "apiKey": "key", "connectionSessionUUID": UUID}])
    assert not isinstance(result, tuple) and "'key'" not in repr(result)
    assert result.to_json() == {"taskType": "authentication", "apiKey": "key", "connectionSessionUUID": UUID}
    (error,) = errors_of({"taskType": "authentication"})
    assert (error.code, error.status) == ("missingApiKey", 401)


def test_ping():
    for ping in ({"taskType": "ping", "ping": True}, {"taskType": "ping"}):
        assert read_tasks([ping]) == [Task("ping", ping)]
    assert [error.code for error in errors_of({"taskType": "ping", "ping": 1})] == ["invalidPing"]


# The request itself, and errors


@pytest.mark.parametrize("body", [None, {}, {"taskType": "ping"}, "[]", 5, True, [], [task()] * 101])
def test_a_body_without_tasks(body):
    with pytest.raises(RequestError) as caught:
        read_tasks(body)
    (error,) = caught.value.errors
    assert error.code == "invalidRequest" and error.status == 400 and str(caught.value) == error.message


def test_a_request_of_many_tasks():
    assert len(read_tasks([task() for _ in range(100)])) == 100


def test_an_error_as_json():
    given = task({"settings.keyScale": "X", "taskUUID": UUID, "ttl": 60, "outputType": "dataURI", "model": "other"})
    errors = errors_of(given)
    wrong_model, wrong_scale, incompatible = (error.to_json() for error in errors)
    assert wrong_scale == {
        "code": "invalidKeyScale",
        "message": 'settings.keyScale is "X"; it must be a note from A to G, optionally #, b, ♯ or ♭, then a '
        "space and major or minor",
        "parameter": "settings.keyScale",
        "taskType": "audioInference",
        "taskUUID": UUID,
        "documentation": "docs/task-api.md#request-settings-keyscale",
    }
    assert wrong_model["allowedValues"] == [MODEL]
    assert incompatible["parameter"] == ["ttl", "outputType"]
    assert [ApiError.from_json(json.loads(json.dumps(error.to_json()))) for error in errors] == list(errors)


def test_the_documentation_of_every_error_exists():
    page = (Path(__file__).parents[3] / "docs" / "task-api.md").read_text("utf-8")
    names = {name for table in api.TASKS.values() for name in table}
    links = {name: ApiError("code", "message", name).documentation for name in names}
    links |= {name: ApiError("code", "message", name).documentation for name in ("settings.bmp", "bmp", "a.b.c")}
    assert links["settings.bmp"].endswith("#request-settings") and links["bmp"].endswith("#errors")
    for link in links.values():
        path, _, anchor = link.partition("#")
        assert path == "docs/task-api.md"
        assert f'id="{anchor}"' in page or f"## {anchor.capitalize()}\n" in page


def test_the_http_status_of_errors():
    missing, full, invalid = ApiError("taskNotFound", ""), ApiError("queueFull", ""), ApiError("invalidBpm", "")
    failed = ApiError("inferenceFailed", "")
    assert http_status([missing, missing]) == 404 and http_status([full]) == 429
    assert http_status([failed, failed]) == 200  # the request was carried out
    assert http_status([missing, full]) == http_status([invalid, invalid]) == 400
