"""Every section of the card benchmark in its smallest form, so that nothing runs for the first time on a card."""

from __future__ import annotations

import importlib
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch

pytest.importorskip("diffusers", reason="the benchmark measures diffusers too")
BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture(scope="module")
def on_card() -> Iterator[ModuleType]:
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(BENCHMARKS))
        yield importlib.import_module("on_card.command")
    for name in [name for name in sys.modules if name.partition(".")[0] in ("on_card", "rivals", "machine", "reports")]:
        sys.modules.pop(name)


def run(on_card: ModuleType, folder: Path, *sections: str) -> tuple[int, dict[str, Any], str]:
    """Exit code, record and page."""
    record = folder / "record.json"
    code = on_card.main(["--tiny", "--json", str(record), "--sections", *sections])
    assert on_card.main(["--page", str(record), "--report", str(folder)]) == 0
    return code, json.loads(record.read_text()), (folder / "on-card.md").read_text()


@pytest.fixture
def no_compiler(monkeypatch: pytest.MonkeyPatch) -> None:
    """Compiling takes half a minute for each kind of layer; tests of compiled layers do it."""

    def keep(forward: Any, **_options: object) -> Any:
        return forward

    monkeypatch.setattr(torch, "compile", keep)


@pytest.mark.usefixtures("no_compiler")
def test_every_section_runs(on_card: ModuleType, tmp_path: Path) -> None:
    names = list(on_card.SECTIONS)
    code, record, page = run(on_card, tmp_path, *names)
    assert {name: section.get("error") for name, section in record["sections"].items()} == dict.fromkeys(names)
    assert code == 0 and record["left out"] == []
    for name in names:
        assert f"## {name[0].upper()}{name[1:]}" in page
        assert all(seconds > 0 for seconds in _seconds(record["sections"][name]["values"]))
    values = {name: section["values"] for name, section in record["sections"].items()}
    parity = [row["difference"] for name, row in values["parity"].items() if "float32" in name]
    assert len(parity) == 2 and max(parity) < 1e-5
    assert values["decode"]["difference"] < 1e-4
    for name in ("short step", "long step"):
        assert values[name]["difference"] < 1e-5 and values[name]["compiled difference"] < 1e-5
    assert all(gap < 1e-5 for row in values["attention"].values() for gap in row["difference"].values())


def _seconds(values: Any) -> list[float]:
    """All numbers under the keys "seconds" of a section."""
    if not isinstance(values, dict):
        return []
    here = [
        number for key, row in values.items() if key == "seconds" and isinstance(row, dict) for number in row.values()
    ]
    return here + [number for key, row in values.items() if key != "seconds" for number in _seconds(row)]


def test_a_failing_section_costs_only_itself(
    on_card: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_bench: object) -> dict[str, Any]:
        raise RuntimeError("no such kernel")

    monkeypatch.setitem(on_card.SECTIONS, "decode", fail)
    code, record, page = run(on_card, tmp_path, "decode", "rates")
    assert code == 1 and record["sections"]["decode"]["error"] == "RuntimeError: no such kernel"
    assert "values" in record["sections"]["rates"] and "no such kernel" in page


def test_what_starts_after_the_time_is_up_is_named(on_card: ModuleType, tmp_path: Path) -> None:
    record = tmp_path / "record.json"
    code = on_card.main(["--tiny", "--json", str(record), "--minutes", "-1", "--sections", "rates"])
    assert code == 1 and json.loads(record.read_text())["left out"] == ["rates"]
    on_card.main(["--page", str(record), "--report", str(tmp_path)])
    assert "Left out when the time was up: rates." in (tmp_path / "on-card.md").read_text()


def test_targets_are_judged(on_card: ModuleType, tmp_path: Path) -> None:
    seconds = {"ours": 2.0, "diffusers": 3.0, "ours, compiled": 1.5}
    step = {"values": {"seconds": seconds, "operations": 6e12, "difference": 0.01}, "took": 1.0}
    rates = {"values": {"large product": 4e12, "product of 60 s": 4e12, "product of 240 s": 4e12, "copy": 1e12}}
    record = {"machine": "", "note": "", "songs": ["60 s", "240 s"], "left out": []}
    record |= {"sections": {"rates": rates, "short step": step}}
    page = importlib.import_module("on_card.page").page(record)
    assert "diffusers eager over ours eager, 60 s: 1.50, target at least 1.8: MISSED" in page
    assert "diffusers eager over the fastest, ours, compiled, 60 s: 2.00, target at least 1.8: met" in page
    assert "product of this size, ours, 60 s: 0.75, target at least 0.6: met" in page


def test_an_unknown_section_is_refused(on_card: ModuleType) -> None:
    with pytest.raises(ValueError, match="section 'speed' is unknown; allowed: rates, parity"):
        on_card.main(["--tiny", "--sections", "speed"])


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a card")
def test_without_a_card_it_says_so(on_card: ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        on_card.main(["--sections", "rates"])
    assert "there is no card here; --tiny tries the sections on the CPU" in capsys.readouterr().err
