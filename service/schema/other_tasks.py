"""The tasks around audioInference: uploads, polling, sessions. cancelTask is our addition to the hosted service's."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from .model import Model


class GetResponse(Model):
    """Tell what there is of a task so far."""

    TASK: ClassVar[str] = "getResponse"

    task_type: Literal["getResponse"] = Field(alias="taskType")
    task_uuid: str = Field(alias="taskUUID")


class MediaStorage(Model):
    """Keep a sound to use in later tasks. media: an http or https URL, a data URI or base64, not yet decoded."""

    TASK: ClassVar[str] = "mediaStorage"

    task_type: Literal["mediaStorage"] = Field(alias="taskType")
    task_uuid: str = Field(alias="taskUUID")
    operation: Literal["upload"] = Field(alias="operation")
    media: str = Field(alias="media", repr=False)


class Authentication(Model):
    """Open a session, or go on with one."""

    TASK: ClassVar[str] = "authentication"

    task_type: Literal["authentication"] = Field(alias="taskType")
    api_key: str = Field(alias="apiKey", repr=False)
    connection_session_uuid: str | None = Field(None, alias="connectionSessionUUID")


class CancelTask(Model):
    """Stop a task; what is finished of it stays."""

    TASK: ClassVar[str] = "cancelTask"

    task_type: Literal["cancelTask"] = Field(alias="taskType")
    task_uuid: str = Field(alias="taskUUID")


class GetTaskDetails(Model):
    """Tell a task's request and answer."""

    TASK: ClassVar[str] = "getTaskDetails"

    task_type: Literal["getTaskDetails"] = Field(alias="taskType")
    task_uuid: str = Field(alias="taskUUID")


class Ping(Model):
    """Keep a session alive."""

    TASK: ClassVar[str] = "ping"

    task_type: Literal["ping"] = Field(alias="taskType")
    ping: bool | None = Field(None, alias="ping")
