"""The OpenAPI 3.1 description of the server, from the tables that requests are read by."""

from __future__ import annotations

from typing import Any

from ...audio import formats
from ...parameters import api
from ..schema import modular_scheduler, task_rules
from ..schema.validation import capitalise
from .openapi_responses import ANSWERS, answer, ref, refusals

VERSION = "1.0.0"
DESCRIPTION = (
    "Music from text, covers and repaints of a source. A request is an array of tasks; each is carried out, or refused "
    "with everything that is wrong with it, for itself."
)
_OPEN: dict[str, Any] = {"security": [{}]}
_UUID = "[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}"


def document() -> dict[str, Any]:
    """The description; its paths are relative to where it is found itself. Imports torch, as running a task does."""
    key = {"type": "http", "scheme": "bearer", "description": "An API key, where the server was given some."}
    return {
        "openapi": "3.1.0",
        "info": {"title": "ACE-Step XL task API", "version": VERSION, "description": DESCRIPTION},
        "servers": [{"url": "."}],
        "security": [{}, {"key": []}],
        "paths": {path: {method: describe() for method, describe in found.items()} for path, found in PATHS.items()},
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
    done = answer(200, "What the tasks brought, and the errors of those that brought nothing.", "Answer")
    return {
        "operationId": name,
        "summary": "Carry out tasks.",
        "requestBody": {"required": True, "content": {"application/json": {"schema": ref("Request")}}},
        "responses": done | refusals(400, 401, 404, 408, 413, 415, 503),
    }


def _get(name: str, summary: str, schema: str, *statuses: int) -> dict[str, Any]:
    return {"operationId": name, "summary": summary, "responses": answer(200, summary, schema) | refusals(*statuses)}


def _page() -> dict[str, Any]:
    page = {"200": {"description": "The page.", "content": {"text/html": {"schema": {"type": "string"}}}}}
    words = "The page to try requests and watch the queue. Asked for an Upgrade, the WebSocket as at /v1."
    return {"operationId": "getPage", "summary": words, "responses": page | refusals()} | _OPEN


def _socket() -> dict[str, Any]:
    words = "A WebSocket on which requests and answers are messages of JSON. Without Upgrade it is refused."
    opened = {"101": {"description": "Open."}}
    return {"operationId": "openSocket", "summary": words, "responses": opened | refusals(400, 405)} | _OPEN


def _audio() -> dict[str, Any]:
    endings = "|".join(str(name).lower() for name in api.get("outputFormat").choices)
    types = {formats.get(name).media_type: {} for name in endings.split("|")}
    name = {"type": "string", "pattern": rf"^{_UUID}\.(?:{endings})$"}
    return {
        "operationId": "getAudio",
        "summary": "The sound of a result, until its time is over. Range and conditional requests are answered.",
        "parameters": [{"name": "name", "in": "path", "required": True, "schema": name}],
        "responses": {
            "200": {"description": "All of it.", "content": types},
            "206": {"description": "The part asked for.", "content": types},
            "304": {"description": "It has not changed."},
            "416": {"description": "There is no such part."},
        }
        | refusals(404),
    } | _OPEN


PATHS: dict[str, dict[str, Any]] = {
    "/": {"post": lambda: _post("postTasks"), "get": _page},
    "/v1": {"post": lambda: _post("postTasksV1"), "get": _socket},
    "/audio/{name}": {"get": _audio},
    "/queue": {"get": lambda: _get("getQueue", "Unfinished tasks and their progress.", "Queue", 401)},
    "/health": {
        "get": lambda: _get("getHealth", "That the server lives, and whether it wants a key.", "Health") | _OPEN
    },
    "/openapi.json": {"get": lambda: _get("getOpenapi", "This description.", "Description") | _OPEN},
}
