"""The sections in the order in which they run, and the record that is written after each."""

from __future__ import annotations

import json
import time
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from machine import describe

from . import attention, decode, memory, parity, steps, weights
from .bench import Bench

Section = Callable[[Bench], dict[str, Any]]


def run(bench: Bench, names: Sequence[str], path: Path, minutes: float, note: str) -> dict[str, Any]:
    """Run sections and write the record to a file after each. Failures are recorded, not raised."""
    import diffusers

    record: dict[str, Any] = {
        "machine": describe(diffusers),
        "note": note,
        "songs": [f"{s:g} s" for s in bench.plan.songs],
        "sections": {},
        "left out": [],
    }
    start = time.monotonic()
    for name in names:
        if time.monotonic() - start > 60 * minutes:
            record["left out"].append(name)
        else:
            record["sections"][name] = _run_one(bench, get_section(name))
            print(f"{name}: {json.dumps(record['sections'][name])[:2000]}", flush=True)
        path.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    return record


def _run_one(bench: Bench, section: Section) -> dict[str, Any]:
    start = time.monotonic()
    try:
        values: dict[str, Any] = {"values": section(bench)}
    except Exception as error:  # one section's failure must not cost the others' results
        traceback.print_exc()
        values = {"error": f"{type(error).__name__}: {error}"[:500]}
    bench.release()
    return {**values, "took": round(time.monotonic() - start, 1)}


def get_section(name: str) -> Section:
    """Raises ValueError for an unknown name; lists the known ones."""
    if name not in SECTIONS:
        raise ValueError(f"section {name!r} is unknown; allowed: {', '.join(SECTIONS)}")
    return SECTIONS[name]


SECTIONS: dict[str, Section] = {
    "rates": steps.rates,
    "parity": parity.measure,
    "short step": steps.short,
    "long step": steps.long,
    "8-bit steps": weights.eight_bits,
    "attention": attention.measure,
    "diffusers compiled by layer": steps.compiled_by_layer,
    "adapters": weights.adapters,
    "decode": decode.measure,
    "memory": memory.measure,
    "memory in 8 bits": memory.eight_bits,
    "diffusers compiled whole": steps.compiled_whole,
    "kernels": steps.kernels,
}
