"""The solver benchmark on few frames: its numbers and its report."""

from __future__ import annotations

import importlib
import math
import re
import subprocess
import sys
from itertools import pairwise
from pathlib import Path
from types import ModuleType

import pytest
import torch

from acestep_xl.model import context, random_network
from acestep_xl.model.predictor import Predictor
from acestep_xl.model.prompt import Metadata, Prompt, instruction
from acestep_xl.sampler.schedule import SCHEDULES
from acestep_xl.sampler.solver import SOLVERS

pytest.importorskip("matplotlib", reason="the benchmark draws its chart with matplotlib")
pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / "benchmarks" / "solvers.py"
SOLVER_NAMES = {name for name, kind in SOLVERS.items() if not kind.stochastic}
SCHEDULE_NAMES = set(SCHEDULES) - {"custom"}
LINEAR = {("linear", name) for name in SOLVER_NAMES}
EVERY = {(schedule, name) for schedule in SCHEDULE_NAMES for name in SOLVER_NAMES}

Table = dict[tuple[str, str], dict[str, str]]


def tables(page: str) -> dict[str, Table]:
    """The tables of distances by heading, with their cells by schedule, solver and evaluations."""
    result: dict[str, Table] = {}
    for section in page.split("\n## ")[1:]:
        lines = [line.strip("| ").split(" | ") for line in section.splitlines() if line.startswith("| ")]
        if lines and lines[0][:2] == ["schedule", "solver"]:
            columns = lines[0][2:]
            result[section.splitlines()[0]] = {
                (schedule, name): dict(zip(columns, cells, strict=True)) for schedule, name, *cells in lines[1:]
            }
    return result


def number(cell: str) -> float:
    return float(cell.strip("*"))


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("benchmark")
    command = [sys.executable, SCRIPT, "--tiny", "--report", folder / "report"]
    process = subprocess.run(command, capture_output=True, text=True, timeout=900)
    assert process.returncode == 0, process.stderr
    (path,) = (folder / "report").iterdir()
    assert path.name == "solvers.md"
    assert re.match(r"# Solvers and schedules, \d{4}-\d\d-\d\d\n", path.read_text())
    chart = folder / "report" / re.findall(r"\]\((.+\.png)\)", path.read_text())[0]
    assert chart.read_bytes().startswith(b"\x89PNG")
    return path.read_text()


@pytest.fixture
def runs(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(SCRIPT.parent)
    return importlib.import_module("solver_runs")


def test_every_solver_is_on_every_schedule(page):
    written = tables(page)
    assert {title: set(table) for title, table in written.items()} == {
        "Smoothed network, guidance 1": LINEAR,
        "Smoothed network, guidance 4": LINEAR,
        "Random network, guidance 1": EVERY,
        "Random network, guidance 4": EVERY,
        "Random network, APG 7": LINEAR,
    }
    for title, table in written.items():
        for row in table.values():
            assert list(row) == ["4", "16", *(["order"] if title.startswith("Smoothed") else [])]
            assert all(0 < number(cell) < math.inf for cell in row.values())


def test_smallest_of_a_column_is_bold(page):
    for title, table in tables(page).items():
        for column in ("4", "16"):
            cells = [row[column] for row in table.values()]
            low = min(map(number, cells))
            bold = [number(cell) for cell in cells if cell.startswith("**")]
            assert bold and set(bold) == {low}, (title, column)


# Distances of order p fall by 4^p; half of that allows for runs of a single step.
@pytest.mark.parametrize(("name", "factor"), [("heun", 8), ("midpoint", 8), ("rk4", 8), ("euler", 3)])
def test_more_evaluations_come_closer(page, name, factor):
    for scale in (1, 4):
        row = tables(page)[f"Smoothed network, guidance {scale}"]["linear", name]
        assert number(row["4"]) > factor * number(row["16"])
        assert number(row["order"]) == pytest.approx(math.log(number(row["4"]) / number(row["16"]), 4), abs=0.06)


def run_by_hand(scale: float, steps: int, *, heun: bool) -> torch.Tensor:
    """The smoothed run without the sampler: shift 3, guidance and solver written out."""
    network, encoder, _ = random_network.load()
    text = "warm electric piano over a slow drum loop"
    states = encoder.encode([Prompt(text, "[Instrumental]", "en", Metadata(), instruction("text2music"))])
    with torch.no_grad():
        frequencies = 1000 * 10000 ** (-torch.arange(128) / 128)
        slow = (frequencies <= 2 * math.pi).repeat(2)
        network.decoder.time_embed.linear_1.weight *= slow
        condition = network.encoder(
            states.caption, states.caption_mask, states.lyrics, states.lyrics_mask, network.silent_reference(), [0]
        )
    predictor = Predictor(network, condition, context.text_to_music(network, 10))

    def velocity(x: torch.Tensor, t: float) -> torch.Tensor:
        cond, uncond = predictor(x, t, unconditional=True)
        assert uncond is not None
        return uncond + scale * (cond - uncond)

    x = torch.randn(1, 10, 64, generator=torch.Generator().manual_seed(7))
    levels = [3 * u / (1 + 2 * u) for u in (1 - i / steps for i in range(steps + 1))]
    for t, t_next in pairwise(levels):
        v = velocity(x, t)
        if heun:
            v = (v + velocity(x - (t - t_next) * v, t_next)) / 2
        x = x - (t - t_next) * v
    return x


def test_distance_equals_the_one_computed_by_hand(page, runs):
    reference = run_by_hand(4.0, 100, heun=True)
    expected = (run_by_hand(4.0, 16, heun=False) - reference).square().mean().sqrt() / reference.square().mean().sqrt()
    row = tables(page)["Smoothed network, guidance 4"]["linear", "euler"]
    assert number(row["16"]) == pytest.approx(float(expected), rel=0.03)
    # The reference itself is that solution.
    (run,) = [run for run in runs.TINY.references(smooth=True) if run.scale == 4]
    assert runs.distance(runs.final_latent(run, 10), reference.numpy()) < 1e-3


def test_table_of_references(page, runs):
    rows = [line for line in page.splitlines() if "second solution" not in line and line.count("|") == 7]
    lines = [line for line in rows if re.match(r"\| (random|smoothed) \|", line)]
    assert len(lines) == 5
    for line, run in zip(lines, runs.TINY.all_references(), strict=True):
        network, guidance, reference, steps, second, listed = line.strip("| ").split(" | ")
        assert (network, guidance) == ("smoothed" if run.smooth else "random", f"{run.guidance} {run.scale:g}")
        assert (reference, steps, second) == ("ab3, linear", "100", "dpmpp_2m, 100 steps")
        if run.scale != 4:  # saves time
            measured = runs.distance(runs.final_latent(runs.second_reference(run), 10), runs.final_latent(run, 10))
            assert float(listed) == pytest.approx(measured, rel=0.06)


def test_evaluations_are_counted(runs):
    run = runs.Run(False, "cfg", 1.0, "linear", "heun", 6)
    assert run.steps == 3
    runs.final_latent(run, 10)
    with pytest.raises(ValueError, match="took 6 evaluations"):  # heun can't make an odd number
        runs.final_latent(runs.replace(run, evaluations=7), 10)


def test_page_names_the_tiny_plan_and_the_machine(page):
    assert "only tests the benchmark" in page
    assert re.search(r"^Machine: .+ Python 3\.\d+\.\d+, torch \d", page, re.MULTILINE)
    assert str(ROOT) not in page


def test_published_page_has_every_solver_and_schedule():
    path = ROOT / "docs" / "benchmarks" / "solvers.md"
    published = tables(path.read_text())
    assert (path.parent / "../images/solvers.png").exists()
    for scale in (1, 4, 10):
        table = published[f"Random network, guidance {scale}"]
        assert set(table) == EVERY
        assert all(list(row) == ["8", "16", "32", "64"] for row in table.values())
