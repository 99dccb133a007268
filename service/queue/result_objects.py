"""Result objects as the hosted API has them, for answers and webhooks."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...audio import formats
from ..engine.usage import Usage
from ..schema.task import Task
from .jobs import Job
from .status import Status
from .task_record import API_STATUS, PROCESSING, TASK_TYPE

AUDIO_BASE64, AUDIO_DATA_URI = "audioBase64Data", "audioDataURI"


@dataclass(frozen=True)
class AudioText:
    """The audio of a result as base64, read from its file only when it is sent: answers may hold many.

    prefix: what comes before it in a data URI.
    """

    file: Path
    prefix: str = ""

    def read(self) -> str:
        """The whole text. Blocks; raises OSError if the file is gone."""
        return self.prefix + base64.b64encode(self.file.read_bytes()).decode()


def result_object(task: Task, job: Job, file: str, usage: Usage, price_per_hour: float) -> dict[str, Any]:
    """A finished result. Audio that belongs into the object itself is None, to be added with `with_audio_text`."""
    audio = {
        "URL": {"audioURL": f"{job.base_url}/audio/{file}"},
        "base64Data": {AUDIO_BASE64: None},
        "dataURI": {AUDIO_DATA_URI: None},
    }[task.value("outputType")]
    cost: dict[str, Any] = {}
    if task.value("includeCost"):
        cost = {"cost": usage.cost(price_per_hour), "costDetails": usage.to_json() | {"pricePerHour": price_per_hour}}
    return {
        "taskType": task.task_type,
        "taskUUID": task.task_uuid,
        "status": API_STATUS[Status.DONE],
        "audioUUID": job.audio_uuid,
        **audio,
        "seed": job.seed,
        **cost,
    }


def failure_object(error: Mapping[str, Any]) -> dict[str, Any]:
    """A failed result, as a webhook receives it."""
    names = {key: error[key] for key in ("taskType", "taskUUID") if key in error}
    return {**names, "status": API_STATUS[Status.FAILED], **error}


def processing_object(task_uuid: str, share: float) -> dict[str, Any]:
    """A result that is queued or running. share: done, 0 to 1."""
    return {"taskType": TASK_TYPE, "taskUUID": task_uuid, "status": PROCESSING, "progress": int(100 * share)}


def with_audio_text(payload: dict[str, Any], file: Path) -> dict[str, Any]:
    """A result object with an AudioText, where it carries audio."""
    key = next((key for key in (AUDIO_BASE64, AUDIO_DATA_URI) if key in payload), None)
    if key is None:
        return payload
    prefix = f"data:{media_type(file.name)};base64," if key == AUDIO_DATA_URI else ""
    return {**payload, key: AudioText(file, prefix)}


def without_audio(payload: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in payload.items() if name not in (AUDIO_BASE64, AUDIO_DATA_URI)}


def media_type(file: str) -> str:
    """The media type of a result's file, by its name."""
    return formats.get(Path(file).suffix[1:]).media_type
