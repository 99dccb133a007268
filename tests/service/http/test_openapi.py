"""The OpenAPI description: valid, complete, and in agreement with the server's responses and the page."""

from __future__ import annotations

import json
import re
import runpy
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from jsonschema import Draft202012Validator
from openapi_schemas import CAREFUL, DOCUMENT, SCHEMAS, UUID, validator
from task_requests import damaged_tasks, the_error

from acestep_xl.parameters import api
from acestep_xl.service.http import openapi
from acestep_xl.service.schema.errors import CODES
from acestep_xl.service.schema.request import read_tasks

DOCS = Path(__file__).parents[3] / "docs"


def schema_name(task_type: str) -> str:
    return task_type[0].upper() + task_type[1:]


def property_names(schema: dict[str, Any], parent: str = "") -> Iterator[str]:
    """The dotted names of all properties of a schema and of the objects in it."""
    for key, value in schema["properties"].items():
        yield parent + key
        if "properties" in value:
            yield from property_names(value, f"{parent}{key}.")


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
