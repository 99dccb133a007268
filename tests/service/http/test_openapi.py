"""The OpenAPI description: valid, complete, and of one mind with what reads requests and with what answers."""

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
from task_requests import SOURCE, accepted, nearly, task, tasks, the_error

from acestep_xl.parameters import api
from acestep_xl.service.http import openapi
from acestep_xl.service.schema.errors import CODES, ApiError, RequestError
from acestep_xl.service.schema.request import read_tasks
from acestep_xl.service.schema.task_rules import RULES

DOCUMENT = openapi.document()
SCHEMAS = DOCUMENT["components"]["schemas"]
DOCS = Path(__file__).parents[3] / "docs"
UUID = "a770f077-f413-47de-9dac-be0b26a35da6"
SLOW_TO_MAKE = (HealthCheck.too_slow, HealthCheck.filter_too_much, HealthCheck.data_too_large)
CAREFUL = settings(deadline=None, max_examples=150, suppress_health_check=[HealthCheck.too_slow])


def _pattern(validator: Any, pattern: str, value: Any, schema: Any) -> Iterator[Any]:
    """JSON Schema's patterns are JavaScript's, where $ is the end of the text alone."""
    yield from Draft202012Validator.VALIDATORS["pattern"](validator, pattern.replace("$", r"\Z"), value, schema)


def validator(name: str) -> Any:
    """A validator of one of the description's schemas, whose references lead into the description."""
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


def test_every_reference_leads_somewhere_and_every_schema_is_used():
    used = set(re.findall(r'"#/components/schemas/(\w+)"', json.dumps(DOCUMENT)))
    assert used == set(SCHEMAS)


def test_the_document_is_made_anew_each_time():
    openapi.document()["paths"].clear()
    assert openapi.document() == DOCUMENT


def test_every_route_of_the_server_is_described():
    routes = pytest.importorskip("acestep_xl.service.http.routes")
    served = {(route.method.lower(), re.sub(r"\{uuid.*", "{name}", route.path)) for route in routes.ROUTES}
    described = {(method, path) for path, found in DOCUMENT["paths"].items() for method in found}
    inner = {entry for entry in served if entry[1].startswith("/page/")}  # what the page itself consists of
    assert served - inner == described


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
    for code, (status, words) in CODES.items():
        assert str(status) in described or code == "fileNotFound", code
        assert words.endswith(".")


# Requests: the schema and the reader are of one mind

BEYOND_THE_SCHEMA = {
    ("settings.cfgIntervalStart", "settings.cfgIntervalEnd"),
    ("settings.repaintingEnd", "settings.repaintingStart"),
}


def beyond_the_schema(error: ApiError) -> bool:
    """Whether JSON Schema cannot say what the error says."""
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
    (read,) = read_tasks([element])
    errors = read if isinstance(read, tuple) else ()
    schema_agrees = TASK.is_valid(element)
    if any(not beyond_the_schema(error) and error.code != "invalidModularScheduler" for error in errors):
        assert not schema_agrees, [error.message for error in errors]
    elif not any(error.code == "invalidModularScheduler" for error in errors):
        assert schema_agrees, [problem.message for problem in TASK.iter_errors(element)]


@given(nearly())
@CAREFUL
def test_schema_and_reader_agree_on_tasks_that_are_nearly_right(element):
    if element.get("taskType") == "audioInference":
        check_agreement(element)


@given(tasks())
@CAREFUL
def test_schema_and_reader_agree_on_tasks_of_right_values(element):
    check_agreement(element)


def test_rules_without_a_schema_are_those_that_compare():
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
    assert not any(isinstance(read, tuple) for read in read_tasks(request))
    for wrong in (
        [],
        [{}],
        {},
        [task()] * 101,
        [*request, {"taskType": "imageInference"}],
        [{"taskType": "ping", "x": 1}],
    ):
        assert not REQUEST.is_valid(wrong)


# Answers


def answers() -> Iterator[dict[str, Any]]:
    known = {"taskType": "audioInference", "taskUUID": UUID}
    done = {**known, "audioUUID": UUID, "audioURL": f"http://127.0.0.1:8190/audio/{UUID}.mp3", "seed": 2**31 - 1}
    yield {"data": [known]}
    yield {"data": [done, {**done, "status": "success", "cost": 0.0}, {**known, "status": "processing", "progress": 5}]}
    yield {"data": [{"taskType": "mediaStorage", "taskUUID": UUID, "mediaUUID": UUID}]}
    yield {"data": [{"taskType": "ping", "pong": True}], "errors": [the_error({"steps": 0}).to_json()]}
    yield {"errors": [the_error({"strength": 1}).to_json()]}


def test_answers_fit_their_schema():
    schema = validator("Answer")
    for answer in answers():
        assert schema.is_valid(answer), answer
    for wrong in ({}, {"data": [{"audioUUID": UUID}]}, {"errors": []}, {"errors": [{"code": "x"}]}, {"data": "x"}):
        assert not schema.is_valid(wrong), wrong


@given(nearly())
@CAREFUL
def test_every_refusal_fits_its_schema(element):
    (read,) = read_tasks([element])
    if isinstance(read, tuple):
        assert validator("Refusal").is_valid({"errors": [error.to_json() for error in read]})


# The page


def test_the_page_is_what_the_tables_say():
    for path, text in runpy.run_path(str(DOCS / "generate" / "make_api_docs.py"))["files"]().items():
        assert path.read_text("utf-8") == text, f"run python docs/generate/make_api_docs.py: {path.name} is stale"


def test_the_requests_in_the_page_are_what_it_says_of_them():
    names = runpy.run_path(str(DOCS / "generate" / "make_api_docs.py"))
    for changes in ({}, names["COVER"], names["REPAINT"]):
        given = {key: value for key, value in names["TASK"].items() if not changes or key != "duration"} | changes
        (read,) = read_tasks([given])
        assert not isinstance(read, tuple), given
    (read,) = read_tasks([names["MISTAKES"]])
    assert isinstance(read, tuple) and len(read) == 6


# Requests made from the description by a tool that knows nothing else


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["positive", "negative"])
def test_requests_made_from_the_description(kind):
    schemathesis = pytest.importorskip("schemathesis")
    mode = schemathesis.GenerationMode(kind)
    operation = schemathesis.openapi.from_dict(DOCUMENT)["/v1"]["POST"]
    seen = {"accepted": 0, "refused": 0}

    @given(operation.as_strategy(generation_mode=mode))
    @settings(deadline=None, max_examples=25, database=None, suppress_health_check=SLOW_TO_MAKE)
    def check(case: Any) -> None:
        try:
            reads = read_tasks(case.body)
        except RequestError:
            reads = [(ApiError("invalidRequest", ""),)]
        seen["accepted"] += sum(not isinstance(read, tuple) for read in reads)
        seen["refused"] += sum(isinstance(read, tuple) for read in reads)
        wrong = [error for read in reads if isinstance(read, tuple) for error in read]
        if kind == "negative":
            assert wrong, case.body
        for error in wrong if kind == "positive" else ():
            # What the schema cannot say: two values, a UUID that is new, levels that fall.
            inside = str(error.parameter).startswith("advancedFeatures.modularScheduler.schedule")
            assert beyond_the_schema(error) or error.code == "conflictTaskUUID" or inside, error

    check()
    assert seen["accepted" if kind == "positive" else "refused"] > 20
