"""The OpenAPI 3.1 description of the server, from the same tables that validate requests."""

from __future__ import annotations

from typing import Any

from ...audio import formats
from ...parameters import api
from ..schema import modular_scheduler, task_rules
from ..schema.value_checks import capitalise
from .openapi_responses import ANSWERS, error_responses, ref, response

VERSION = "1.0.0"
DESCRIPTION = (
    "Music from text, covers and repaints of a source. A request is an array of tasks. Each is carried out, or refused "
    "with all its errors if it is invalid, independently of the others."
)
_NO_KEY: dict[str, Any] = {"security": [{}]}
_UUID = "[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}"


def document() -> dict[str, Any]:
    """The description, with paths relative to its own address. Imports torch, as running a task does."""
    key = {"type": "http", "scheme": "bearer", "description": "An API key, if the server requires one."}
    return {
        "openapi": "3.1.0",
        "info": {"title": "ACE-Step XL task API", "version": VERSION, "description": DESCRIPTION},
        "servers": [{"url": "."}],
        "security": [{}, {"key": []}],
        "paths": {path: {name: describe() for name, describe in methods.items()} for path, methods in PATHS.items()},
        "components": {"schemas": schemas(), "securitySchemes": {"key": key}},
    }


def schemas() -> dict[str, Any]:
    """JSON Schemas of tasks and answers by name, with references to each other."""
    tasks = {capitalise(name): task_schema(name) for name in api.TASKS}
    scheduler = {key: value for key, value in modular_scheduler.schema().items() if key != "$schema"}
    return {"Request": request_schema(), **tasks, "ModularScheduler": scheduler, **ANSWERS}


def request_schema() -> dict[str, Any]:
    """JSON Schema of a request's body."""
    refs = {name: ref(capitalise(name)) for name in api.TASKS}
    mapping = {name: entry["$ref"] for name, entry in refs.items()}
    items = {"oneOf": list(refs.values()), "discriminator": {"propertyName": "taskType", "mapping": mapping}}
    return {"type": "array", "minItems": 1, "maxItems": api.MAX_TASKS, "items": items}


def task_schema(task_type: str) -> dict[str, Any]:
    """JSON Schema of one task type. It cannot express the rules of `task_rules` that compare two values, the checks of
    addresses, or that each taskUUID is new."""
    schema = _object(task_type, "") | {"description": api.DESCRIPTIONS[task_type]}
    if task_type == "audioInference":
        schema["allOf"] = [{"$comment": rule.description, **rule.schema} for rule in task_rules.RULES if rule.schema]
    return schema


def _object(task_type: str, parent: str) -> dict[str, Any]:
    properties: dict[str, Any] = {}
    required: list[str] = []
    for name, parameter in api.of(task_type).items():
        if name.rpartition(".")[0] != parent:
            continue
        if parameter.required:
            required.append(parameter.key)
        if parameter.type == "object":
            properties[parameter.key] = _object(task_type, name) | {"description": parameter.help}
        elif parameter.type == "recipe":
            properties[parameter.key] = ref("ModularScheduler")
        else:
            properties[parameter.key] = parameter.schema()
    schema = {"type": "object", "properties": properties, "additionalProperties": False}
    return schema | ({"required": required} if required else {})


def _post(name: str) -> dict[str, Any]:
    success = response(200, "The results of the tasks, and the errors of those that failed.", "Answer")
    return {
        "operationId": name,
        "summary": "Carry out tasks.",
        "requestBody": {"required": True, "content": {"application/json": {"schema": ref("Request")}}},
        "responses": success | error_responses(400, 401, 404, 408, 413, 415, 503),
    }


def _get(name: str, summary: str, schema: str, *statuses: int) -> dict[str, Any]:
    return {
        "operationId": name,
        "summary": summary,
        "responses": response(200, summary, schema) | error_responses(*statuses),
    }


def _page() -> dict[str, Any]:
    page = {"200": {"description": "The page.", "content": {"text/html": {"schema": {"type": "string"}}}}}
    summary = "A page to try requests and watch the queue. With an Upgrade header, the WebSocket as at /v1."
    return {"operationId": "getPage", "summary": summary, "responses": page | error_responses()} | _NO_KEY


def _socket() -> dict[str, Any]:
    summary = "A WebSocket whose messages are requests and answers in JSON. Refused without an Upgrade header."
    opened = {"101": {"description": "Open."}}
    return {"operationId": "openSocket", "summary": summary, "responses": opened | error_responses(400, 405)} | _NO_KEY


def _audio() -> dict[str, Any]:
    extensions = [str(name).lower() for name in api.get("outputFormat").choices]
    types = {formats.get(extension).media_type: {} for extension in extensions}
    name = {"type": "string", "pattern": rf"^{_UUID}\.(?:{'|'.join(extensions)})$"}
    return {
        "operationId": "getAudio",
        "summary": "The audio of a result, until it expires. Supports Range and conditional requests.",
        "parameters": [{"name": "name", "in": "path", "required": True, "schema": name}],
        "responses": {
            "200": {"description": "The whole file.", "content": types},
            "206": {"description": "The requested range.", "content": types},
            "304": {"description": "It has not changed."},
            "416": {"description": "The range is not satisfiable."},
        }
        | error_responses(404),
    } | _NO_KEY


PATHS: dict[str, dict[str, Any]] = {
    "/": {"post": lambda: _post("postTasks"), "get": _page},
    "/v1": {"post": lambda: _post("postTasksV1"), "get": _socket},
    "/audio/{name}": {"get": _audio},
    "/queue": {"get": lambda: _get("getQueue", "Unfinished tasks and their progress.", "Queue", 401)},
    "/health": {
        "get": lambda: _get("getHealth", "Whether the server runs, and whether it requires a key.", "Health") | _NO_KEY
    },
    "/openapi.json": {"get": lambda: _get("getOpenapi", "This description.", "Description") | _NO_KEY},
}
