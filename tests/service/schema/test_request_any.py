"""Any input is either read or refused with errors that can be sent back."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from task_requests import JSON, damaged_tasks, errors_of, task, tasks, the_error

from acestep_xl.parameters import api
from acestep_xl.service.schema.errors import RequestError
from acestep_xl.service.schema.request import read_tasks
from acestep_xl.service.schema.value_checks import format_value

CAREFUL = settings(deadline=None, max_examples=150, suppress_health_check=[HealthCheck.too_slow])
MAX_MESSAGE = 2000


def read(body: Any) -> list[Any]:
    """The tasks of a request; checks that every error can be sent."""
    try:
        results: list[Any] = read_tasks(body)
        errors = [error for result in results if isinstance(result, tuple) for error in result]
        assert len(results) == len(body)
        assert () not in results
    except RequestError as error:
        results, errors = [], list(error.errors)
        assert errors
    for error in errors:
        sent = json.dumps(error.to_json(), allow_nan=False, ensure_ascii=False).encode("utf-8")
        assert error.code.isidentifier() and len(sent) < MAX_MESSAGE * 4
        assert 0 < len(error.message) < MAX_MESSAGE
    return results


@given(JSON)
@CAREFUL
def test_any_json(body):
    read(body)


@given(st.lists(JSON | st.dictionaries(st.sampled_from(["taskType", "taskUUID", "settings"]), JSON), max_size=4))
@CAREFUL
def test_any_list(body):
    read(body)


@given(
    st.sampled_from(list(api.TASKS)), st.dictionaries(st.sampled_from(["taskUUID", "media", "apiKey", "ping"]), JSON)
)
@CAREFUL
def test_any_other_task(kind, values):
    read([{**values, "taskType": kind}])


@given(st.lists(damaged_tasks(), min_size=1, max_size=3))
@CAREFUL
def test_any_damaged_task(body):
    for element, result in zip(body, read(body), strict=True):
        if not isinstance(result, tuple):
            assert json.loads(json.dumps(result.to_json())) == element


@given(tasks())
@CAREFUL
def test_a_task_survives_the_round_trip(element):
    (result,) = read([element])
    if not isinstance(result, tuple):
        assert result.to_json() == element
        assert read_tasks([result.to_json()]) == [result]


def nested(depth: int, inside: Any) -> Any:
    for level in range(depth):
        inside = [inside] if level % 2 else {"settings": inside}
    return inside


@pytest.mark.parametrize(
    "name", ["settings", "settings.bpm", "seed", "x", "advancedFeatures.modularScheduler", "inputs.audio", "taskUUID"]
)
def test_deep_values(name):
    for inside in (nested(500, 1), nested(20_000, 1)):
        assert len(read([task({name: inside})])) == 1
    read(nested(20_000, 1))


@pytest.mark.parametrize("value", [10**5000, -(10**5000), 10**25, math.inf, -math.inf], ids=range(5))
def test_huge_numbers(value):
    for name in ("seed", "duration", "settings.bpm", "x", "outputType", "includeCost", "ttl"):
        (result,) = read([task({name: value})])
        assert isinstance(result, tuple)
    errors = errors_of(task({"advancedFeatures.modularScheduler": {"schedule": {"steps": 10.0**300}}}))
    assert [error.code for error in errors] == ["invalidModularScheduler"]


def test_long_strings_are_not_repeated():
    long = "x" * 5_000_000
    for name in ("positivePrompt", "outputType", "taskUUID", "webhookURL", "inputs.audio", "settings.keyScale", "seed"):
        (result,) = read([task({name: long})])
        assert isinstance(result, tuple)
    read([task({long: 1, f"settings.{long}": 1}), {"taskType": long}, long])
    read([task({"advancedFeatures.modularScheduler": {long: 1, "solver": {"type": long}}})])


def test_unpaired_surrogates_in_keys_and_values():
    half = "\ud800"
    read([{half: half, "taskType": half}, task({half: 1, "taskUUID": half, f"settings.{half}": 1}), half])
    assert read([task({f"advancedFeatures.{half}": 1})])
    read([task({"advancedFeatures.modularScheduler": {half: half}})])
    read([{"taskType": "mediaStorage", "media": half}, {"taskType": "authentication", "apiKey": half}])


def test_many_unknown_keys_are_counted_not_listed():
    errors = errors_of(task({f"key{i}": i for i in range(90)}))
    assert len(errors) == 51 and errors[-1].code == "tooManyErrors" and "40 more" in errors[-1].message
    for many in ({f"key{i}": i for i in range(200_000)}, {"settings": {f"key{i}": i for i in range(200_000)}}):
        assert "keys" in the_error(many).message


def test_keys_that_are_not_strings():
    errors = errors_of({**task(), 5: 1, None: 2, ("a", "b"): 3})
    assert [(error.code, error.parameter) for error in errors] == [
        ("unsupportedParameter", "5"),
        ("unsupportedParameter", "None"),
        ("unsupportedParameter", "('a', 'b')"),
    ]


def test_a_dotted_key_suggests_the_object():
    given = {**task(), "settings.bpm": 120}
    (error,) = errors_of(given)
    assert error.message == "settings.bpm is not a parameter of audioInference; give bpm inside the object settings"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "null"),
        (True, "true"),
        ("a\n", '"a\\n"'),
        ("é", '"é"'),
        ("x" * 61, f'"{"x" * 60}"…'),
        (10**20, "a number of more than 20 digits"),
        (-5, "-5"),
        (0.1, "0.1"),
        ([], "a list"),
        ({}, "an object"),
        ((), "a tuple"),
    ],
)
def test_values_in_messages(value, text):
    assert format_value(value) == text
