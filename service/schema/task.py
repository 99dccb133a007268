"""One task: its type and its values, read strictly by the table of parameters."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from ...parameters import api
from .errors import ApiError, RequestError
from .value_checks import check, convert, did_you_mean, missing, printable, shorten

MAX_NAME = 64  # characters of a key or an identifier that an error repeats


@dataclass(frozen=True)
class Task:
    """A valid task.

    values: as given and nested as in the request, each of its parameter's type. The repr omits them, since they may be
    secret or very long.
    """

    task_type: str
    values: Mapping[str, Any] = field(repr=False)

    @property
    def task_uuid(self) -> str:
        """As the client spelt it. Raises KeyError for authentication and ping, which have none."""
        return self.values["taskUUID"]

    def value(self, name: str) -> Any:
        """The value of a parameter by its dotted name: as given, else the default, else None.

        Raises KeyError for a name that the task type does not have.
        """
        default = api.get(name, self.task_type).default
        parent, _, key = name.rpartition(".")
        group: Mapping[str, Any] = self.values.get(parent, {}) if parent else self.values
        return group.get(key, default)

    def to_json(self) -> dict[str, Any]:
        """The task as the object of a request, without defaults."""
        return dict(self.values)

    @staticmethod
    def from_json(values: Mapping[str, Any]) -> Task:
        """The task of an object that `to_json` returned. Raises RequestError with every error of an invalid one."""
        task, errors = read_task(values, values["taskType"])
        if errors:
            raise RequestError(tuple(errors.values()))
        return task


def read_task(values: Mapping[str, Any], task_type: str) -> tuple[Task, dict[str, ApiError]]:
    """Read a task: its valid values, and the errors of invalid values and unknown keys by dotted name.

    Raises KeyError for an unknown task type.
    """
    errors: dict[str, ApiError] = {}
    return Task(task_type, _read_object(values, task_type, "", errors)), errors


def _read_object(values: Mapping[str, Any], task_type: str, parent: str, errors: dict[str, ApiError]) -> dict[str, Any]:
    """The valid values of a task (parent "") or of one of its objects. Adds the errors of the others to `errors`."""
    valid: dict[str, Any] = {}
    parameters = _children(task_type, parent)
    for key, parameter in parameters.items():
        if key not in values:
            if parameter.required:
                errors[parameter.name] = missing(parameter)
        elif error := check(parameter, values[key]):
            errors[parameter.name] = error
        elif parameter.type == "object":
            valid[key] = _read_object(values[key], task_type, parameter.name, errors)
        else:
            valid[key] = convert(parameter, values[key])
    for key in values:
        if key not in parameters:
            name = shorten(printable(key), MAX_NAME)
            name = f"{parent}.{name}" if parent else name
            errors[name] = _unknown_key(name, task_type)
    return valid


@cache
def _children(task_type: str, parent: str) -> dict[str, api.ApiParameter]:
    """The parameters directly below one, by key. Those of the music come before those of its delivery, and so do their
    errors."""
    children = [entry for entry in api.of(task_type).values() if entry.name.rpartition(".")[0] == parent]
    children.sort(key=lambda entry: not (entry.required or entry.node))
    return {entry.key: entry for entry in children}


def _unknown_key(name: str, task_type: str) -> ApiError:
    table = api.of(task_type)
    parent, _, key = name.rpartition(".")
    siblings = {other.rpartition(".")[2]: other for other in table if other.rpartition(".")[0] == parent}
    elsewhere = [other for other in table if other.rpartition(".")[2] == key]
    if name in table:  # the key itself has the dot
        hint = f"; give {key} inside the object {parent}"
    elif elsewhere:
        hint = f"; did you mean {elsewhere[0]}?"
    else:
        hint = did_you_mean(name, siblings.values()) or f"; allowed here: {', '.join(siblings)}"
    message = f"{name} is not a parameter of {task_type}{hint}"
    return ApiError("unsupportedParameter", message, name, allowed_values=tuple(siblings))
