"""The parameters of the task API, by type of task. Names, ranges and defaults are those of the hosted model's page."""

from __future__ import annotations

from .api_audio import AUDIO_INFERENCE, MODEL, TASK_UUID
from .api_kind import LONGEST_URL, ApiParameter, task_type, uuid

__all__ = ["LONGEST_URL", "MAX_TASKS", "MODEL", "TASKS", "ApiParameter", "get", "of"]

MAX_TASKS = 100  # in one request


def get(name: str, task_type: str = "audioInference") -> ApiParameter:
    """Look up a parameter by its dotted name; an unknown one is a KeyError that lists the known ones."""
    table = of(task_type)
    if name not in table:
        raise KeyError(f"unknown parameter {name!r} of {task_type}; known: {', '.join(table)}")
    return table[name]


def of(task_type: str) -> dict[str, ApiParameter]:
    """All parameters of a type of task by their dotted names; an unknown type is a KeyError that lists the known."""
    if task_type not in TASKS:
        raise KeyError(f"unknown task type {task_type!r}; known: {', '.join(TASKS)}")
    return TASKS[task_type]


OTHERS = (
    (task_type("getResponse"), uuid("taskUUID", "The task to tell of.")),
    (
        task_type("mediaStorage"),
        TASK_UUID,
        ApiParameter("operation", "string", "What is done with the media.", required=True, choices=("upload",)),
        ApiParameter(
            "media",
            "string",
            "The sound: an http or https URL, a data URI, or the bytes in base64.",
            required=True,
            minimum=1,
            form="an http or https URL, a data URI or base64",
            secret=True,
        ),
    ),
    (
        task_type("authentication"),
        ApiParameter("apiKey", "string", "A key that the server accepts.", required=True, secret=True),
        uuid("connectionSessionUUID", "The session to go on with, as told by an earlier authentication.", False),
    ),
    (task_type("cancelTask"), uuid("taskUUID", "The task to stop.")),
    (task_type("getTaskDetails"), uuid("taskUUID", "The task whose request and answer are told.")),
    (task_type("ping"), ApiParameter("ping", "boolean", "Any value; the answer is a pong.")),
)

TASKS: dict[str, dict[str, ApiParameter]] = {
    str(parts[0].choices[0]): {p.name: p for p in parts} for parts in (AUDIO_INFERENCE, *OTHERS)
}
