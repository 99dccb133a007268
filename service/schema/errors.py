"""Errors in the API's shape: one object per problem, with the parameter that caused it."""

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
    """One error of a task.

    code: for programs, such as "invalidBpm". message: the value, what is allowed and the remedy. parameter: dotted,
    such as "settings.bpm"; several if they do not go together. allowed_values: all of them, where they can be listed.
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
        """Where the documentation describes the parameter, or else the errors."""
        name = self.parameter if isinstance(self.parameter, str) else (self.parameter or ("",))[0]
        while name and name not in _DOCUMENTED:
            name = name.rpartition(".")[0]
        return f"{DOCUMENTATION}#{anchor(name) if name else 'errors'}"

    def to_json(self) -> dict[str, Any]:
        """The error as the API sends it, without the keys that are None."""
        error: dict[str, Any] = {"code": self.code, "message": self.message}
        for attribute, key in _KEYS.items():
            value = getattr(self, attribute)
            if value is not None:
                error[key] = list(value) if isinstance(value, tuple) else value
        return error | {"documentation": self.documentation}

    @staticmethod
    def from_json(value: Mapping[str, Any]) -> ApiError:
        """The error of an object that `to_json` returned."""
        attributes: dict[str, Any] = {attribute: value.get(key) for attribute, key in _KEYS.items()}
        for name, entry in attributes.items():
            attributes[name] = tuple(entry) if isinstance(entry, list) else entry
        return ApiError(value["code"], value["message"], **attributes)


class RequestError(ValueError):
    """A request or a task that is refused. errors: every reason."""

    def __init__(self, errors: Sequence[ApiError]) -> None:
        super().__init__("; ".join(error.message for error in errors))
        self.errors = tuple(errors)


def http_status(errors: Sequence[ApiError]) -> int:
    """The HTTP status of an answer that holds only these errors: the one they share, or 400."""
    statuses = {error.status for error in errors}
    return statuses.pop() if len(statuses) == 1 else 400


def anchor(parameter: str) -> str:
    """The anchor of a parameter in the documentation: "settings.bpm" is at "request-settings-bpm"."""
    return f"request-{parameter.replace('.', '-').lower()}"


# The HTTP status is that of the request, the errors are those of its tasks. So a task that was accepted and then failed
# is not a 5xx: a client or proxy that retries those would send it twice.
CODES: dict[str, tuple[int, str]] = {
    "invalidRequest": (400, "The body is not an array of tasks, or the request cannot be served at all."),
    "invalidTask": (400, "The task is not an object, or has far too many keys."),
    "unsupportedParameter": (400, "An unknown key; `allowedValues` lists the known ones."),
    "unsupportedDuration": (400, "`duration` is out of range."),
    "unsupportedSampleRate": (400, "The output format does not have this sample rate."),
    "unsupportedBitrate": (400, "The output format does not have this bitrate at this sample rate and channel count."),
    "incompatibleParameters": (400, "Values that do not go together; `parameter` lists them."),
    "conflictTaskUUID": (400, "An earlier task has this `taskUUID`."),
    "invalidRegion": (400, "The region to repaint does not fit the source."),
    "tooManyErrors": (400, "The task has more errors than are listed."),
    "missingApiKey": (401, "The server requires an API key."),
    "invalidApiKey": (401, "The server does not accept this API key."),
    "forbidden": (403, "The request comes from a page of another site, or names a host that is not the server's."),
    "taskNotFound": (404, "No task has this `taskUUID`."),
    "fileNotFound": (404, "There is no such file, or it has expired."),
    "queueFull": (429, "Too many tasks are unfinished; try again later."),
    "tooManyRequests": (429, "Too many requests at once; try again soon."),
    "internalError": (500, "The server failed; see its log."),
    "modelUnavailable": (503, "The server lacks what the task needs, such as model files."),
    "storageFull": (503, "The disk has no room for the task."),
    "serverStopping": (503, "The server is stopping; accepted tasks continue after its restart."),
    "timeoutSync": (200, "Not finished in time for `sync`; the task continues, and `getResponse` returns its results."),
    "inferenceFailed": (200, "The task was accepted and failed."),
    "outOfMemory": (200, "The device has not enough memory for the task."),
    "taskCancelled": (200, "The task was cancelled."),
    "taskCrashed": (200, "The server's process died repeatedly while it worked on the task."),
    "resultExpired": (200, "The result is finished, but its audio has expired."),
}
