"""What clients are told of tasks: result objects as the hosted API has them, states and details."""

from __future__ import annotations

import base64
import json
import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from ...audio import formats
from ...transfer.errors import redacted
from ..engine.usage import Usage
from ..schema.errors import ApiError
from ..schema.task import Task
from .database import Connection
from .jobs import Unit

DATA, URI = "audioBase64Data", "audioDataURI"
# Values of a request that may hold credentials.
SECRET = ("webhookURL", "uploadEndpoint")
Progress = Mapping[tuple[str, int], float]
ENDS = {"done": "success", "failed": "error"}


@dataclass(frozen=True)
class State:
    """A task as getResponse tells it. results: one object for each result that did not fail, in their order, with its
    status. errors: of those that failed. status: "processing" until all is done, then "success", or "error" where a
    result failed. progress: per cent of the whole task."""

    task_uuid: str
    results: tuple[dict[str, Any], ...]
    errors: tuple[ApiError, ...]
    status: str
    progress: int


@dataclass(frozen=True)
class Told:
    """A task and its results as the store has them."""

    task: sqlite3.Row
    results: list[sqlite3.Row]


def media_type(file: str) -> str:
    """The media type of a result's file, by its name."""
    return formats.get(Path(file).suffix[1:]).media_type


def answer(task: Task, unit: Unit, file: str, usage: Usage, price_per_hour: float) -> dict[str, Any]:
    """The object of a finished result, but for sound that it holds itself: see `with_sound`."""
    kind = task.value("outputType")
    sound = {
        "URL": {"audioURL": f"{unit.base_url}/audio/{file}"},
        "base64Data": {DATA: None},
        "dataURI": {URI: None},
    }[kind]
    cost: dict[str, Any] = {}
    if task.value("includeCost"):
        cost = {"cost": usage.cost(price_per_hour), "costDetails": usage.to_json() | {"pricePerHour": price_per_hour}}
    return {
        "taskType": task.task_type,
        "taskUUID": task.task_uuid,
        "status": ENDS["done"],
        "audioUUID": unit.audio_uuid,
        **sound,
        "seed": unit.seed,
        **cost,
    }


def failure(error: Mapping[str, Any]) -> dict[str, Any]:
    """The object that a webhook gets of a result that failed."""
    known = {key: error[key] for key in ("taskType", "taskUUID") if key in error}
    return {**known, "status": ENDS["failed"], **error}


def holds_sound(answer: Mapping[str, Any]) -> bool:
    """Whether the sound is part of the object."""
    return DATA in answer or URI in answer


def with_sound(answer: dict[str, Any], file: Path) -> dict[str, Any]:
    """The object with the sound of its file in its place. Raises OSError where the file is gone."""
    if not holds_sound(answer):
        return answer
    text = base64.b64encode(file.read_bytes()).decode()
    return {**answer, **({DATA: text} if DATA in answer else {URI: f"data:{media_type(file.name)};base64,{text}"})}


def body(answer: dict[str, Any]) -> bytes:
    """An object as it is sent; equal objects give equal bytes."""
    return json.dumps(answer, ensure_ascii=False, separators=(",", ":")).encode()


def look_up(connection: Connection, uuid: str) -> Told | None:
    """What is known of a task."""
    task = connection.execute("SELECT * FROM tasks WHERE uuid = ?", (uuid,)).fetchone()
    if task is None:
        return None
    rows = connection.execute("SELECT * FROM results WHERE task = ? ORDER BY place", (task["number"],))
    return Told(task, rows.fetchall())


def state(told: Told, progress: Progress, folder: Path) -> State:
    """A task's state. folder: of the results. Reads files where results hold their sound."""
    uuid = told.task["uuid"]
    results: list[dict[str, Any]] = []
    errors: list[ApiError] = []
    for row in told.results:
        if row["state"] == "failed":
            errors.append(ApiError.from_json(json.loads(row["answer"])))
        elif row["state"] == "done":
            _add_done(row, uuid, folder, results, errors)
        else:
            results.append(_processing(uuid, share(row, uuid, progress)))
    return State(uuid, tuple(results), tuple(errors), status(told), percent(told, progress))


def status(told: Told) -> str:
    states = {row["state"] for row in told.results}
    if states & {"queued", "running"}:
        return "processing"
    return ENDS["failed"] if "failed" in states else ENDS["done"]


def percent(told: Told, progress: Progress) -> int:
    """How much of a task is done; 100 only when all is."""
    done = sum(share(row, told.task["uuid"], progress) for row in told.results)
    return int(100 * done / len(told.results))


def share(row: sqlite3.Row, uuid: str, progress: Progress) -> float:
    """How much of a result is done, 0 to 1."""
    return 1.0 if row["state"] in ENDS else min(progress.get((uuid, row["place"]), 0.0), 0.99)


def _processing(uuid: str, done: float) -> dict[str, Any]:
    return {"taskType": "audioInference", "taskUUID": uuid, "status": "processing", "progress": int(100 * done)}


def _add_done(row: sqlite3.Row, uuid: str, folder: Path, results: list[dict[str, Any]], errors: list[ApiError]) -> None:
    found = json.loads(row["answer"])
    try:
        results.append(with_sound(found, folder / (row["file"] or "")))
    except OSError:
        words = "the sound of this result is no longer kept; ask for it within the time that results are kept"
        errors.append(ApiError("resultExpired", words, None, "audioInference", uuid))


def details(told: Told, deliveries: list[sqlite3.Row], shown: State) -> dict[str, Any]:
    """A task's request and answer, when what happened, and what became of its deliveries. Without sound and secrets."""
    request = json.loads(told.task["request"])
    for name in SECRET:
        if name in request:
            request[name] = redacted(request[name])
    if "://" in request.get("inputs", {}).get("audio", ""):
        request["inputs"] = {**request["inputs"], "audio": redacted(request["inputs"]["audio"])}
    data = [{key: value for key, value in result.items() if key not in (DATA, URI)} for result in shown.results]
    return {
        "taskType": "getTaskDetails",
        "taskUUID": told.task["uuid"],
        "status": shown.status,
        "progress": shown.progress,
        "accepted": moment(told.task["accepted"]),
        "request": [request],  # a list, as the hosted service's client reads it
        "response": {"data": data, "errors": [error.to_json() for error in shown.errors]},
        "results": [_result_details(row, deliveries) for row in told.results],
    }


def _result_details(row: sqlite3.Row, deliveries: list[sqlite3.Row]) -> dict[str, Any]:
    found = {
        "audioUUID": row["audio_uuid"],
        "seed": row["seed"],
        "status": ENDS.get(row["state"], row["state"]),
        "attempts": row["attempts"],
        "started": moment(row["started"]),
        "finished": moment(row["finished"]),
        "expires": moment(row["expires"]),
        "usage": json.loads(row["usage"]) if row["usage"] else None,
        "deliveries": [delivery_details(entry) for entry in deliveries if entry["place"] == row["place"]],
    }
    return {name: value for name, value in found.items() if value is not None}


def delivery_details(row: sqlite3.Row) -> dict[str, Any]:
    """What became of a webhook call or an upload."""
    found = {
        "kind": row["kind"],
        "url": redacted(row["url"]),
        "state": row["state"],
        "attempts": row["attempts"],
        "next": moment(row["due"]) if row["state"] == "waiting" else None,
        "problem": row["problem"],
    }
    return {name: value for name, value in found.items() if value is not None}


def moment(seconds: float | None) -> str | None:
    """A time as people and programs read it."""
    if seconds is None:
        return None
    return datetime.fromtimestamp(seconds, timezone.utc).isoformat(timespec="milliseconds").replace("+00:00", "Z")
