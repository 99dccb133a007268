"""What the server answers, as JSON Schema and as responses of the OpenAPI description."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

from ...parameters import api


def answer(status: int, description: str, schema: str) -> dict[str, Any]:
    """A response of JSON by its status."""
    content = {"application/json": {"schema": ref(schema)}}
    return {str(status): {"description": description, "content": content}}


def refusals(*statuses: int) -> dict[str, Any]:
    """Responses that hold errors and nothing else. Every route may answer with those of EVERYWHERE."""
    found: dict[str, Any] = {}
    for status in sorted({*statuses, *EVERYWHERE}):
        found |= answer(status, WORDS.get(status, HTTPStatus(status).phrase), "Refusal")
    return found


def ref(name: str) -> dict[str, str]:
    """A reference to a schema of the description."""
    return {"$ref": f"#/components/schemas/{name}"}


def _object(required: dict[str, Any], optional: dict[str, Any] | None = None, words: str = "") -> dict[str, Any]:
    made = {"type": "object", "properties": {**required, **(optional or {})}, "required": list(required)}
    return made | ({"description": words} if words else {})


def _list(name: str, least: int = 0) -> dict[str, Any]:
    return {"type": "array", "items": ref(name)} | ({"minItems": least} if least else {})


EVERYWHERE = (403, 429, 500)
WORDS = {
    400: "Every task was refused, or the body holds no tasks.",
    401: "The server wants an API key, and this is none.",
    403: "A page of another site asked, or the server was called by a name that isn't its own.",
    404: "No such task or file.",
    429: "Too much is being worked on; try again.",
    503: "The server is stopping, or lacks what the task needs.",
}

_TEXT: dict[str, Any] = {"type": "string"}
_UUID = {"type": "string", "format": "uuid"}
_KIND = {"type": "string", "description": "The taskType of the task that is answered."}
_SOUND = {
    "audioURL": {"type": "string", "format": "uri", "description": "outputType URL."},
    "audioBase64Data": {"type": "string", "description": "outputType base64Data."},
    "audioDataURI": {"type": "string", "description": "outputType dataURI."},
}
_SEED = {key: api.get("seed").schema()[key] for key in ("type", "minimum", "maximum")}
_TASK = {"taskType": _KIND, "taskUUID": _UUID}

# Answers of later versions may have more keys.
ANSWERS: dict[str, dict[str, Any]] = {
    "Answer": {
        "type": "object",
        "properties": {"data": {"type": "array", "items": ref("Item")}, "errors": _list("Error", 1)},
        "anyOf": [{"required": ["data"]}, {"required": ["errors"]}],
    },
    "Refusal": _object({"errors": _list("Error", 1)}),
    "Item": {"anyOf": [ref(name) for name in ("Result", "Accepted", "Media", "Details", "Pong", "Session")]},
    "Result": _object(
        {"taskType": {"const": "audioInference"}, "taskUUID": _UUID, "audioUUID": _UUID, "seed": _SEED},
        {
            **_SOUND,
            "cost": {
                "type": "number",
                "minimum": 0,
                "description": "By the server's price per hour; with includeCost.",
            },
            "costDetails": ref("CostDetails"),
            "status": {"const": "success", "description": "In answers to getResponse."},
        },
        "One finished result. Exactly one of the three forms of sound is there.",
    ),
    "Accepted": _object(
        _TASK,
        {
            "status": {"const": "processing", "description": "In answers to getResponse."},
            "progress": {"type": "number", "minimum": 0, "maximum": 100},
        },
        "A task that was taken on, is still being worked on, or was cancelled.",
    ),
    "CostDetails": _object(
        {
            "seconds": {"type": "number", "minimum": 0},
            "device": _TEXT,
            "pricePerHour": {"type": "number", "minimum": 0},
        },
        {
            "peakMemoryBytes": {"type": "integer", "minimum": 0},
            "energyJoules": {"type": "number", "description": "What the device drew, by whomever."},
        },
        "What the result used; what the device does not tell is absent.",
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
                "description": "Dotted, such as settings.bpm; several where they do not go together.",
            },
            "taskType": _TEXT,
            "taskUUID": {"type": "string", "description": "As the task gave it."},
            "allowedValues": {"type": "array", "description": "Every value that would do."},
            "documentation": {"type": "string", "format": "uri-reference"},
        },
    ),
    "Queue": _object({"data": _list("Waiting")}),
    "Waiting": _object(
        {
            "taskUUID": _UUID,
            "status": {"enum": ["queued", "processing", "success", "error"]},
            "progress": {"type": "number", "minimum": 0, "maximum": 100},
        },
        None,
        "A task that is unfinished, or whose deliveries are.",
    ),
    "Health": _object({"status": {"const": "ok"}, "demo": {"type": "boolean"}, "apiKey": {"type": "boolean"}}),
    "Description": _object({"openapi": _TEXT, "info": {"type": "object"}, "paths": {"type": "object"}}),
}
