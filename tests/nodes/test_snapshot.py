"""Node definitions may only grow, so that saved workflows still open."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from typing import Any

import pytest
from node_snapshot import FILE, losses, snapshot

COMMITTED = json.loads(FILE.read_text("utf-8"))

BEFORE: dict[str, Any] = {
    "Node": {
        "required": [{"name": "audio", "type": "AUDIO"}, {"name": "scale", "type": "FLOAT", "min": 1.0, "max": 30.0}],
        "optional": [{"name": "kind", "type": "COMBO", "choices": ["apg", "cfg"]}],
        "hidden": ["prompt"],
        "outputs": [["AUDIO", "audio"]],
        "output_node": True,
    }
}


def test_nothing_is_lost_since_the_committed_snapshot() -> None:
    assert losses(COMMITTED, snapshot()) == []


def test_the_committed_snapshot_is_current() -> None:
    assert snapshot() == COMMITTED, "run python docs/generate/node_snapshot.py --write"


def changed(change: Callable[[dict[str, Any]], Any]) -> dict[str, Any]:
    after = copy.deepcopy(BEFORE)
    change(after["Node"])
    return after


GROWTH: dict[str, Callable[[dict[str, Any]], Any]] = {
    "an optional input at the end": lambda n: n["optional"].append({"name": "new", "type": "INT", "min": 0, "max": 1}),
    "an output at the end": lambda n: n["outputs"].append(["STRING", "text"]),
    "a choice": lambda n: n["optional"][0]["choices"].insert(0, "adg"),
    "a wider range": lambda n: n["required"][1].update(min=0.0, max=100.0),
    "no limits": lambda n: [n["required"][1].pop(key) for key in ("min", "max")],
    "a hidden input": lambda n: n["hidden"].append("unique_id"),
}
LOSS: dict[str, tuple[Callable[[dict[str, Any]], Any], str]] = {
    "input renamed": (lambda n: n["required"][0].update(name="sound"), "required inputs were audio, scale"),
    "input moved": (lambda n: n["required"].reverse(), "are scale, audio"),
    "input new and required": (lambda n: n["required"].append({"name": "b", "type": "INT"}), "are audio, scale, b"),
    "optional input in front": (lambda n: n["optional"].insert(0, {"name": "b", "type": "INT"}), "began with kind"),
    "optional input gone": (lambda n: n["optional"].clear(), "are none"),
    "another type": (lambda n: n["required"][1].update(type="INT"), "scale was FLOAT, is INT"),
    "a choice gone": (lambda n: n["optional"][0]["choices"].remove("cfg"), "kind no longer offers cfg"),
    "a higher floor": (lambda n: n["required"][1].update(min=2.0), "scale began at 1.0"),
    "a lower ceiling": (lambda n: n["required"][1].update(max=20.0), "scale went to 30.0"),
    "an output gone": (lambda n: n["outputs"].clear(), "outputs began with"),
    "a hidden input gone": (lambda n: n["hidden"].clear(), "hidden inputs ['prompt'] are gone"),
    "no longer an output node": (lambda n: n.update(output_node=False), "it was an output node"),
}


@pytest.mark.parametrize("change", GROWTH.values(), ids=GROWTH)
def test_growth_is_allowed(change: Callable[[dict[str, Any]], Any]) -> None:
    assert changed(change) != BEFORE
    assert losses(BEFORE, changed(change)) == []
    assert losses(BEFORE, {**BEFORE, "Another": BEFORE["Node"]}) == []


@pytest.mark.parametrize(("change", "expected"), LOSS.values(), ids=LOSS)
def test_every_kind_of_loss_is_reported(change: Callable[[dict[str, Any]], Any], expected: str) -> None:
    (message,) = losses(BEFORE, changed(change))
    assert message.startswith("Node: ") and expected in message


def test_a_missing_node_is_reported() -> None:
    assert losses(BEFORE, {}) == ["node Node is gone"]
