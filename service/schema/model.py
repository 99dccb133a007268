"""What the task models have in common: strict, frozen, no key that isn't known, ranges from the table of parameters."""

from __future__ import annotations

from typing import Any, ClassVar

from pydantic import BaseModel, ConfigDict, ValidationInfo, field_validator

from ...parameters import api
from .validation import Fault, check, convert


class Refused(ValueError):  # noqa: N818 - carries what is wrong through pydantic
    """A value that is not allowed."""

    def __init__(self, fault: Fault) -> None:
        super().__init__(fault.words)
        self.fault = fault


class Model(BaseModel):
    """An object of a task. Its fields have the page's keys as aliases; an optional one that is absent is None."""

    # Built with the first task: building looks for plug-ins of pydantic on the disk.
    model_config = ConfigDict(strict=True, extra="forbid", frozen=True, defer_build=True)

    TASK: ClassVar[str] = "audioInference"
    PREFIX: ClassVar[str] = ""  # of its keys in dotted names, such as "settings."

    @field_validator("*", mode="before")
    @classmethod
    def _follow_the_table(cls, value: Any, info: ValidationInfo) -> Any:
        name = cls.dotted(str(info.field_name))
        parameter = api.get(name, cls.TASK)
        fault = check(parameter, value)
        if fault is not None:
            raise Refused(fault)
        return convert(parameter, value)

    @classmethod
    def dotted(cls, field: str) -> str:
        """The dotted name on the page of an attribute."""
        return cls.PREFIX + (cls.model_fields[field].alias or field)

    def to_json(self) -> dict[str, Any]:
        """What was given, under the page's names."""
        return self.model_dump(mode="json", by_alias=True, exclude_unset=True)
