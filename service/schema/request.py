"""Reads a request: a JSON array of tasks, each strictly by the table of parameters and with all its errors at once.

A task that is wrong says nothing about its neighbours. Sources: the hosted model's API page, and for the shape of
errors the hosted service's page of errors.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from ...parameters import api
from . import modular_scheduler, task_rules, urls
from .audio_inference import AudioInference
from .errors import ApiError, RequestError
from .model import Refused
from .other_tasks import Authentication, CancelTask, GetResponse, GetTaskDetails, MediaStorage, Ping
from .validation import Fault, capital, did_you_mean, is_text, missing, shown

if TYPE_CHECKING:
    from ...transfer.policy import Policy

__all__ = [
    "ApiError",
    "AudioInference",
    "Authentication",
    "CancelTask",
    "GetResponse",
    "GetTaskDetails",
    "MediaStorage",
    "Ping",
    "Read",
    "RequestError",
    "Task",
    "read_tasks",
]

Task = AudioInference | Authentication | CancelTask | GetResponse | GetTaskDetails | MediaStorage | Ping
Read = Task | tuple[ApiError, ...]
Names = str | tuple[str, ...] | None  # the parameters to blame
Found = Iterator[tuple[Names, Fault]]  # words of the faults: whole sentences

MOST_ERRORS = 50  # of one task that are told
MOST_KEYS = 100  # of one object whose keys are looked at
LONGEST_WORDS = 1000  # characters of a message of the scheduler, which may list each of its levels
LONGEST_NAME = 64  # characters of a key or an identifier that is repeated in an answer
MAKING = ("audioInference", "mediaStorage")  # tasks that make something under their UUID


def read_tasks(body: object, policy: Policy | None = None) -> list[Read]:
    """What each element of a request asks for, in order: the task, or everything that is wrong with it.

    body: any value as JSON gives it. policy: that of transfers, to refuse addresses which it forbids; None judges only
    their form. Raises RequestError for a body that holds no tasks at all.
    """
    if not isinstance(body, list):
        words = f'the body is {shown(body)}; it must be an array of tasks, such as [{{"taskType": …}}]'
        raise RequestError([ApiError("invalidRequest", words)])
    if not 1 <= len(body) <= api.MAX_TASKS:
        words = f"the request has {len(body)} tasks; it must have 1 to {api.MAX_TASKS}"
        raise RequestError([ApiError("invalidRequest", words)])
    taken: set[str] = set()
    return [_read(element, policy, taken) for element in body]


def _read(element: object, policy: Policy | None, taken: set[str]) -> Read:
    if not isinstance(element, dict):
        return (ApiError("invalidTask", f"the task is {shown(element)}; it must be an object"),)
    kind = element.get("taskType")
    model = MODELS.get(kind) if isinstance(kind, str) else None
    if model is None:
        return tuple(_error(element, *found) for found in _task_type_faults(element))
    if (most := _most_keys(element)) > MOST_KEYS:
        return (
            _error(element, None, Fault("invalidTask", f"an object of the task has {most} keys; none has so many")),
        )
    task, wrong = _validated(model, element)
    found = [*wrong.items(), *_faults_beyond(model, element, policy, frozenset(wrong))]
    if _is_taken(element, taken):
        words = "taskUUID was given to an earlier task of this request; give each task a UUID of its own"
        found.append(("taskUUID", Fault("conflictTaskUUID", words)))
    if task is None or found:
        return tuple(_error(element, names, fault) for names, fault in _bounded(found))
    return task


def _task_type_faults(element: dict[Any, Any]) -> Found:
    allowed = tuple(MODELS)
    wanted = f"it must be one of {', '.join(allowed)}"
    if "taskType" not in element:
        yield "taskType", Fault("missingTaskType", f"taskType is missing; {wanted}", allowed)
        return
    given = element["taskType"]
    words = f"taskType is {shown(given)}; {wanted}{did_you_mean(given, allowed)}"
    yield "taskType", Fault("invalidTaskType", words, allowed)


def _validated(model: type[Task], element: dict[Any, Any]) -> tuple[Task | None, dict[str, Fault]]:
    """The task, or what is wrong with its keys and single values, by their dotted names."""
    try:
        return model.model_validate(element), {}
    except ValidationError as error:
        found = {}
        # Without the input, which may be large and may hold secrets.
        for entry in error.errors(include_url=False, include_input=False):
            name = ".".join(_printable(part) for part in entry["loc"])
            fault = _fault(model, name, entry)
            found[name] = fault._replace(words=f"{name} {fault.words}")
        return None, found


def _faults_beyond(model: type[Task], element: dict[Any, Any], policy: Policy | None, wrong: frozenset[str]) -> Found:
    """What is wrong beyond single values. wrong: the names of those that are refused already."""
    given = task_rules.Given(element, wrong)
    if model is AudioInference:
        yield from task_rules.check(given)
        yield from _scheduler_faults(given)
    yield from _url_faults(model, given, policy)


def _fault(model: type[Task], name: str, entry: Any) -> Fault:
    """What pydantic found, in the API's codes; the words go on from the name."""
    refused = entry.get("ctx", {}).get("error")
    if isinstance(refused, Refused):
        return refused.fault
    if entry["type"] == "missing":
        return missing(api.get(name, model.TASK))
    if entry["type"] == "extra_forbidden":
        return _unknown(name, model.TASK)
    return Fault(f"invalid{capital(name.rpartition('.')[2])}", f"cannot be used: {entry['msg']}")


def _unknown(name: str, task_type: str) -> Fault:
    table = api.of(task_type)
    parent, _, key = name.rpartition(".")
    siblings = {other.rpartition(".")[2]: other for other in table if other.rpartition(".")[0] == parent}
    elsewhere = [other for other in table if other.rpartition(".")[2] == key]
    if name in table:  # the dot stands in the key itself
        hint = f"; give {key} inside the object {parent}"
    elif elsewhere:
        hint = f"; did you mean {elsewhere[0]}?"
    else:
        hint = did_you_mean(name, siblings.values()) or f"; allowed here: {', '.join(siblings)}"
    return Fault("unsupportedParameter", f"is not a parameter of {task_type}{hint}", tuple(siblings))


def _scheduler_faults(given: task_rules.Given) -> Found:
    if given.has(modular_scheduler.NAME) and given.known(modular_scheduler.NAME):
        for name, words in modular_scheduler.problems(given.value(modular_scheduler.NAME)):
            yield _printable(name, 4 * LONGEST_NAME), Fault("invalidModularScheduler", _printable(words, LONGEST_WORDS))


def _url_faults(model: type[Task], given: task_rules.Given, policy: Policy | None) -> Found:
    for name in URLS:
        if name not in api.of(model.TASK) or not given.has(name) or not given.known(name):
            continue
        value = given.value(name)
        problem = urls.problem(value, policy) if urls.is_url(value) else None
        if problem is not None:
            yield name, Fault(f"invalid{capital(name.rpartition('.')[2])}", f"{name} cannot be used: {problem}")


def _is_taken(element: dict[Any, Any], taken: set[str]) -> bool:
    """Whether an earlier task has the UUID, in whatever case; it is taken from now on."""
    given = element.get("taskUUID")
    if not isinstance(given, str) or element["taskType"] not in MAKING:
        return False
    known = given.lower() in taken
    taken.add(given.lower())
    return known


def _most_keys(element: dict[Any, Any]) -> int:
    """How many keys the largest object of a task has, but for those that are judged by rules of their own."""
    return max(len(place) for place in (element, *element.values()) if isinstance(place, dict))


def _bounded(found: list[tuple[Names, Fault]]) -> Iterator[tuple[Names, Fault]]:
    yield from found[:MOST_ERRORS]
    if len(found) > MOST_ERRORS:
        yield None, Fault("tooManyErrors", f"{len(found) - MOST_ERRORS} more things are wrong with the task")


def _error(element: dict[Any, Any], names: Names, fault: Fault) -> ApiError:
    return ApiError(
        fault.code,
        fault.words,
        names[0] if isinstance(names, tuple) and len(names) == 1 else names,
        _identifier(element, "taskType"),
        _identifier(element, "taskUUID"),
        fault.allowed,
    )


def _identifier(element: dict[Any, Any], key: str) -> str | None:
    """A name of the task as the client wrote it, so that it knows its own again; None where it can't be one."""
    value = element.get(key)
    fits = isinstance(value, str) and 0 < len(value) <= LONGEST_NAME and is_text(value)
    return value if fits else None


def _printable(part: object, longest: int = LONGEST_NAME) -> str:
    """Text that came with the request, for messages."""
    text = str(part).encode("utf-8", "backslashreplace").decode("utf-8")
    return text if len(text) <= longest else f"{text[: longest - 1]}…"


URLS = ("webhookURL", "uploadEndpoint", "inputs.audio", "media")
MODELS: dict[str, type[Task]] = {
    model.TASK: model
    for model in (AudioInference, GetResponse, MediaStorage, Authentication, CancelTask, GetTaskDetails, Ping)
}
