"""The page of a record."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import date
from typing import Any

import reports

GIB = 2**30
Values = Mapping[str, Any]


def page(record: Values) -> str:
    """The record as Markdown: targets, then a table a section; what failed or was left out is named."""
    sections = record["sections"]
    lines = [f"# On a card, {date.today()}", "", INTRODUCTION, "", record["machine"], ""]
    lines += [record["note"], ""] if record["note"] else []
    lines += [f"- {text}" for text in _verdicts(sections, record["songs"])]
    for name, section in sections.items():
        lines += ["", f"## {name[0].upper()}{name[1:]}", ""]
        lines += [_body(name, section)]
    if record["left out"]:
        lines += ["", f"Left out when the time was up: {', '.join(record['left out'])}."]
    return "\n".join(lines) + "\n"


def _body(name: str, section: Values) -> str:
    if "error" in section:
        return f"Failed after {section['took']:g} s: `{section['error'].splitlines()[0]}`"
    return TABLES[name](section["values"])


def _verdicts(sections: Values, songs: list[str]) -> list[str]:
    """A line for each target that was measured. songs: the names of the shorter and the longer one."""
    short, long = songs
    values = {name: section["values"] for name, section in sections.items() if "values" in section}
    lines = []
    for name, seconds in (("short step", short), ("long step", long)):
        if name in values:
            lines += _step_verdicts(values[name], seconds, values.get("rates"))
    for name in ("diffusers compiled by layer", "diffusers compiled whole"):
        if name in values:
            times = values[name]["seconds"]
            lines.append(
                _judge(f"{name} over ours compiled, {short}", times["diffusers"] / times["ours, compiled"], 1.25)
            )
    if "8-bit steps" in values:
        rows = {kind: min(row["seconds"].values()) for kind, row in values["8-bit steps"].items()}
        lines.append(
            _judge("bf16 over fp8 dynamic, the faster way of each", rows["as loaded"] / rows["fp8 dynamic"], 1.5)
        )
    for name, row, target in MEMORY_TARGETS:
        peak = values.get(name, {}).get(row, {}).get(long, {}).get("peak")
        if peak is not None:
            lines.append(_judge(f"peak in GiB at {long}, {row}", peak / GIB, target, most=True))
    return lines


def _step_verdicts(values: Values, seconds: str, rates: Values | None) -> list[str]:
    times = values["seconds"]
    best = min((name for name in times if name.startswith("ours")), key=lambda name: times[name])
    lines = [_judge(f"diffusers eager over ours eager, {seconds}", times["diffusers"] / times["ours"], 1.8)]
    lines.append(_judge(f"diffusers eager over the fastest, {best}, {seconds}", times["diffusers"] / times[best], 1.8))
    if rates is not None:
        rate = rates[f"product of {seconds}"]
        for name in dict.fromkeys(("ours", best)):
            share = values["operations"] / times[name] / rate
            lines.append(_judge(f"share of the measured rate of a product of this size, {name}, {seconds}", share, 0.6))
    return lines


def _judge(name: str, value: float, target: float, most: bool = False) -> str:
    met = value <= target if most else value >= target
    return f"{name}: {value:.2f}, target at {'most' if most else 'least'} {target:g}: {'met' if met else 'MISSED'}"


def _gib(count: int | None) -> str:
    return "not counted" if count is None else f"{count / GIB:.2f}"


def _rates(values: Values) -> str:
    rows = [(name, f"{value / 1e12:.2f} T{'B' if name == 'copy' else 'FLOP'}/s") for name, value in values.items()]
    return reports.table(("", "measured"), rows)


def _parity(values: Values) -> str:
    rows = [(name, f"{row['difference']:.1e}", f"{row['cosine']:.6f}") for name, row in values.items()]
    return reports.table(("official run", "largest difference over the largest value", "cosine"), rows)


def _steps(values: Values) -> str:
    rows = [(name, f"{1000 * seconds:.1f}") for name, seconds in values["seconds"].items()]
    text = reports.table(("guided step", "ms"), rows)
    if "difference" in values:
        operations = f"{values['operations'] / 1e12:.2f} TFLOP"
        text += f"\n\nThe step requires {operations}. Both networks' velocities differ by {values['difference']:.0e}."
    if "compiled difference" in values:
        text += f" Compiled and eager ones differ by {values['compiled difference']:.0e}."
    return text


def _kernels(values: Values) -> str:
    shares = [f"{kind} {1000 * seconds:.1f} ms" for kind, seconds in values["seconds"].items()]
    rows = [(f"`{name}`", str(count), f"{1000 * seconds:.2f}") for name, count, seconds in values["largest"]]
    table = reports.table(("kernel", "launches", "ms"), rows)
    return f"{values['launches']} launches: {', '.join(shares)}.\n\n{table}"


def _weights(values: Values) -> str:
    ways = list(next(iter(values.values()))["seconds"])
    rows = [
        (
            kind,
            *(f"{1000 * row['seconds'][way]:.1f}" for way in ways),
            f"{row['bytes'] / 1e9:.2f}",
            f"{row['cosine']:.5f}",
        )
        for kind, row in values.items()
    ]
    return reports.table(("weights", *(f"{way} ms" for way in ways), "GB", "cosine of the velocity"), rows)


def _adapters(values: Values) -> str:
    rows = []
    for base, row in values.items():
        times = row["seconds"]
        none = times["0 adapters"]
        rows.append((base, *(f"{1000 * seconds:.1f} ({seconds / none:.2f})" for seconds in times.values())))
    head = next(iter(values.values()))["seconds"]
    return reports.table(("weights", *(f"{name}, ms" for name in head)), rows)


def _attention(values: Values) -> str:
    rows = []
    for length, row in values.items():
        for name, seconds in row["seconds"].items():
            gap = row["difference"].get(name)
            rows.append((length, name, f"{1000 * seconds:.3f}", "" if gap is None else f"{gap:.0e}"))
    return reports.table(("song", "attention", "ms", "difference from chunks"), rows)


def _decode(values: Values) -> str:
    rows = [
        (length, name, f"{way['seconds']:.3f}", _gib(way["peak"]))
        for length, row in values.items()
        if isinstance(row, dict)
        for name, way in row.items()
    ]
    table = reports.table(("song", "decoder", "seconds", "peak GiB"), rows)
    return f"{table}\n\nWaveforms differ by {values['difference']:.0e} of the peak."


def _memory(values: Values) -> str:
    rows = [
        (name, length, _gib(row["peak"]), f"{row['estimated work'] / GIB:.2f}", f"{1000 * row['seconds']:.0f}")
        for name, lengths in values.items()
        for length, row in lengths.items()
    ]
    return reports.table(("network", "song", "peak GiB", "estimated beside weights GiB", "step ms"), rows)


INTRODUCTION = (
    "Random weights in the sizes of XL SFT, bf16, one song, guided steps with both halves; medians, in turns. Made by\n"
    "`python benchmarks/on_card` from its record. Differences are shares of the largest value."
)
MEMORY_TARGETS = (
    ("memory", "bf16, on the card", 10.5),
    ("memory in 8 bits", "int8, on the card", 6.5),
    ("memory", "bf16, a card of 4 GiB", 4.0),
)
TABLES: dict[str, Callable[[Values], str]] = {
    "rates": _rates,
    "parity": _parity,
    "short step": _steps,
    "kernels": _kernels,
    "long step": _steps,
    "8-bit steps": _weights,
    "attention": _attention,
    "diffusers compiled by layer": _steps,
    "adapters": _adapters,
    "decode": _decode,
    "memory": _memory,
    "memory in 8 bits": _memory,
    "diffusers compiled whole": _steps,
}
