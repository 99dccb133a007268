"""The OpenAPI description: valid, complete, and in agreement with the request reader and the answers."""

from __future__ import annotations

import json
import re
import runpy
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from jsonschema import Draft202012Validator, validators
from task_requests import SOURCE, accepted, damaged_tasks, task, tasks, the_error

from acestep_xl.parameters import api
from acestep_xl.service.http import openapi
from acestep_xl.service.schema.errors import CODES, ApiError, RequestError
from acestep_xl.service.schema.request import read_tasks
from acestep_xl.service.schema.task_rules import RULES

DOCUMENT = openapi.document()
SCHEMAS = DOCUMENT["components"]["schemas"]
DOCS = Path(__file__).parents[3] / "docs"
UUID = "a770f077-f413-47de-9dac-be0b26a35da6"
SLOW_GENERATION = (HealthCheck.too_slow, HealthCheck.filter_too_much, HealthCheck.data_too_large)
CAREFUL = settings(deadline=None, max_examples=150, suppress_health_check=[HealthCheck.too_slow])


def _pattern(validator: Any, pattern: str, value: Any, schema: Any) -> Iterator[Any]:
    """JSON Schema has JavaScript's patterns, in which $ matches only at the end of the text."""
    yield from Draft202012Validator.VALIDATORS["pattern"](validator, pattern.replace("$", r"\Z"), value, schema)


def validator(name: str) -> Any:
    """A validator of one schema of the description, which resolves references into it."""
    kind = validators.extend(Draft202012Validator, {"pattern": _pattern})
    return kind({"$ref": f"#/components/schemas/{name}", "components": DOCUMENT["components"]})


def schema_name(task_type: str) -> str:
    return task_type[0].upper() + task_type[1:]


def property_names(schema: dict[str, Any], parent: str = "") -> Iterator[str]:
    """The dotted names of all properties of a schema and of the objects in it."""
    for key, value in schema["properties"].items():
        yield parent + key
        if "properties" in value:
            yield from property_names(value, f"{parent}{key}.")


TASK, REQUEST = validator("AudioInference"), validator("Request")


# The document


def test_the_document_is_valid_openapi():
    validation = pytest.importorskip("openapi_spec_validator")
    assert list(validation.OpenAPIV31SpecValidator(DOCUMENT).iter_errors()) == []
    for schema in SCHEMAS.values():
        Draft202012Validator.check_schema(schema)
    assert json.loads(json.dumps(DOCUMENT)) == DOCUMENT


def test_every_reference_resolves_and_every_schema_is_used():
    used = set(re.findall(r'"#/components/schemas/(\w+)"', json.dumps(DOCUMENT)))
    assert used == set(SCHEMAS)


def test_each_document_is_a_new_object():
    openapi.document()["paths"].clear()
    assert openapi.document() == DOCUMENT


def test_every_route_of_the_server_is_described():
    routes = pytest.importorskip("acestep_xl.service.http.routes")
    served = {(route.method.lower(), re.sub(r"\{uuid.*", "{name}", route.path)) for route in routes.ROUTES}
    described = {(method, path) for path, methods in DOCUMENT["paths"].items() for method in methods}
    page_files = {entry for entry in served if entry[1].startswith("/page/")}
    assert served - page_files == described


def test_every_task_and_parameter_is_described():
    assert [ref["$ref"].rpartition("/")[2] for ref in SCHEMAS["Request"]["items"]["oneOf"]] == [
        "AudioInference",
        "GetResponse",
        "MediaStorage",
        "Authentication",
        "CancelTask",
        "GetTaskDetails",
        "Ping",
    ]
    for task_type, table in api.TASKS.items():
        assert SCHEMAS[schema_name(task_type)]["description"] == api.DESCRIPTIONS[task_type]
        for name, parameter in table.items():
            *parents, key = name.split(".")
            schema = SCHEMAS[schema_name(task_type)]
            for parent in parents:
                schema = schema["properties"][parent]
            assert schema["additionalProperties"] is False
            assert (key in schema.get("required", [])) == parameter.required
            value = schema["properties"][key]
            assert value == {"$ref": "#/components/schemas/ModularScheduler"} or (
                value["description"] == parameter.help and value.get("default") == parameter.default
            )


def test_schemas_have_no_parameters_beside_the_table():
    for task_type, table in api.TASKS.items():
        assert set(property_names(SCHEMAS[schema_name(task_type)])) == set(table)


def test_every_status_of_an_error_is_described():
    described = set(DOCUMENT["paths"]["/"]["post"]["responses"])
    for code, (status, description) in CODES.items():
        assert str(status) in described or code == "fileNotFound", code
        assert description.endswith(".")


# Requests: the schema and the reader agree

BEYOND_THE_SCHEMA = {
    ("settings.cfgIntervalStart", "settings.cfgIntervalEnd"),
    ("settings.repaintingEnd", "settings.repaintingStart"),
}


def beyond_the_schema(error: ApiError) -> bool:
    """Whether JSON Schema cannot express what the error reports."""
    rule = error.parameter in BEYOND_THE_SCHEMA and error.code == "incompatibleParameters"
    return rule or "cannot be used" in error.message or "surrogate" in error.message


def is_json(value: Any) -> bool:
    try:
        json.dumps(value, allow_nan=False).encode()
    except ValueError:
        return False
    return True


def check_agreement(element: Any) -> None:
    if not is_json(element):
        return
    (result,) = read_tasks([element])
    errors = result if isinstance(result, tuple) else ()
    schema_agrees = TASK.is_valid(element)
    if any(not beyond_the_schema(error) and error.code != "invalidModularScheduler" for error in errors):
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


# Answers


def answers() -> Iterator[dict[str, Any]]:
    accepted = {"taskType": "audioInference", "taskUUID": UUID}
    result = {**accepted, "audioUUID": UUID, "audioURL": f"http://127.0.0.1:8190/audio/{UUID}.mp3", "seed": 2**31 - 1}
    running = {**accepted, "status": "processing", "progress": 5}
    yield {"data": [accepted]}
    yield {"data": [result, {**result, "status": "success", "cost": 0.0}, running]}
    yield {"data": [{"taskType": "mediaStorage", "taskUUID": UUID, "mediaUUID": UUID}]}
    yield {"data": [{"taskType": "ping", "pong": True}], "errors": [the_error({"steps": 0}).to_json()]}
    yield {"errors": [the_error({"strength": 1}).to_json()]}


def test_answers_fit_their_schema():
    schema = validator("Answer")
    for answer in answers():
        assert schema.is_valid(answer), answer
    for invalid in ({}, {"data": [{"audioUUID": UUID}]}, {"errors": []}, {"errors": [{"code": "x"}]}, {"data": "x"}):
        assert not schema.is_valid(invalid), invalid


@given(damaged_tasks())
@CAREFUL
def test_every_refusal_fits_its_schema(element):
    (result,) = read_tasks([element])
    if isinstance(result, tuple):
        assert validator("Refusal").is_valid({"errors": [error.to_json() for error in result]})


# The documentation page


def test_the_page_is_up_to_date():
    for path, text in runpy.run_path(str(DOCS / "generate" / "make_api_docs.py"))["files"]().items():
        assert path.read_text("utf-8") == text, f"run python docs/generate/make_api_docs.py: {path.name} is stale"


def test_the_examples_of_the_page_are_valid_or_have_the_errors_it_shows():
    names = runpy.run_path(str(DOCS / "generate" / "make_api_docs.py"))
    for changes in ({}, names["COVER"], names["REPAINT"]):
        element = {key: value for key, value in names["TASK"].items() if not changes or key != "duration"} | changes
        (result,) = read_tasks([element])
        assert not isinstance(result, tuple), element
    (result,) = read_tasks([names["MISTAKES"]])
    assert isinstance(result, tuple) and len(result) == 6


# Requests that a tool generates from the description alone


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
            assert beyond_the_schema(error) or error.code == "conflictTaskUUID" or in_schedule, error

    check()
    assert seen["accepted" if kind == "positive" else "refused"] > 20
