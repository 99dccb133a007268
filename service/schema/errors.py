"""Errors in the API's shape: one object for each thing that is wrong, with the parameter to blame."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ...parameters import api

DOCUMENTATION = "docs/task-api.md"
_DOCUMENTED = {name for table in api.TASKS.values() for name in table}
_KEYS = {
    "parameter": "parameter",
    "task_type": "taskType",
    "task_uuid": "taskUUID",
    "allowed_values": "allowedValues",
}


@dataclass(frozen=True)
class ApiError:
    """One thing that is wrong with a task.

    code: for programs, such as "invalidBpm". message: the value, what is allowed and the remedy. parameter: dotted,
    such as "settings.bpm"; several where they do not go together.
    """

    code: str
    message: str
    parameter: str | tuple[str, ...] | None = None
    task_type: str | None = None
    task_uuid: str | None = None
    allowed_values: tuple[Any, ...] | None = None

    @property
    def status(self) -> int:
        """The HTTP status of an answer that holds only this error."""
        return CODES.get(self.code, (400, ""))[0]

    @property
    def documentation(self) -> str:
        """Where the documentation of the parameter, or else of the errors, starts."""
        name = self.parameter if isinstance(self.parameter, str) else (self.parameter or ("",))[0]
        while name and name not in _DOCUMENTED:
            name = name.rpartition(".")[0]
        return f"{DOCUMENTATION}#{anchor(name) if name else 'errors'}"

    def to_json(self) -> dict[str, Any]:
        """The object of the answer; what is not known is left out."""
        found: dict[str, Any] = {"code": self.code, "message": self.message}
        for attribute, key in _KEYS.items():
            value = getattr(self, attribute)
            if value is not None:
                found[key] = list(value) if isinstance(value, tuple) else value
        return found | {"documentation": self.documentation}

    @staticmethod
    def from_json(value: Mapping[str, Any]) -> ApiError:
        """The error of an object that ``to_json`` made."""
        given: dict[str, Any] = {attribute: value.get(key) for attribute, key in _KEYS.items()}
        given = {name: tuple(entry) if isinstance(entry, list) else entry for name, entry in given.items()}
        return ApiError(value["code"], value["message"], **given)


class RequestError(ValueError):
    """A request of which no task can be read; ``errors`` say why."""

    def __init__(self, errors: Sequence[ApiError]) -> None:
        super().__init__("; ".join(error.message for error in errors))
        self.errors = tuple(errors)


def http_status(errors: Sequence[ApiError]) -> int:
    """The HTTP status of an answer that holds these errors and no data: the one they share, or 400."""
    statuses = {error.status for error in errors}
    return statuses.pop() if len(statuses) == 1 else 400


def anchor(parameter: str) -> str:
    """Where the page of the API describes a parameter: "settings.bpm" is at "request-settings-bpm"."""
    return f"request-{parameter.replace('.', '-').lower()}"


# The HTTP status says what became of the request, the errors say what became of its tasks. So a task that was taken on
# and came to nothing is no 5xx: a client or proxy that tries those again would send it twice.
CODES: dict[str, tuple[int, str]] = {
    "invalidRequest": (400, "The body is no array of tasks, or the request cannot be served at all."),
    "invalidTask": (400, "The task is no object, or an object of absurd size."),
    "unsupportedParameter": (400, "An unknown key; `allowedValues` are the known ones."),
    "unsupportedDuration": (400, "`duration` is out of range."),
    "unsupportedSampleRate": (400, "The output format does not have this sample rate."),
    "unsupportedBitrate": (400, "The output format does not have this bitrate at this rate and number of channels."),
    "incompatibleParameters": (400, "Values that do not go together; `parameter` is the list of them."),
    "conflictTaskUUID": (400, "The `taskUUID` was given to an earlier task."),
    "invalidRegion": (400, "The part to repaint does not fit the source."),
    "tooManyErrors": (400, "More is wrong with the task than is told."),
    "missingApiKey": (401, "The server wants an API key and got none."),
    "invalidApiKey": (401, "The server does not accept this API key."),
    "forbidden": (403, "Asked by a page of another site, or under a name that is not the server's."),
    "taskNotFound": (404, "No task has this `taskUUID`."),
    "fileNotFound": (404, "There is no such file, or its time is over."),
    "queueFull": (429, "Too many tasks are unfinished; try again later."),
    "tooManyRequests": (429, "Too many requests at once; try again soon."),
    "internalError": (500, "A fault of the server; its log says which."),
    "modelUnavailable": (503, "The server lacks what the task needs, such as model files."),
    "storageFull": (503, "There is no room to take the task on."),
    "serverStopping": (503, "The server is stopping; what it accepted goes on when it is back."),
    "timeoutSync": (200, "Not finished in time for `sync`; the task goes on, and `getResponse` tells its results."),
    "inferenceFailed": (200, "The task was taken on and failed."),
    "outOfMemory": (200, "The device has not enough memory for the task."),
    "taskCancelled": (200, "The task was cancelled."),
    "taskCrashed": (200, "The server's process died of the task more than once."),
    "resultExpired": (200, "The result was made, and its sound is no longer kept."),
}
