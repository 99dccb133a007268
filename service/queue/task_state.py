"""What clients can ask about a task: its state (getResponse) and its details (getTaskDetails)."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from ...transfer.errors import redacted
from ..schema.errors import ApiError
from . import result_objects, task_errors
from .delivery.deliveries import DeliveryRecord
from .status import DeliveryStatus, Status
from .task_record import API_STATUS, Progress, ResultRecord, TaskRecord

SECRET = ("webhookURL", "uploadEndpoint")  # parameters whose URLs may carry credentials


@dataclass(frozen=True)
class TaskState:
    """A task as getResponse reports it.

    results: an object for each result that has not failed, in order. errors: of those that have. status: "processing",
    then "success", or "error" if a result failed. progress: of the whole task, in per cent.
    """

    task_uuid: str
    results: tuple[dict[str, Any], ...]
    errors: tuple[ApiError, ...]
    status: str
    progress: int


def read_state(task: TaskRecord, progress: Progress, folder: Path) -> TaskState:
    """The present state of a task. folder: of the results' files. Blocks, since it looks whether they are there."""
    results: list[dict[str, Any]] = []
    errors: list[ApiError] = []
    for result in task.results:
        if result.status is Status.FAILED:
            errors.append(ApiError.from_json(result.payload))
        elif result.status is not Status.DONE:
            results.append(result_objects.processing_object(task.uuid, task.share(result, progress)))
        elif _is_available(result, folder, time.time()):
            results.append(result_objects.with_audio_text(result.payload, folder / (result.file or "")))
        else:
            errors.append(task_errors.expired_error(task.uuid))
    return TaskState(task.uuid, tuple(results), tuple(errors), task.status, task.percent(progress))


def _is_available(result: ResultRecord, folder: Path, now: float) -> bool:
    """Whether a finished result can still be fetched: a URL whose file is gone must not be handed out."""
    expired = result.expires is not None and result.expires <= now
    return result.file is not None and not expired and (folder / result.file).is_file()


def task_details(task: TaskRecord, deliveries: Sequence[DeliveryRecord], state: TaskState) -> dict[str, Any]:
    """A task's request and response, timestamps and deliveries, without audio and credentials."""
    request = dict(task.request)
    for name in SECRET:
        if name in request:
            request[name] = redacted(request[name])
    if "://" in request.get("inputs", {}).get("audio", ""):
        request["inputs"] = {**request["inputs"], "audio": redacted(request["inputs"]["audio"])}
    return {
        "taskType": "getTaskDetails",
        "taskUUID": task.uuid,
        "status": state.status,
        "progress": state.progress,
        "accepted": iso_time(task.accepted),
        "request": [request],  # a list, as clients of the hosted service expect
        "response": {
            "data": [result_objects.without_audio(result) for result in state.results],
            "errors": [error.to_json() for error in state.errors],
        },
        "results": [_result_details(result, deliveries) for result in task.results],
    }


def delivery_details(delivery: DeliveryRecord) -> dict[str, Any]:
    """An upload or a webhook call, without credentials."""
    details = {
        "kind": delivery.kind,
        "url": redacted(delivery.url),
        "state": delivery.status.value,
        "attempts": delivery.attempts,
        "next": iso_time(delivery.due) if delivery.status is DeliveryStatus.WAITING else None,
        "problem": delivery.problem,
    }
    return {name: value for name, value in details.items() if value is not None}


def iso_time(seconds: float | None) -> str | None:
    """A Unix time in ISO 8601, in UTC to the millisecond."""
    if seconds is None:
        return None
    return datetime.fromtimestamp(seconds, timezone.utc).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _result_details(result: ResultRecord, deliveries: Sequence[DeliveryRecord]) -> dict[str, Any]:
    details = {
        "audioUUID": result.audio_uuid,
        "seed": result.seed,
        "status": API_STATUS.get(result.status, result.status.value),
        "attempts": result.attempts,
        "started": iso_time(result.started),
        "finished": iso_time(result.finished),
        "expires": iso_time(result.expires),
        "usage": result.usage,
        "deliveries": [delivery_details(delivery) for delivery in deliveries if delivery.index == result.index],
    }
    return {name: value for name, value in details.items() if value is not None}
