"""Measures the demo checkpoint and writes the page: `python -m training.evaluate_demo`."""

from __future__ import annotations

import argparse
import logging
from pathlib import Path

import torch

from acestep_xl.model import demo

from . import evaluate
from .generate import Checkpoint
from .make import CHECKPOINT, ROOT

logger = logging.getLogger(__name__)


def trained(folder: Path) -> Checkpoint:
    """The three parts of a packed checkpoint, in float32 on the CPU. Raises CheckpointError where it is damaged."""
    return Checkpoint(*demo.load(folder))


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m training.evaluate_demo", description=__doc__)
    parser.add_argument("--checkpoint", type=Path, default=CHECKPOINT, help="what make packed")
    parser.add_argument("--output", type=Path, default=ROOT / "docs" / "benchmarks", help="folder for the page")
    parser.add_argument("--quick", action="store_true", help="a fifth of the songs")
    parser.add_argument("--threads", type=int, default=2)
    given = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    torch.set_num_threads(given.threads)
    sizes = evaluate.Sizes(12, 1, 6, 8, 40) if given.quick else evaluate.Sizes()
    page = evaluate.report(trained(given.checkpoint), sizes, logger.info)
    logger.info("%s", evaluate.write(page, given.output))


if __name__ == "__main__":
    main()
