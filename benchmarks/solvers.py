"""Accuracy of solvers per evaluation: `python benchmarks/solvers.py [--tiny] [--report FOLDER]`.

Runs the random network with every deterministic solver on every schedule, and writes `solvers.md` and a chart
(`../images/solvers.png`, relative to the report). Needs matplotlib, no GPU and no model files; takes about 5 minutes on
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
import reports
import torch
from solver_runs import (
    DETERMINISTIC,
    FORMULAS,
    FULL,
    TINY,
    Latents,
    Plan,
    Run,
    distance,
    runs_to_compare,
    second_reference,
    solve,
    velocity_change,
)

from acestep_xl import parameters


def distance_table(reference: Run, latents: Latents, plan: Plan) -> str:
    """Distances to the reference by schedule and solver, the smallest of each column in bold.

    For the smoothed network also the order of convergence between the last two columns.
    """
    runs, columns = runs_to_compare(reference, plan.budgets), len(plan.budgets)
    values = [distance(latents[run], latents[reference]) for run in runs]
    least = [min(values[column::columns]) for column in range(columns)]
    head = ["schedule", "solver", *map(str, plan.budgets), *(["order"] if reference.smooth else [])]
    rows = []
    for i in range(0, len(runs), columns):
        distances = values[i : i + columns]
        cells = [f"**{v:.3g}**" if v == low else f"{v:.3g}" for v, low in zip(distances, least, strict=True)]
        if reference.smooth:
            cells.append(f"{math.log(distances[-2] / distances[-1], plan.budgets[-1] / plan.budgets[-2]):.1f}")
        rows.append([runs[i].schedule, runs[i].solver, *cells])
    return reports.table(head, rows)


def reference_table(latents: Latents, plan: Plan) -> str:
    """The references, and their distance to a second solution with as many evaluations."""
    rows = []
    for run in plan.all_references():
        second = second_reference(run)
        rows.append(
            (
                "smoothed" if run.smooth else "random",
                f"{run.guidance} {run.scale:g}",
                f"{run.solver}, {run.schedule}",
                str(run.steps),
                f"{second.solver}, {second.steps} steps",
                f"{distance(latents[second], latents[run]):.2g}",
            )
        )
    return reports.table(("network", "guidance", "reference", "steps", "second solution", "its distance"), rows)


def best_table(latents: Latents, plan: Plan) -> str:
    """The smallest distance for each scale and number of evaluations, beside that of the official settings."""
    rows = []
    for reference in plan.references():
        for budget in plan.budgets:
            runs = runs_to_compare(reference, (budget,))
            distances = {run: distance(latents[run], latents[reference]) for run in runs}
            best = min(distances, key=lambda run: distances[run])
            official = distances[replace(reference, solver="euler", evaluations=budget)]
            settings = f"{best.solver}, {best.schedule}"
            rows.append((f"{best.scale:g}", str(budget), f"{distances[best]:.3g}", settings, f"{official:.3g}"))
    return reports.table(("guidance", "evaluations", "smallest", "with", "euler, linear"), rows)


HOW_TO_READ = """\
Each cell is the distance of the final latent to the reference: the root mean square of their difference over that of
the reference; 0.01 is one percent. Columns are evaluations of the guided velocity per run; heun and midpoint use two
per step and rk4 four, so they take half and a quarter as many steps. With guidance above 1 an evaluation is two calls
of the network. The smallest value of a column is bold. Differences smaller than the distance in the table of references
are not significant.

All runs: the random network in float32 on the CPU, one prompt, one seed, a song of {seconds:g} s, classifier-free
guidance unless stated otherwise, schedules with their default settings. Solvers that add noise are left out: they do
not converge to this solution, and at eta 0 euler_ancestral and sde are euler, and dpmpp_2m_sde is dpmpp_2m."""
CHART = """\
![Distance against evaluations: solvers and schedules, with guidance.](../images/solvers.png)

Both axes are logarithmic: a solver of order p falls by a factor of 2^p from one tick to the next. The first row is the
smoothed network (see below) with its own scale, the other two are the random network."""
ROUGH = """\
The random network has random weights, and its velocity is rough in the level: when the level falls from 0.5 by 1/64 and
the latent stays the same, the velocity changes by {wide:.0%}, and still by {narrow:.0%} when it falls by 1/1000. With
up to {most} evaluations most steps are longer than that, and no solver's order shows. The smoothed network is the same
network without the features of its time embedding that turn more than once in a run. Its velocity changes by {slow:.1%}
over 1/64, and there the orders show. The last column of its tables is the order of convergence between the two columns
before it, which not every solver has reached by then. How smooth a trained network is was not measured, and nothing
here says how a song sounds.

The smallest distances on the random network, beside the official solver and schedule with as many evaluations:"""
TRUST = """\
The runs that the others are compared with, one per network and guidance. The second solution has as many evaluations
with another solver; its distance bounds the accuracy of the reference."""
MEMORY = """\
APG accumulates the guidance of earlier steps, once per step, so the problem itself depends on the number of steps: a
solver's order does not hold, and a solver with several evaluations per step has fewer steps to accumulate. The distance
is to the run with the most steps, not to a solution to which all of them converge."""


def report(latents: Latents, plan: Plan) -> str:
    """The report as Markdown."""
    tiny = plan is TINY
    rough = ROUGH.format(
        wide=velocity_change(False, plan.frames, 1 / 64),
        narrow=velocity_change(False, plan.frames, 1 / 1000),
        slow=velocity_change(True, plan.frames, 1 / 64),
        most=max(plan.budgets),
    )
    results = "A tiny plan was run, which only tests the benchmark." if tiny else rough
    parts = [
        f"# Solvers and schedules, {date.today()}",
        "The distance of runs with few evaluations to one with very many.",
        HOW_TO_READ.format(seconds=plan.frames / parameters.FRAME_RATE),
        CHART,
        "## Results",
        results,
        best_table(latents, plan),
        "## References",
        TRUST,
        reference_table(latents, plan),
    ]
    for reference in plan.references(smooth=True):
        parts += [f"## Smoothed network, guidance {reference.scale:g}", distance_table(reference, latents, plan)]
    for reference in plan.references():
        parts += [f"## Random network, guidance {reference.scale:g}", distance_table(reference, latents, plan)]
    for reference in plan.references(guidance="apg"):
        parts += [f"## Random network, APG {reference.scale:g}", MEMORY, distance_table(reference, latents, plan)]
    return "\n\n".join([*parts, machine()]) + "\n"


def machine() -> str:
    """The machine, without its host name."""
    return (
        f"Machine: {platform.machine()} CPU ({torch.backends.cpu.get_cpu_capability()}), {platform.system()}, one "
        f"thread per run; Python {platform.python_version()}, torch {torch.__version__}, numpy {np.__version__}."
    )


def chart(latents: Latents, plan: Plan, path: Path) -> None:
    """Plot distance against evaluations: solvers on the linear schedule, smoothed and not, and schedules with euler."""
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
                values = [distance(latents[run], latents[reference]) for run in runs]
                label = name if schedule == "linear" and len(lines) == len(DETERMINISTIC) else schedule
                axis.plot(plan.budgets, values, "osv^D<>Pp"[i], ls="-", color=f"C{i}", lw=1.2, ms=5, label=label)
            axis.set(xscale="log", yscale="log", xticks=plan.budgets, xticklabels=plan.budgets)
            axis.minorticks_off()
            axis.yaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
            if not reference.smooth:  # less than two decades, where ticks at 0.1 and 0.01 are too few
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
    parser.add_argument("--tiny", action="store_true", help="test the benchmark with few frames, scales and budgets")
    reports.add_option(parser)
    options = parser.parse_args(arguments)
    if importlib.util.find_spec("matplotlib") is None:
        parser.error("the chart needs matplotlib, which is not installed: pip install matplotlib")
    plan = TINY if options.tiny else FULL
    latents = solve(plan)
    chart(latents, plan, options.report.parent / "images" / "solvers.png")
    reports.write(options.report, "solvers", report(latents, plan))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
