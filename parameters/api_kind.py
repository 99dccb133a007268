"""What a parameter of the task API is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

# A recipe is the modular scheduler's object, or text that names one; its own reader says what it may hold.
JsonType = Literal["string", "integer", "number", "boolean", "object", "recipe"]
LONGEST_URL = 8000
URL = "^[hH][tT][tT][pP][sS]?://"
_UUID4 = "^[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-4[0-9a-fA-F]{3}-[89abAB][0-9a-fA-F]{3}-[0-9a-fA-F]{12}$"
_TYPES = {"integer": "a whole number", "number": "a number", "boolean": "true or false", "object": "an object"}


@dataclass(frozen=True)
class ApiParameter:
    """One key of a task. An absent optional one without default leaves its value to the model or to the server.

    name: dotted, such as "settings.bpm". minimum, maximum: of a string, its length in characters. step: how finely the
    page's own widgets set it; values between are taken as they are. patterns: by the name of the format that each
    belongs to or "", one of which a string has to match, in the syntax of JavaScript; form says it in words. secret: a
    value that messages must not repeat. node: the widget that it sets, by its name in this folder.
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
        """The last part of the name, as it stands in the JSON object."""
        return self.name.rpartition(".")[2]

    @property
    def wanted(self) -> str:
        """What the value has to be, to go on "it must be"."""
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
        """JSON Schema of the value, dialect 2020-12. Whole numbers may be written 60 or 60.0, as JSON Schema has it."""
        made: dict[str, Any] = {"description": self.help}
        if len(self.choices) == 1:
            return made | {"const": self.choices[0]}
        made["type"] = ["object", "string"] if self.type == "recipe" else self.type
        if self.choices:
            made["enum"] = list(self.choices)
        names = ("minLength", "maxLength") if self.type == "string" else ("minimum", "maximum")
        bounds = dict(zip(names, (self.minimum, self.maximum), strict=True))
        made |= {name: value for name, value in (bounds | {"default": self.default}).items() if value is not None}
        forms = [{"pattern": text} | ({"format": name} if name else {}) for name, text in self.patterns.items()]
        return made | (forms[0] if len(forms) == 1 else {"anyOf": forms} if forms else {})

    def _range(self) -> str:
        low, high = (None if bound is None else _number(bound) for bound in (self.minimum, self.maximum))
        if low is None:
            return ""
        if self.type == "string":
            return f"{low} to {high}" if high else f"{low} or more"
        return f"from {low} to {high}" if high else f"of {low} or more"


def url(name: str, help: str) -> ApiParameter:
    """An address to fetch from or to send to."""
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
    """The key that says which kind of task an object is."""
    return ApiParameter("taskType", "string", "What kind of task it is.", required=True, choices=(name,))


def uuid(name: str, help: str, required: bool = True) -> ApiParameter:
    """A UUID of version 4, RFC 9562."""
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
