"""How close a solver comes for its evaluations: `python benchmarks/solvers.py [--tiny] [--report FOLDER]`.

Runs the random network with every deterministic solver on every schedule, and writes a dated report and a chart
(`../images/solvers.png`, seen from the report). Needs matplotlib, no GPU and no model files; takes about 5 minutes on
two cores.
"""

from __future__ import annotations

import argparse
import importlib.util
import math
import platform
import sys
from dataclasses import replace
from datetime import date
from pathlib import Path

import numpy as np
import torch
from solver_runs import DETERMINISTIC, FORMULAS, FULL, TINY, Ends, Plan, Run, change, compared, distance, second, solve

from acestep_xl import parameters


def table(reference: Run, ends: Ends, plan: Plan) -> str:
    """Distances to the reference, a line per schedule and solver; the smallest of each column in bold. Of the smoothed
    network also the order at which they fall at last."""
    runs, columns = compared(reference, plan.budgets), len(plan.budgets)
    values = [distance(ends[run], ends[reference]) for run in runs]
    least = [min(values[column::columns]) for column in range(columns)]
    heads = ["schedule", "solver", *map(str, plan.budgets), *(["order"] if reference.smooth else [])]
    lines = [f"| {' | '.join(heads)} |", "|---" * len(heads) + "|"]
    for i in range(0, len(runs), columns):
        row = values[i : i + columns]
        cells = [f"**{v:.3g}**" if v == low else f"{v:.3g}" for v, low in zip(row, least, strict=True)]
        if reference.smooth:
            cells.append(f"{math.log(row[-2] / row[-1], plan.budgets[-1] / plan.budgets[-2]):.1f}")
        lines.append(f"| {runs[i].schedule} | {runs[i].solver} | {' | '.join(cells)} |")
    return "\n".join(lines)


def reference_table(ends: Ends, plan: Plan) -> str:
    """What the others are compared with, and how far a second solution with as many evaluations is from it."""
    lines = ["| network | guidance | reference | steps | second solution | its distance |", "|---|---|---|---|---|---|"]
    for run in plan.every_reference():
        other = second(run)
        apart = distance(ends[other], ends[run])
        network = "smoothed" if run.smooth else "random"
        lines.append(
            f"| {network} | {run.guidance} {run.scale:g} | {run.solver}, {run.schedule} | {run.steps} | "
            f"{other.solver}, {other.steps} steps | {apart:.2g} |"
        )
    return "\n".join(lines)


def best_table(ends: Ends, plan: Plan) -> str:
    """For every scale and number of evaluations: the smallest distance, and that of the official way."""
    lines = ["| guidance | evaluations | smallest | with | euler, linear |", "|---|---|---|---|---|"]
    for reference in plan.references():
        for budget in plan.budgets:
            apart = {run: distance(ends[run], ends[reference]) for run in compared(reference, (budget,))}
            run = min(apart, key=lambda run: apart[run])
            plain = apart[replace(reference, solver="euler", evaluations=budget)]
            with_ = f"{run.solver}, {run.schedule}"
            lines.append(f"| {run.scale:g} | {budget} | {apart[run]:.3g} | {with_} | {plain:.3g} |")
    return "\n".join(lines)


HOW_TO_READ = """\
Each cell is the distance of the final latent to the reference: the root mean square of their difference over that of
the reference. 0.01 is one percent. Columns are evaluations of the guided velocity per run; heun and midpoint use two
per step and rk4 four, so they take half and a quarter of the steps of the others. With guidance above 1 an evaluation
is two calls of the network. The smallest value of a column is bold. A difference between two cells that is smaller than
the distance in the table of references means nothing.

All runs: the random network in float32 on the CPU, one prompt, one seed, a song of {seconds:g} s, classifier-free
guidance unless said otherwise, every setting of a schedule at its default. Solvers that add noise are left out: they do
not approach this solution, and at eta 0 euler_ancestral and sde are euler, and dpmpp_2m_sde is dpmpp_2m."""
CHART = """\
![Distance against evaluations: solvers and schedules, with guidance.](../images/solvers.png)

Both axes are logarithmic: a solver of order p falls by the factor 2^p from one tick to the next. The first row is the
smoothed network (see below), the other two the random network; the scale of the first is its own."""
ROUGH = """\
The random network has random weights, and its velocity is rough in the level: when the level falls from 0.5 by 1/64 and
the latent stays, the velocity changes by {wide:.0%}, and still by {narrow:.0%} when it falls by 1/1000. With up to
{most} evaluations most steps are longer than that, and no solver's order shows. The smoothed network is the same one
without those features of its time embedding that turn more than once in a run. Its velocity changes by {slow:.1%} over
1/64, and there orders can be seen. The last column of its tables is the power of the evaluations with which the
distance falls between the two columns before it; not every solver has settled at its order by then. How smooth a
trained network is was not measured, and nothing here says how a song sounds.

The smallest distances on the random network, beside the official solver and schedule with as many evaluations:"""
TRUST = """\
What the runs are compared with, one per network and guidance. The second solution spends as many evaluations with
another solver; its distance bounds what the reference can tell apart."""
MEMORY = """\
APG adds up the guidance of earlier steps, once per step. So what it solves depends on the steps: another number of
them is another problem, a solver's order does not hold, and one with several evaluations per step has fewer steps to
add up. The distance is to the run of the most steps, not to a solution that all of them approach alike."""


def report(ends: Ends, plan: Plan) -> str:
    """The report as Markdown."""
    tiny = plan is TINY
    rough = ROUGH.format(
        wide=change(False, plan.frames, 1 / 64),
        narrow=change(False, plan.frames, 1 / 1000),
        slow=change(True, plan.frames, 1 / 64),
        most=max(plan.budgets),
    )
    found = "A tiny plan was run, which tests this benchmark and measures nothing." if tiny else rough
    parts = [
        f"# Solvers and schedules, {date.today()}",
        "How far a run of few evaluations ends from one of very many.",
        HOW_TO_READ.format(seconds=plan.frames / parameters.FRAME_RATE),
        CHART,
        "## What was found",
        found,
        best_table(ends, plan),
        "## References",
        TRUST,
        reference_table(ends, plan),
    ]
    for reference in plan.references(smooth=True):
        parts += [f"## Smoothed network, guidance {reference.scale:g}", table(reference, ends, plan)]
    for reference in plan.references():
        parts += [f"## Random network, guidance {reference.scale:g}", table(reference, ends, plan)]
    for reference in plan.references(guidance="apg"):
        parts += [f"## Random network, APG {reference.scale:g}", MEMORY, table(reference, ends, plan)]
    return "\n\n".join([*parts, machine()]) + "\n"


def machine() -> str:
    """What the numbers were computed on, without its name."""
    return (
        f"Machine: {platform.machine()} CPU ({torch.backends.cpu.get_cpu_capability()}), {platform.system()}, one "
        f"thread per run; Python {platform.python_version()}, torch {torch.__version__}, numpy {np.__version__}."
    )


def chart(ends: Ends, plan: Plan, path: Path) -> None:
    """Distance against evaluations: solvers on the linear schedule, smoothed and not, and schedules with euler."""
    from matplotlib.figure import Figure
    from matplotlib.ticker import LogLocator, StrMethodFormatter

    rows = [
        ("smoothed network, linear", plan.references(smooth=True), [("linear", name) for name in DETERMINISTIC]),
        ("random network, linear", plan.references(), [("linear", name) for name in DETERMINISTIC]),
        ("random network, euler", plan.references(), [(name, "euler") for name in FORMULAS]),
    ]
    figure = Figure(figsize=(13, 11), layout="constrained")
    grid = figure.subplots(len(rows), len(plan.scales), sharex=True, sharey="row", squeeze=False)
    for axes, (title, references, lines) in zip(grid, rows, strict=True):
        for axis, reference in zip(axes, references, strict=True):
            axis.set_title(f"{title}, guidance {reference.scale:g}", fontsize=10)
            for i, (schedule, name) in enumerate(lines):
                runs = [replace(reference, schedule=schedule, solver=name, evaluations=n) for n in plan.budgets]
                values = [distance(ends[run], ends[reference]) for run in runs]
                label = name if schedule == "linear" and len(lines) == len(DETERMINISTIC) else schedule
                axis.plot(plan.budgets, values, "osv^D<>Pp"[i], ls="-", color=f"C{i}", lw=1.2, ms=5, label=label)
            axis.set(xscale="log", yscale="log", xticks=plan.budgets, xticklabels=plan.budgets)
            axis.minorticks_off()
            axis.yaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
            if not reference.smooth:  # less than two decades, where ticks at 0.1 and 0.01 alone say little
                axis.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
            axis.grid(alpha=0.3)
        axes[0].set_ylabel("distance to the reference")
        axes[-1].legend(fontsize=9, loc="center left", bbox_to_anchor=(1, 0.5))
    for axis in grid[-1]:
        axis.set_xlabel("evaluations")
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=100)


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(description="Distance to the solution against evaluations, on the random network.")
    parser.add_argument("--tiny", action="store_true", help="few frames, scales and budgets: tests the benchmark")
    parser.add_argument("--report", type=Path, default=Path(__file__).parents[1] / "docs" / "benchmarks")
    options = parser.parse_args(arguments)
    if importlib.util.find_spec("matplotlib") is None:
        parser.error("matplotlib draws the chart and is not installed: pip install matplotlib")
    plan = TINY if options.tiny else FULL
    ends = solve(plan)
    options.report.mkdir(parents=True, exist_ok=True)
    chart(ends, plan, options.report.parent / "images" / "solvers.png")
    path = options.report / f"{date.today()}-solvers.md"
    path.write_text(report(ends, plan))
    print(f"report: {path}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
