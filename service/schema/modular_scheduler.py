"""advancedFeatures.modularScheduler, validated by the node that will read it."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import Any

from ...parameters import ids
from ...runner.node_table import NodeTable

NAME = "advancedFeatures.modularScheduler"
MAX_ENTRIES = 1000  # of one list or object; a valid scheduler has at most 301


def problems(value: object) -> Iterator[tuple[str, str]]:
    """The problems of a scheduler: the dotted name of the part that is wrong, and a message that starts with it."""
    for name, size in _sizes(value):
        if size > MAX_ENTRIES:
            yield name, f"{name} has {size} entries, more than any scheduler needs; the limit is {MAX_ENTRIES}"
            return
    for path, message in _node().problems(value):
        # The node's names and messages start with "modularScheduler".
        _, _, rest = path.partition(".")
        yield (f"{NAME}.{rest}" if rest else NAME), f"advancedFeatures.{message}"


def schema() -> dict[str, Any]:
    """JSON Schema of the object or name."""
    return _node().schema()


def _sizes(value: object) -> Iterator[tuple[str, int]]:
    if isinstance(value, (dict, list)):
        yield NAME, len(value)
    for part in value.values() if isinstance(value, dict) else ():
        for item in (part, *part.values()) if isinstance(part, dict) else (part,):
            if isinstance(item, (dict, list)):
                yield NAME, len(item)


@cache
def _node() -> Any:
    spec = NodeTable.shipped().spec(ids.RECIPE)
    assert spec is not None, f"the node table has no {ids.RECIPE}"
    return spec.node_class
