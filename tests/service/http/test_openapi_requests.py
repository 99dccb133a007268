"""The request schemas of the OpenAPI description accept what the request reader accepts."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from openapi_schemas import CAREFUL, DOCUMENT, UUID, validator
from task_requests import SOURCE, accepted, damaged_tasks, task, tasks, the_error

from acestep_xl.service.schema.errors import ApiError, RequestError
from acestep_xl.service.schema.request import read_tasks
from acestep_xl.service.schema.task_rules import RULES

SLOW_GENERATION = (HealthCheck.too_slow, HealthCheck.filter_too_much, HealthCheck.data_too_large)
TASK, REQUEST = validator("AudioInference"), validator("Request")
COMPARED = {
    ("settings.cfgIntervalStart", "settings.cfgIntervalEnd"),
    ("settings.repaintingEnd", "settings.repaintingStart"),
}


def is_inexpressible(error: ApiError) -> bool:
    """Whether JSON Schema cannot express what the error reports."""
    rule = error.parameter in COMPARED and error.code == "incompatibleParameters"
    return rule or "cannot be used" in error.message or "surrogate" in error.message


def is_json(value: Any) -> bool:
    try:
        json.dumps(value, allow_nan=False).encode()
    except ValueError:
        return False
    return True


def check_agreement(element: Any) -> None:
    """Schema and reader either both accept a task or both refuse it."""
    if not is_json(element):
        return
    (result,) = read_tasks([element])
    errors = result if isinstance(result, tuple) else ()
    schema_agrees = TASK.is_valid(element)
    if any(not is_inexpressible(error) and error.code != "invalidModularScheduler" for error in errors):
        assert not schema_agrees, [error.message for error in errors]
    elif not any(error.code == "invalidModularScheduler" for error in errors):
        assert schema_agrees, [problem.message for problem in TASK.iter_errors(element)]


@given(damaged_tasks())
@CAREFUL
def test_schema_and_reader_agree_on_damaged_tasks(element):
    if element.get("taskType") == "audioInference":
        check_agreement(element)


@given(tasks())
@CAREFUL
def test_schema_and_reader_agree_on_tasks_of_valid_values(element):
    check_agreement(element)


def test_only_rules_that_compare_values_have_no_schema():
    assert [rule.description for rule in RULES if rule.schema is None] == [
        "`settings.cfgIntervalStart` must not be larger than `settings.cfgIntervalEnd`.",
        "`settings.repaintingEnd` must be larger than `settings.repaintingStart`, or than 0 without one.",
    ]


@pytest.mark.parametrize(
    "changes",
    [
        {**SOURCE, "duration": 60},
        {"strength": 0.5},
        {"settings.repaintingStart": 1},
        {"settings": {"repaintingEnd": 1}, "inputs": {}},
        {"ttl": 60, "outputType": "base64Data"},
        {"outputFormat": "WAV", "audioSettings": {}},
        {"outputFormat": "FLAC", "audioSettings": {"channels": 1}},
        {"outputFormat": "OGG", "audioSettings": {"sampleRate": 44100}},
        {"outputFormat": "OGG", "audioSettings": {"bitrate": 257}},
        {"outputFormat": "OGG", "audioSettings": {"bitrate": 225, "channels": 1}},
        {"outputFormat": "OGG", "audioSettings": {"bitrate": 15, "sampleRate": 8000}},
        {"audioSettings": {"bitrate": 65, "sampleRate": 8000}},
        {"audioSettings": {"bitrate": 31}},
        {"settings.keyScale": "C major\n"},
        {"webhookURL": "example.com"},
        {"x": 1},
        {"model": ...},
        {"taskUUID": UUID.replace("-4", "-1")},
        {"advancedFeatures.modularScheduler": {"solver": {"type": "heun", "eta": 1}}},
        {"advancedFeatures.modularScheduler": "Euler Turbo"},
    ],
)
def test_both_refuse(changes):
    the_error(changes)
    assert not TASK.is_valid(task(changes))


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {**SOURCE, "strength": 1, "settings": {"repaintingStart": -8, "repaintingEnd": 0}},
        {"inputs": {}, "duration": 30.0},
        {"ttl": 60, "outputType": "URL"},
        {"outputFormat": "OGG", "audioSettings": {"bitrate": 224, "channels": 1}},
        {"audioSettings": {"bitrate": 64, "sampleRate": 8000}},
        {"steps": 60.0, "CFGScale": 1},
        {"advancedFeatures.modularScheduler": {"solver": {"type": "sde", "eta": 1}}},
        {"advancedFeatures.modularScheduler": "DPM++ 2M Karras"},
    ],
)
def test_both_accept(changes):
    accepted(changes)
    assert TASK.is_valid(task(changes))


def test_requests_of_all_kinds_of_tasks():
    request = [
        task(),
        {"taskType": "getResponse", "taskUUID": UUID},
        {"taskType": "mediaStorage", "taskUUID": UUID, "operation": "upload", "media": "UklGRg=="},
        {"taskType": "authentication", "apiKey": "key"},
        {"taskType": "cancelTask", "taskUUID": UUID},
        {"taskType": "getTaskDetails", "taskUUID": UUID},
        {"taskType": "ping", "ping": True},
    ]
    assert REQUEST.is_valid(request)
    assert not any(isinstance(result, tuple) for result in read_tasks(request))
    for invalid in (
        [],
        [{}],
        {},
        [task()] * 101,
        [*request, {"taskType": "imageInference"}],
        [{"taskType": "ping", "x": 1}],
    ):
        assert not REQUEST.is_valid(invalid)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["positive", "negative"])
def test_requests_generated_from_the_description(kind):
    schemathesis = pytest.importorskip("schemathesis")
    mode = schemathesis.GenerationMode(kind)
    operation = schemathesis.openapi.from_dict(DOCUMENT)["/v1"]["POST"]
    seen = {"accepted": 0, "refused": 0}

    @given(operation.as_strategy(generation_mode=mode))
    @settings(deadline=None, max_examples=25, database=None, suppress_health_check=SLOW_GENERATION)
    def check(case: Any) -> None:
        try:
            results = read_tasks(case.body)
        except RequestError:
            results = [(ApiError("invalidRequest", ""),)]
        seen["accepted"] += sum(not isinstance(result, tuple) for result in results)
        seen["refused"] += sum(isinstance(result, tuple) for result in results)
        errors = [error for result in results if isinstance(result, tuple) for error in result]
        if kind == "negative":
            assert errors, case.body
        for error in errors if kind == "positive" else ():
            # JSON Schema can express neither comparisons of values, nor unique UUIDs, nor descending levels.
            in_schedule = str(error.parameter).startswith("advancedFeatures.modularScheduler.schedule")
            assert is_inexpressible(error) or error.code == "conflictTaskUUID" or in_schedule, error

    check()
    assert seen["accepted" if kind == "positive" else "refused"] > 20
