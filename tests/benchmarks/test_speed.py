"""The speed benchmark in its smallest form: it runs both networks and reports the results."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import pytest
import torch

pytest.importorskip("diffusers", reason="the benchmark measures diffusers too")
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def benchmark() -> Iterator[ModuleType]:
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(Path(__file__).parents[2] / "benchmarks"))
        yield importlib.import_module("speed")
    for name in ("speed", "speed_page", "reports", "rivals", "machine"):
        sys.modules.pop(name, None)


def test_both_networks_run_and_agree(benchmark: ModuleType) -> None:
    plan = replace(benchmark.TINY_PLAN, songs=((4.0, 2),))
    pair = benchmark.make_rivals("tiny", 2, torch.float32, torch.device("cpu"))
    rows = benchmark.steps_of(pair, "tiny", plan, 1e9, torch.device("cpu"))
    assert [(row.duration, row.batch, row.guided) for row in rows] == [(4.0, 2, True), (4.0, 2, False)]
    for row in rows:
        assert row.difference < 1e-5 and row.ours > 0 and row.theirs > 0 and row.compiled is None
        assert row.limit == benchmark.required_operations(pair.config, 50, 2, row.guided) / 1e9


def test_counts_of_arithmetic(benchmark: ModuleType) -> None:
    """A guided step takes at most twice as long as an unguided one, so guiding half a run saves at most a quarter. The
    first layer, which both halves share, weighs less among more layers."""
    pair = benchmark.make_rivals("tiny", 2, torch.float32, torch.device("cpu"))
    few, all_layers = (
        float(part.split()[0])
        for part in benchmark._count(pair.config, 4.0, benchmark._half_guided_over_guided).split(", ")
    )
    assert 0.75 < all_layers < few < 1
    assert benchmark._diffusers_over_required(pair.config, 50) > 1


def test_the_report_names_missed_targets(benchmark: ModuleType, tmp_path: Path) -> None:
    rows = [benchmark.Row("XL", 60.0, 1, guided, 2.0, 2.4, None, 1.5, 1e-6) for guided in (True, False)]
    assert benchmark._judge(rows[0].ratio, benchmark.TARGET, least=True) == "1.200, target at least 1.25: MISSED"
    assert benchmark._judge(1.04, benchmark.SHARE_TARGET, least=False) == "1.040, target at most 1.1: met"
    page = benchmark.report(rows, {"guided step": "1.200: MISSED"}, 3, 2, torch.device("cpu"))
    assert "| XL | 60 s | 1 | on | 2.000 | 2.400 |  | 1.20 | 75% | 1e-06 |" in page
    assert "- guided step: 1.200: MISSED" in page and "2 layers of each size" in page
    benchmark.chart(rows, tmp_path / "images" / "speed.png")
    assert (tmp_path / "images" / "speed.png").read_bytes().startswith(b"\x89PNG")


def test_a_song_that_is_not_in_the_plan_is_refused(benchmark: ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        benchmark.main(["--tiny", "--durations", "77"])
    assert "--durations: choose among 10, 30" in capsys.readouterr().err
