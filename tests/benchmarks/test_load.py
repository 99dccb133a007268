"""The loading benchmark on a small file: its measurements and its report."""

from __future__ import annotations

import importlib
import re
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="the benchmark reads memory from /proc"),
]

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "load.py"
PARAMETERS = 65_403_654


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("benchmark")
    (folder / "work").mkdir()
    command = [sys.executable, SCRIPT, "--tiny", "--report", folder / "report", "--folder", folder / "work"]
    process = subprocess.run(command, capture_output=True, text=True, timeout=900)
    assert process.returncode == 0, process.stderr
    assert not list((folder / "work").iterdir()), "the checkpoint is deleted afterwards"
    (path,) = (folder / "report").iterdir()
    assert path.name == "load.md"
    assert re.match(r"# Loading a checkpoint, \d{4}-\d\d-\d\d\n", path.read_text())
    return path.read_text()


@pytest.fixture(scope="module")
def rows(report: str) -> dict[str, dict[str, float]]:
    """The table by case and column; memory in GB."""
    lines = [line.strip("| ").split(" | ") for line in report.splitlines() if line.startswith("| ")]
    head, *body = lines
    assert head[0] == "case"
    numbers = [[float(cell.replace(",", "")) for cell in cells] for _, *cells in body]
    return {cells[0]: dict(zip(head[1:], row, strict=True)) for cells, row in zip(body, numbers, strict=True)}


def test_ratio_is_the_peak_over_the_file(rows):
    for case, row in rows.items():
        assert row["peak / file"] == pytest.approx(row["peak GB"] / row["file GB"], rel=0.01), case
        assert row["peak GB"] >= row["baseline GB"], case


def test_every_parameter_is_written_and_loaded(rows):
    for case, row in rows.items():
        size = 4 if "shards" in case else 2
        assert row["parameters"] == PARAMETERS
        assert row["file GB"] == pytest.approx(size * PARAMETERS / 1e9, rel=0.01)


def growth(row: dict[str, float]) -> float:
    """Memory that the load took at its peak, over the size of the file."""
    return (row["peak GB"] - row["baseline GB"]) / row["file GB"]


def test_peaks_include_what_was_read_and_what_was_copied(rows):
    unread = rows["bf16 for a GPU, not read"]
    assert growth(unread) < 0.3
    for case in ("bf16 for a GPU", "bf16 for a GPU, file in the page cache"):
        assert 0.95 < growth(rows[case]) < 1.3, case
        # Mapped, not copied: reading adds nothing that the system can't reclaim.
        assert rows[case]["copied GB"] == pytest.approx(unread["copied GB"], abs=0.02), case
    for case, files in {"bf16 for the CPU": 0.9, "bf16 file as fp16 for a GPU": 1.1}.items():
        copied = rows[case]["copied GB"] - unread["copied GB"]
        assert copied / rows[case]["file GB"] > files, case
    # Copied weights are not mapped at the same time.
    assert growth(rows["bf16 for the CPU"]) < 1.3


def test_report_names_the_tiny_network_and_the_machine(report):
    assert "tiny network" in report and "target" not in report
    assert re.search(r"^Machine: .+ cores, .+ GB of memory, .*torch \d.*safetensors \d", report, re.MULTILINE)
    assert str(SCRIPT.parents[1]) not in report


@pytest.mark.parametrize(("ratio", "verdict"), [(1.149, "1.149, target at most 1.15: met"), (1.2, "missed")])
def test_verdict_covers_the_cases_with_a_target(monkeypatch, ratio, verdict):
    monkeypatch.syspath_prepend(SCRIPT.parent)
    load = importlib.import_module("load")
    file = 10_000
    cases = {load.GPU: ratio, load.CPU: 1.1, load.FP16: 3.0}
    rows = [load.Row(case, file, load.Load(1, 1.0, 1, round(peak * file), 1, 1)) for case, peak in cases.items()]
    assert verdict in load.report(rows, tiny=False)
