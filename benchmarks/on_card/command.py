"""The command line of the card benchmark."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import reports
import torch

from .bench import CARD, TINY, Bench
from .page import page
from .sections import SECTIONS, get_section, run


def main(arguments: list[str]) -> int:
    """Returns 1 if a section failed or was left out."""
    parser = argparse.ArgumentParser(description="Measure everything on a graphics card.")
    parser.add_argument("--tiny", action="store_true", help="test the benchmark on any device; measures nothing")
    parser.add_argument("--sections", nargs="+", default=list(SECTIONS), metavar="NAME", help=", ".join(SECTIONS))
    parser.add_argument("--minutes", type=float, default=8.0, help="no section starts after so many")
    parser.add_argument(
        "--json", type=Path, default=Path("on-card.json"), help="the record, written after each section"
    )
    parser.add_argument("--note", default="", help="a sentence for the page")
    parser.add_argument("--page", type=Path, help="only make the page from this record")
    reports.add_option(parser)
    options = parser.parse_args(arguments)
    if options.page is not None:
        reports.write(options.report, "on-card", page(json.loads(options.page.read_text())))
        return 0
    for name in options.sections:
        get_section(name)
    if not options.tiny and not torch.cuda.is_available():
        parser.error("there is no card here; --tiny tries the sections on the CPU")
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    record = run(
        Bench(TINY if options.tiny else CARD, device), options.sections, options.json, options.minutes, options.note
    )
    if not options.tiny:
        reports.write(options.report, "on-card", page(record))
    return int(bool(record["left out"]) or any("error" in section for section in record["sections"].values()))
