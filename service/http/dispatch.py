"""Carries out tasks that were read from a request, over HTTP and WebSocket alike."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..schema.errors import ApiError, RequestError
from ..schema.task import Task

if TYPE_CHECKING:
    from ..queue.tasks import Tasks
    from ..schema.request import TaskOrErrors

DONE = "success"
PONG = {"taskType": "ping", "pong": True}


@dataclass(frozen=True)
class Answer:
    """What one task brings: result objects and errors in the API's shape.

    awaited: UUID of an accepted task whose results are to be its answer. unfinished: a task asked about has more to
    come.
    """

    data: tuple[dict[str, Any], ...] = ()
    errors: tuple[ApiError, ...] = ()
    awaited: str | None = None
    unfinished: bool = False


async def answer(read: TaskOrErrors, tasks: Tasks, base_url: str) -> Answer:
    """Carry out one task as far as it needs no waiting for a result. base_url: how the client reaches the server."""
    if isinstance(read, tuple):
        return Answer(errors=read)
    return await HANDLERS[read.task_type](read, tasks, base_url)


async def finish(task_uuid: str, tasks: Tasks, seconds: float) -> Answer:
    """Wait for the results of an accepted task; what isn't there in time is an error that says how to get it."""
    state = await tasks.wait(task_uuid, seconds)
    assert state is not None, task_uuid  # it was accepted
    data = tuple(without_status(result) for result in state.results if result.get("status") == DONE)
    if state.status != "processing":
        return Answer(data, state.errors)
    late = ApiError(
        code="timeoutSync",
        message=f"not finished within {seconds:g} seconds, the limit of deliveryMethod 'sync'. The task goes on: ask "
        "for its results with getResponse, or use deliveryMethod 'async'.",
        task_type="audioInference",
        task_uuid=task_uuid,
    )
    return Answer(data, (*state.errors, late))


def without_status(result: dict[str, Any]) -> dict[str, Any]:
    """A finished result as sync delivery has it; only getResponse says a status."""
    return {name: value for name, value in result.items() if name != "status"}


def merge(answers: Sequence[Answer]) -> Answer:
    return Answer(
        tuple(entry for one in answers for entry in one.data), tuple(entry for one in answers for entry in one.errors)
    )


def envelope(answer: Answer) -> dict[str, Any]:
    """The answer as the API sends it: data, errors or both."""
    found: dict[str, Any] = {}
    if answer.data or not answer.errors:
        found["data"] = list(answer.data)
    if answer.errors:
        found["errors"] = [error.to_json() for error in answer.errors]
    return found


async def _audio_inference(task: Task, tasks: Tasks, base_url: str) -> Answer:
    (refused,) = await tasks.submit([task], base_url)
    if refused is not None:
        return Answer(errors=refused)
    if task.value("deliveryMethod") == "async" or task.value("webhookURL") is not None:
        return Answer((_named(task),))
    return Answer(awaited=task.task_uuid)


async def _get_response(task: Task, tasks: Tasks, base_url: str) -> Answer:
    state = await tasks.state(task.task_uuid)
    if state is None:
        return Answer(errors=(_unknown(task),))
    return Answer(state.results, state.errors, unfinished=state.status == "processing")


async def _media_storage(task: Task, tasks: Tasks, base_url: str) -> Answer:
    try:
        return Answer((await tasks.store_media(task),))
    except RequestError as error:
        return Answer(errors=error.errors)


async def _cancel(task: Task, tasks: Tasks, base_url: str) -> Answer:
    known = await tasks.cancel(task.task_uuid) or await tasks.state(task.task_uuid) is not None
    return Answer((_named(task),)) if known else Answer(errors=(_unknown(task),))


async def _details(task: Task, tasks: Tasks, base_url: str) -> Answer:
    details = await tasks.details(task.task_uuid)
    return Answer((details,)) if details is not None else Answer(errors=(_unknown(task),))


async def _ping(task: Task, tasks: Tasks, base_url: str) -> Answer:
    return Answer((PONG,))


async def _authentication(task: Task, tasks: Tasks, base_url: str) -> Answer:
    return Answer()  # decided before any task is carried out; sessions are for WebSockets


def _named(task: Task) -> dict[str, Any]:
    return {"taskType": task.task_type, "taskUUID": task.task_uuid}


def missing_key() -> ApiError:
    return ApiError(
        code="missingApiKey",
        message="this server asks for an API key: send `Authorization: Bearer <key>`, or an authentication task first",
        parameter="apiKey",
        task_type="authentication",
    )


def wrong_key() -> ApiError:
    return ApiError(
        code="invalidApiKey",
        message="this API key is not accepted here",
        parameter="apiKey",
        task_type="authentication",
    )


def _unknown(task: Task) -> ApiError:
    return ApiError(
        code="taskNotFound",
        message=f"no task {task.task_uuid} is known here",
        parameter="taskUUID",
        task_type=task.task_type,
        task_uuid=task.task_uuid,
    )


HANDLERS: dict[str, Callable[[Task, Tasks, str], Awaitable[Answer]]] = {
    "audioInference": _audio_inference,
    "authentication": _authentication,
    "cancelTask": _cancel,
    "getResponse": _get_response,
    "getTaskDetails": _details,
    "mediaStorage": _media_storage,
    "ping": _ping,
}
