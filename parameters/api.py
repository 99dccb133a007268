"""The task API's parameters by task type. Names, ranges and defaults are those of the hosted model's page."""

from __future__ import annotations

from .api_audio import AUDIO_INFERENCE, MODEL, TASK_UUID
from .api_kind import LONGEST_URL, ApiParameter, task_type, uuid

__all__ = ["DESCRIPTIONS", "LONGEST_URL", "MAX_TASKS", "MODEL", "TASKS", "ApiParameter", "get", "of"]

MAX_TASKS = 100  # in one request


def get(name: str, task_type: str = "audioInference") -> ApiParameter:
    """Look up a parameter by its dotted name. Raises KeyError, listing the known names."""
    table = of(task_type)
    if name not in table:
        raise KeyError(f"unknown parameter {name!r} of {task_type}; known: {', '.join(table)}")
    return table[name]


def of(task_type: str) -> dict[str, ApiParameter]:
    """All parameters of a task type by dotted name. Raises KeyError, listing the known types."""
    if task_type not in TASKS:
        raise KeyError(f"unknown task type {task_type!r}; known: {', '.join(TASKS)}")
    return TASKS[task_type]


OTHER_TASKS = (
    (task_type("getResponse"), uuid("taskUUID", "The task to report on.")),
    (
        task_type("mediaStorage"),
        TASK_UUID,
        ApiParameter("operation", "string", "What to do with the media.", required=True, choices=("upload",)),
        ApiParameter(
            "media",
            "string",
            "The audio: an http or https URL, a data URI, or base64-encoded bytes.",
            required=True,
            minimum=1,
            form="an http or https URL, a data URI or base64",
            secret=True,
        ),
    ),
    (
        task_type("authentication"),
        ApiParameter("apiKey", "string", "An API key that the server accepts.", required=True, secret=True),
        uuid("connectionSessionUUID", "The session to resume, from an earlier authentication.", False),
    ),
    (task_type("cancelTask"), uuid("taskUUID", "The task to cancel.")),
    (task_type("getTaskDetails"), uuid("taskUUID", "The task whose request and response to return.")),
    (task_type("ping"), ApiParameter("ping", "boolean", "Any value; the server answers with a pong.")),
)

TASKS: dict[str, dict[str, ApiParameter]] = {
    str(parts[0].choices[0]): {p.name: p for p in parts} for parts in (AUDIO_INFERENCE, *OTHER_TASKS)
}

DESCRIPTIONS = {
    "audioInference": "Make one song, or several variations of it, from a prompt and optionally a source.",
    "getResponse": "Get the results of a task so far.",
    "mediaStorage": "Upload audio to use in later tasks.",
    "authentication": "Open a session, or resume one.",
    "cancelTask": "Stop a task; its finished results stay.",
    "getTaskDetails": "Get the request and the response of a task.",
    "ping": "Keep a session alive.",
}
