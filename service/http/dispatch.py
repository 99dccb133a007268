"""Carries out the tasks of a request, over HTTP and WebSocket alike."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING, Any

from ..queue.status import Status
from ..queue.task_record import API_STATUS, PROCESSING
from ..schema.errors import ApiError, RequestError
from ..schema.request import TaskOrErrors
from ..schema.task import Task

if TYPE_CHECKING:  # it loads the engines, which the routes in ComfyUI do not need before the first task
    from ..queue.tasks import Tasks

SUCCESS = API_STATUS[Status.DONE]
SONG = "audioInference"
PONG = {"taskType": "ping", "pong": True}


@dataclass(frozen=True)
class Answer:
    """The answer to one task or to several: result objects and errors in the API's shape.

    awaiting: UUID of an accepted task whose results will be the answer. unfinished: whether the task of a getResponse
    has results to come.
    """

    data: tuple[dict[str, Any], ...] = ()
    errors: tuple[ApiError, ...] = ()
    awaiting: str | None = None
    unfinished: bool = False

    def to_json(self) -> dict[str, Any]:
        """As the API sends it: data, errors or both."""
        envelope: dict[str, Any] = {}
        if self.data or not self.errors:
            envelope["data"] = list(self.data)
        if self.errors:
            envelope["errors"] = [error.to_json() for error in self.errors]
        return envelope


async def handle(task: TaskOrErrors, tasks: Tasks, base_url: str) -> Answer:
    """Carry out one task without waiting for its results. base_url: how the client reaches the server."""
    if isinstance(task, tuple):
        return Answer(errors=task)
    return await HANDLERS[task.task_type](task, tasks, base_url)


async def handle_all(tasks: Sequence[TaskOrErrors], queue: Tasks, base_url: str) -> list[Answer]:
    """Carry out tasks in their order. Consecutive songs are accepted together, with one sync of the disk."""
    answers: list[Answer] = []
    for is_song, group in groupby(tasks, lambda task: isinstance(task, Task) and task.task_type == SONG):
        if is_song:
            answers += await _accept([task for task in group if isinstance(task, Task)], queue, base_url)
        else:
            answers += [await handle(task, queue, base_url) for task in group]
    return answers


async def wait_for_results(task_uuid: str, tasks: Tasks, seconds: float) -> Answer:
    """The results of an accepted task; after `seconds`, those that are finished and an error with the remedy."""
    state = await tasks.wait(task_uuid, seconds)
    assert state is not None, task_uuid  # it was accepted
    data = tuple(without_status(result) for result in state.results if result.get("status") == SUCCESS)
    if state.status != PROCESSING:
        return Answer(data, state.errors)
    timeout = ApiError(
        "timeoutSync",
        f"not finished within {seconds:g} seconds, the limit of deliveryMethod 'sync'. The task continues: fetch its "
        "results with getResponse, or use deliveryMethod 'async'.",
        task_type="audioInference",
        task_uuid=task_uuid,
    )
    return Answer(data, (*state.errors, timeout))


def without_status(result: dict[str, Any]) -> dict[str, Any]:
    """A finished result for sync delivery; only getResponse includes the status."""
    return {name: value for name, value in result.items() if name != "status"}


def merge(answers: Sequence[Answer]) -> Answer:
    """The data and the errors of several answers, in order."""
    data = tuple(entry for answer in answers for entry in answer.data)
    return Answer(data, tuple(error for answer in answers for error in answer.errors))


async def _audio_inference(task: Task, tasks: Tasks, base_url: str) -> Answer:
    (answer,) = await _accept([task], tasks, base_url)
    return answer


async def _accept(songs: Sequence[Task], tasks: Tasks, base_url: str) -> list[Answer]:
    """Accept songs, and acknowledge those whose results come later."""
    answers: list[Answer] = []
    for task, errors in zip(songs, await tasks.submit(songs, base_url), strict=True):
        if errors is not None:
            answers.append(Answer(errors=errors))
        elif task.value("deliveryMethod") == "async" or task.value("webhookURL") is not None:
            answers.append(_acknowledge(task))
        else:
            answers.append(Answer(awaiting=task.task_uuid))
    return answers


async def _get_response(task: Task, tasks: Tasks, base_url: str) -> Answer:
    state = await tasks.state(task.task_uuid)
    if state is None:
        return _not_found(task)
    return Answer(state.results, state.errors, unfinished=state.status == PROCESSING)


async def _media_storage(task: Task, tasks: Tasks, base_url: str) -> Answer:
    try:
        return Answer((await tasks.store_media(task),))
    except RequestError as error:
        return Answer(errors=error.errors)


async def _cancel_task(task: Task, tasks: Tasks, base_url: str) -> Answer:
    exists = await tasks.cancel(task.task_uuid) or await tasks.state(task.task_uuid) is not None
    return _acknowledge(task) if exists else _not_found(task)


async def _get_task_details(task: Task, tasks: Tasks, base_url: str) -> Answer:
    details = await tasks.details(task.task_uuid)
    return Answer((details,)) if details is not None else _not_found(task)


async def _ping(task: Task, tasks: Tasks, base_url: str) -> Answer:
    return Answer((PONG,))


async def _authentication(task: Task, tasks: Tasks, base_url: str) -> Answer:
    return Answer()  # keys are checked before any task is carried out, and only WebSockets have sessions


def _acknowledge(task: Task) -> Answer:
    return Answer(({"taskType": task.task_type, "taskUUID": task.task_uuid},))


def _not_found(task: Task) -> Answer:
    message = f"no task has the taskUUID {task.task_uuid}"
    return Answer(errors=(ApiError("taskNotFound", message, "taskUUID", task.task_type, task.task_uuid),))


HANDLERS: dict[str, Callable[[Task, Tasks, str], Awaitable[Answer]]] = {
    "audioInference": _audio_inference,
    "authentication": _authentication,
    "cancelTask": _cancel_task,
    "getResponse": _get_response,
    "getTaskDetails": _get_task_details,
    "mediaStorage": _media_storage,
    "ping": _ping,
}
