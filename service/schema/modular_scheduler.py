"""advancedFeatures.modularScheduler, judged by the node that will read it."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import Any

from ...parameters import ids
from ...runner.node_table import NodeTable

NAME = "advancedFeatures.modularScheduler"
MOST_ENTRIES = 1000  # of one list or object; a legal recipe has no more than 301


def problems(value: object) -> Iterator[tuple[str, str]]:
    """What is wrong with a scheduler: the dotted name of the part to blame, and a message that starts with it."""
    for name, size in _sizes(value):
        if size > MOST_ENTRIES:
            yield name, f"{name} has {size} entries, more than any scheduler needs; {MOST_ENTRIES} are the limit"
            return
    for path, message in _node().problems(value):
        # The node says modularScheduler, as the root of what it reads.
        _, _, rest = path.partition(".")
        yield (f"{NAME}.{rest}" if rest else NAME), f"advancedFeatures.{message}"


def schema() -> dict[str, Any]:
    """JSON Schema of the object or name."""
    return _node().schema()


def _sizes(value: object) -> Iterator[tuple[str, int]]:
    if isinstance(value, (dict, list)):
        yield NAME, len(value)
    for part in value.values() if isinstance(value, dict) else ():
        for inner in (part, *part.values()) if isinstance(part, dict) else (part,):
            if isinstance(inner, (dict, list)):
                yield NAME, len(inner)


@cache
def _node() -> Any:
    spec = NodeTable.shipped().spec(ids.RECIPE)
    assert spec is not None, f"the node table has no {ids.RECIPE}"
    return spec.node_class
