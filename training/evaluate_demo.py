"""Measures the demo checkpoint and writes `docs/benchmarks/demo-model.md`: `python -m training.evaluate_demo`."""

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


def load_checkpoint(folder: Path) -> Checkpoint:
    """The three networks of a packed checkpoint, in float32 on the CPU. Raises CheckpointError if it is damaged."""
    return Checkpoint(*demo.load(folder))


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m training.evaluate_demo", description=__doc__)
    parser.add_argument(
        "--checkpoint", type=Path, default=CHECKPOINT, help="folder of the checkpoint (build/demo_checkpoint)"
    )
    parser.add_argument(
        "--output", type=Path, default=ROOT / "docs" / "benchmarks", help="folder for the page (docs/benchmarks)"
    )
    parser.add_argument("--quick", action="store_true", help="measure a fifth of the songs")
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    torch.set_num_threads(options.threads)
    sizes = evaluate.Sizes(12, 1, 6, 8, 40) if options.quick else evaluate.Sizes()
    page = evaluate.report(load_checkpoint(options.checkpoint), sizes, logger.info)
    logger.info("%s", evaluate.write_page(page, options.output))


if __name__ == "__main__":
    main()
