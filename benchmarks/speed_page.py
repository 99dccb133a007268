"""The report and the chart of `speed.py`."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from pathlib import Path

import diffusers
import torch
from machine import describe, is_single_threaded
from rivals import TOKENS


@dataclass(frozen=True)
class Row:
    """One step of both.

    ours, theirs and, on a GPU, compiled: seconds; limit: seconds of the required operations at the device's measured
    rate; difference: the largest between the velocities, over their largest value.
    """

    size: str
    duration: float
    batch: int
    guided: bool
    ours: float
    theirs: float
    compiled: float | None
    limit: float
    difference: float

    @property
    def ratio(self) -> float:
        return self.theirs / self.ours


HEAD = (
    "| size | song | batch | guidance | ours s | diffusers s | compiled s | ratio | of the limit | difference |\n"
    "|---|---|---|---|---|---|---|---|---|---|"
)


def line(row: Row) -> str:
    compiled = "" if row.compiled is None else f"{row.compiled:.3f} ({row.compiled / row.ours:.2f})"
    cells = (
        row.size,
        f"{row.duration:g} s",
        str(row.batch),
        "on" if row.guided else "off",
        f"{row.ours:.3f}",
        f"{row.theirs:.3f}",
        compiled,
        f"{row.ratio:.2f}",
        f"{row.limit / row.ours:.0%}",
        f"{row.difference:.0e}",
    )
    return f"| {' | '.join(cells)} |"


def chart(rows: list[Row], path: Path) -> None:
    """Draw the ratios as bars, one group for each size."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 4), layout="constrained")
    axis = figure.subplots()
    names = [f"{r.size}\n{r.duration:g} s" + (f" x {r.batch}" if r.batch > 1 else "") for r in rows if r.guided]
    for offset, guided, colour in ((-0.2, True, "#5e81f4"), (0.2, False, "#ffaa5c")):
        ratios = [row.ratio for row in rows if row.guided is guided]
        bars = axis.bar([i + offset for i in range(len(ratios))], ratios, 0.38, color=colour)
        axis.bar_label(bars, [f"{ratio:.2f}" for ratio in ratios], fontsize=8, padding=2)
    axis.axhline(1, color="0.4", lw=1)
    axis.set_xticks(range(len(names)), names, fontsize=8)
    axis.set_ylabel("diffusers' time / ours")
    axis.legend(["as fast", "guided step", "unguided step"], fontsize=8)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)


def report(rows: list[Row], verdicts: dict[str, str], rounds: int, layers: int | None, device: torch.device) -> str:
    """The report as Markdown. layers: of each size, None for all."""
    clock = "processor time of one thread" if is_single_threaded(device) else "wall time"
    depth = "all layers" if layers is None else f"{layers} layers of each size, to fit the machine"
    precision = "bf16 on a GPU" if device.type == "cuda" else "float32 on a CPU"
    lines = "\n".join(f"- {name}: {verdict}" for name, verdict in verdicts.items())
    table = "\n".join([HEAD, *map(line, rows)])
    return f"""# Speed, {date.today()}

This project and diffusers {diffusers.__version__} (eager) with the same random weights, in turns in one process, the
best of {rounds} rounds each (a third as many from 240 s on), {clock}; {precision}; {depth}; a condition of {TOKENS}
tokens.

{lines}

![Ratios](../images/speed.png)

{table}

"Ratio" is diffusers' time over ours. "Of the limit" is the time of the required operations at the measured rate of a
matrix product, over our time; required are the products and the attention that no shortcut avoids. "Difference" is the
largest between the two velocities, over the largest value.

{describe(diffusers)}
"""
