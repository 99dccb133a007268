"""The type of the task API's parameters."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

# A recipe is the modular scheduler's object, or a name for one; sampler/recipe_reader.py checks what it contains.
JsonType = Literal["string", "integer", "number", "boolean", "object", "recipe"]
LONGEST_URL = 8000
URL = "^[hH][tT][tT][pP][sS]?://"
_UUID4 = "^[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-4[0-9a-fA-F]{3}-[89abAB][0-9a-fA-F]{3}-[0-9a-fA-F]{12}$"
_TYPES = {"integer": "a whole number", "number": "a number", "boolean": "true or false", "object": "an object"}


@dataclass(frozen=True)
class ApiParameter:
    """One key of a task. If optional, absent and without a default, the model or the server chooses the value.

    name: dotted, such as "settings.bpm". minimum, maximum: for a string, its length in characters. step: the step of
    the hosted page's widgets; finer values are accepted. patterns: regular expressions in JavaScript syntax by format
    name (or ""); a string must match one of them, and form describes them in words. secret: messages must not repeat
    the value. node: the name in this folder of the widget that it sets.
    """

    name: str
    type: JsonType
    help: str
    default: Any = None
    required: bool = False
    minimum: float | None = None
    maximum: float | None = None
    step: float | None = None
    choices: tuple[str | int, ...] = ()
    patterns: Mapping[str, str] = field(default_factory=dict)
    form: str = ""
    secret: bool = False
    node: str | None = None

    @property
    def key(self) -> str:
        """The last part of the name: the key in the JSON object."""
        return self.name.rpartition(".")[2]

    @property
    def requirement(self) -> str:
        """What the value must be, worded to follow "it must be"."""
        if self.choices:
            values = ", ".join(str(choice) for choice in self.choices)
            return values if len(self.choices) == 1 else f"one of {values}"
        if self.form:
            return self.form
        kind = _TYPES.get(self.type)
        if kind is None:
            return f"text of {self._range()} characters" if self._range() else "text"
        return f"{kind} {self._range()}".strip()

    def schema(self) -> dict[str, Any]:
        """JSON Schema (2020-12) of the value. An integer may be written 60 or 60.0, as JSON Schema allows."""
        schema: dict[str, Any] = {"description": self.help}
        if len(self.choices) == 1:
            return schema | {"const": self.choices[0]}
        schema["type"] = ["object", "string"] if self.type == "recipe" else self.type
        if self.choices:
            schema["enum"] = list(self.choices)
        names = ("minLength", "maxLength") if self.type == "string" else ("minimum", "maximum")
        bounds = dict(zip(names, (self.minimum, self.maximum), strict=True))
        schema |= {name: value for name, value in (bounds | {"default": self.default}).items() if value is not None}
        alternatives = [{"pattern": text} | ({"format": name} if name else {}) for name, text in self.patterns.items()]
        return schema | (alternatives[0] if len(alternatives) == 1 else {"anyOf": alternatives} if alternatives else {})

    def _range(self) -> str:
        low, high = (None if bound is None else _number(bound) for bound in (self.minimum, self.maximum))
        if low is None:
            return ""
        if self.type == "string":
            return f"{low} to {high}" if high else f"{low} or more"
        return f"from {low} to {high}" if high else f"of {low} or more"


def url(name: str, help: str) -> ApiParameter:
    """A URL to fetch from or send to."""
    return ApiParameter(
        name,
        "string",
        help,
        minimum=1,
        maximum=LONGEST_URL,
        patterns={"uri": URL},
        form=f"an http or https URL of at most {LONGEST_URL} characters",
        secret=True,
    )


def task_type(name: str) -> ApiParameter:
    """The key that states the type of a task."""
    return ApiParameter("taskType", "string", "The type of task.", required=True, choices=(name,))


def uuid(name: str, help: str, required: bool = True) -> ApiParameter:
    """A version 4 UUID (RFC 9562)."""
    return ApiParameter(
        name,
        "string",
        help,
        required=required,
        minimum=36,
        maximum=36,
        patterns={"uuid": _UUID4},
        form="a UUID of version 4, such as 7f9c24e5-2f0b-4b0e-9d6d-2f6f1c6b3a51",
    )


def _number(bound: float) -> str:
    return str(int(bound)) if bound == int(bound) else str(bound)
