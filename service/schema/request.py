"""Reads a request: a JSON array of tasks, each by the table of parameters and with all its errors at once.

An invalid task does not affect the others. Sources: the hosted model's API page, and for the shape of errors the
hosted service's page of errors.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from ...parameters import api
from ...transfer.policy import Policy
from . import modular_scheduler, task_rules, urls
from .errors import ApiError, RequestError
from .task import MAX_NAME, Task, read_task
from .task_rules import RawTask
from .value_checks import did_you_mean, error_code, format_value, is_encodable, printable, shorten

TaskOrErrors = Task | tuple[ApiError, ...]

MAX_ERRORS = 50  # listed for one task
MAX_KEYS = 100  # of one object; a larger one is refused as a whole
MAX_SCHEDULER_MESSAGE = 1000  # characters; it may list every level of a schedule
URLS = ("webhookURL", "uploadEndpoint", "inputs.audio", "media")
CREATING = ("audioInference", "mediaStorage")  # task types that create something under their UUID


def read_tasks(body: object, policy: Policy | None = None) -> list[TaskOrErrors]:
    """The elements of a request in order: each a task, or everything that is wrong with it.

    body: any value that JSON can hold. policy: refuses the addresses that it forbids; None checks only their form.
    Raises RequestError for a body that is no array of 1 to `api.MAX_TASKS` elements.
    """
    if not isinstance(body, list):
        message = f'the body is {format_value(body)}; it must be an array of tasks, such as [{{"taskType": …}}]'
        raise RequestError([ApiError("invalidRequest", message)])
    if not 1 <= len(body) <= api.MAX_TASKS:
        message = f"the request has {len(body)} tasks; it must have 1 to {api.MAX_TASKS}"
        raise RequestError([ApiError("invalidRequest", message)])
    uuids: set[str] = set()
    return [_read_element(element, policy, uuids) for element in body]


def _read_element(element: object, policy: Policy | None, uuids: set[str]) -> TaskOrErrors:
    """uuids: of the earlier tasks of the request, to which this one's is added."""
    if not isinstance(element, dict):
        return (ApiError("invalidTask", f"the task is {format_value(element)}; it must be an object"),)
    if error := _task_type_error(element) or _size_error(element):
        return (_identify(error, element),)
    task, invalid = read_task(element, element["taskType"])
    errors = [*invalid.values(), *_errors_beyond_values(RawTask(element, frozenset(invalid)), policy)]
    if _is_repeated(element, uuids):
        message = "taskUUID was given to an earlier task of this request; give each task its own UUID"
        errors.append(ApiError("conflictTaskUUID", message, "taskUUID"))
    return tuple(_identify(error, element) for error in _limit(errors)) if errors else task


def _task_type_error(element: dict[Any, Any]) -> ApiError | None:
    allowed = tuple(api.TASKS)
    remedy = f"it must be one of {', '.join(allowed)}"
    if "taskType" not in element:
        return ApiError("missingTaskType", f"taskType is missing; {remedy}", "taskType", allowed_values=allowed)
    value = element["taskType"]
    if isinstance(value, str) and value in api.TASKS:
        return None
    message = f"taskType is {format_value(value)}; {remedy}{did_you_mean(value, allowed)}"
    return ApiError("invalidTaskType", message, "taskType", allowed_values=allowed)


def _size_error(element: dict[Any, Any]) -> ApiError | None:
    """The error of a task with too many keys in one object. The modular scheduler has its own limit."""
    size = max(len(item) for item in (element, *element.values()) if isinstance(item, dict))
    if size <= MAX_KEYS:
        return None
    return ApiError("invalidTask", f"an object of the task has {size} keys; the limit is {MAX_KEYS}")


def _errors_beyond_values(raw: RawTask, policy: Policy | None) -> Iterator[ApiError]:
    if raw.task_type == "audioInference":
        yield from task_rules.check(raw)
        yield from _scheduler_errors(raw)
    yield from _url_errors(raw, policy)


def _scheduler_errors(raw: RawTask) -> Iterator[ApiError]:
    if raw.has_valid(modular_scheduler.NAME):
        for name, message in modular_scheduler.problems(raw.value(modular_scheduler.NAME)):
            text = shorten(printable(message), MAX_SCHEDULER_MESSAGE)
            yield ApiError("invalidModularScheduler", text, shorten(printable(name), 4 * MAX_NAME))


def _url_errors(raw: RawTask, policy: Policy | None) -> Iterator[ApiError]:
    for name in URLS:
        if name not in api.of(raw.task_type) or not raw.has_valid(name):
            continue
        value = raw.value(name)
        problem = urls.problem(value, policy) if urls.is_url(value) else None
        if problem is not None:
            yield ApiError(error_code("invalid", name), f"{name} cannot be used: {problem}", name)


def _is_repeated(element: dict[Any, Any], uuids: set[str]) -> bool:
    """Whether an earlier task has this UUID, in upper or lower case. Adds it to `uuids`."""
    value = element.get("taskUUID")
    if not isinstance(value, str) or element["taskType"] not in CREATING:
        return False
    repeated = value.lower() in uuids
    uuids.add(value.lower())
    return repeated


def _limit(errors: list[ApiError]) -> list[ApiError]:
    rest = len(errors) - MAX_ERRORS
    if rest <= 0:
        return errors
    return [*errors[:MAX_ERRORS], ApiError("tooManyErrors", f"the task has {rest} more errors, which are not listed")]


def _identify(error: ApiError, element: dict[Any, Any]) -> ApiError:
    """The error with the task's type and UUID as the client spelt them."""
    return replace(error, task_type=_identifier(element, "taskType"), task_uuid=_identifier(element, "taskUUID"))


def _identifier(element: dict[Any, Any], key: str) -> str | None:
    """An identifier that an answer can repeat; None if it is absent, too long or not text."""
    value = element.get(key)
    usable = isinstance(value, str) and 0 < len(value) <= MAX_NAME and is_encodable(value)
    return value if usable else None
