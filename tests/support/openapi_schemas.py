"""The OpenAPI description, and validators of its schemas."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from hypothesis import HealthCheck, settings
from jsonschema import Draft202012Validator, validators

from acestep_xl.service.http import openapi

DOCUMENT = openapi.document()
SCHEMAS = DOCUMENT["components"]["schemas"]
UUID = "a770f077-f413-47de-9dac-be0b26a35da6"
CAREFUL = settings(deadline=None, max_examples=150, suppress_health_check=[HealthCheck.too_slow])


def _pattern(validator: Any, pattern: str, value: Any, schema: Any) -> Iterator[Any]:
    """JSON Schema uses JavaScript's patterns, in which $ matches only at the end of the text."""
    yield from Draft202012Validator.VALIDATORS["pattern"](validator, pattern.replace("$", r"\Z"), value, schema)


def validator(name: str) -> Any:
    """A validator of one of the description's schemas, which resolves its references."""
    kind = validators.extend(Draft202012Validator, {"pattern": _pattern})
    return kind({"$ref": f"#/components/schemas/{name}", "components": DOCUMENT["components"]})
