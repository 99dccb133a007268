"""The server's answers, as JSON Schema and as responses of the OpenAPI description."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

from ...parameters import api


def response(status: int, description: str, schema: str) -> dict[str, Any]:
    """A JSON response by its status."""
    content = {"application/json": {"schema": ref(schema)}}
    return {str(status): {"description": description, "content": content}}


def error_responses(*statuses: int) -> dict[str, Any]:
    """Responses that hold only errors: those of these statuses, and those that any route can answer with."""
    responses: dict[str, Any] = {}
    for status in sorted({*statuses, *ANY_ROUTE}):
        responses |= response(status, DESCRIPTIONS.get(status, HTTPStatus(status).phrase), "Refusal")
    return responses


def ref(name: str) -> dict[str, str]:
    """A reference to a schema of the description."""
    return {"$ref": f"#/components/schemas/{name}"}


def _object(required: dict[str, Any], optional: dict[str, Any] | None = None, description: str = "") -> dict[str, Any]:
    schema = {"type": "object", "properties": {**required, **(optional or {})}, "required": list(required)}
    return schema | ({"description": description} if description else {})


def _array(name: str, min_items: int = 0) -> dict[str, Any]:
    return {"type": "array", "items": ref(name)} | ({"minItems": min_items} if min_items else {})


ANY_ROUTE = (403, 429, 500)
DESCRIPTIONS = {
    400: "Every task was refused, or the body holds no tasks.",
    401: "The server requires an API key, and the request has none that it accepts.",
    403: "The request comes from a page of another site, or names a host that is not the server's.",
    404: "No such task or file.",
    429: "The server is busy; try again later.",
    503: "The server is stopping, or lacks what the task needs.",
}

_TEXT: dict[str, Any] = {"type": "string"}
_UUID = {"type": "string", "format": "uuid"}
_TASK_TYPE = {"type": "string", "description": "The taskType of the task."}
_AUDIO = {
    "audioURL": {"type": "string", "format": "uri", "description": "outputType URL."},
    "audioBase64Data": {"type": "string", "description": "outputType base64Data."},
    "audioDataURI": {"type": "string", "description": "outputType dataURI."},
}
_SEED = {key: api.get("seed").schema()[key] for key in ("type", "minimum", "maximum")}
_TASK = {"taskType": _TASK_TYPE, "taskUUID": _UUID}

# No schema forbids further keys: later versions may add some.
ANSWERS: dict[str, dict[str, Any]] = {
    "Answer": {
        "type": "object",
        "properties": {"data": {"type": "array", "items": ref("Item")}, "errors": _array("Error", 1)},
        "anyOf": [{"required": ["data"]}, {"required": ["errors"]}],
    },
    "Refusal": _object({"errors": _array("Error", 1)}),
    "Item": {"anyOf": [ref(name) for name in ("Result", "Accepted", "Media", "Details", "Pong", "Session")]},
    "Result": _object(
        {"taskType": {"const": "audioInference"}, "taskUUID": _UUID, "audioUUID": _UUID, "seed": _SEED},
        {
            **_AUDIO,
            "cost": {
                "type": "number",
                "minimum": 0,
                "description": "By the server's price per hour; only with includeCost.",
            },
            "costDetails": ref("CostDetails"),
            "status": {"const": "success", "description": "In answers to getResponse."},
        },
        "One finished result, with exactly one of the three forms of audio.",
    ),
    "Accepted": _object(
        _TASK,
        {
            "status": {"const": "processing", "description": "In answers to getResponse."},
            "progress": {"type": "number", "minimum": 0, "maximum": 100},
        },
        "A task that was accepted, is in progress, or was cancelled.",
    ),
    "CostDetails": _object(
        {
            "seconds": {"type": "number", "minimum": 0},
            "device": _TEXT,
            "pricePerHour": {"type": "number", "minimum": 0},
        },
        {
            "peakMemoryBytes": {"type": "integer", "minimum": 0},
            "energyJoules": {"type": "number", "description": "Drawn by the whole device, other programs included."},
        },
        "The resources the result used, as far as the device reports them.",
    ),
    "Media": _object({"taskType": {"const": "mediaStorage"}, "taskUUID": _UUID, "mediaUUID": _UUID}),
    "Details": _object({"taskType": {"const": "getTaskDetails"}, "taskUUID": _UUID, "request": {}, "response": {}}),
    "Pong": _object({"taskType": {"const": "ping"}, "pong": {"const": True}}),
    "Session": _object({"taskType": {"const": "authentication"}, "connectionSessionUUID": _UUID}),
    "Error": _object(
        {
            "code": {"type": "string", "description": "For programs, such as invalidBpm."},
            "message": {"type": "string", "description": "The value, what is allowed and the remedy."},
        },
        {
            "parameter": {
                "anyOf": [_TEXT, {"type": "array", "items": _TEXT, "minItems": 2}],
                "description": "Dotted, such as settings.bpm; a list of parameters that do not go together.",
            },
            "taskType": _TEXT,
            "taskUUID": {"type": "string", "description": "As the task spelt it."},
            "allowedValues": {"type": "array", "description": "Every value that is allowed."},
            "documentation": {"type": "string", "format": "uri-reference"},
        },
    ),
    "Queue": _object({"data": _array("Waiting")}),
    "Waiting": _object(
        {
            "taskUUID": _UUID,
            "status": {"enum": ["queued", "processing", "success", "error"]},
            "progress": {"type": "number", "minimum": 0, "maximum": 100},
        },
        None,
        "A task that is unfinished or has unfinished deliveries.",
    ),
    "Health": _object(
        {
            "status": {"enum": ["ok", "failing"]},
            "problems": {"type": "array", "items": {"type": "string"}},
            "demo": {"type": "boolean"},
            "apiKey": {"type": "boolean"},
        }
    ),
    "Description": _object({"openapi": _TEXT, "info": {"type": "object"}, "paths": {"type": "object"}}),
}
