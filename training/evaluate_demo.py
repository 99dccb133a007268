"""Measures the demo checkpoint and writes the page: `python -m training.evaluate_demo`."""

from __future__ import annotations

import argparse
import logging
from pathlib import Path

import torch

from acestep_xl.model import demo
from acestep_xl.model.checkpoint import load_network, load_text_encoder, load_vae
from acestep_xl.model.layouts import recognise
from acestep_xl.model.text import TextEncoder

from . import evaluate
from .generate import Checkpoint
from .make import CHECKPOINT, ROOT

logger = logging.getLogger(__name__)


def trained(folder: Path) -> Checkpoint:
    """The three parts of a packed checkpoint, in float32 on the CPU. Raises CheckpointError where it is damaged."""
    layout, cpu = recognise(folder), torch.device("cpu")
    assert layout.vae is not None and layout.text is not None, "pack writes both"
    read = load_text_encoder(layout.text, layout.text.path, torch.float32, cpu)
    # Words outside its vocabulary take a token per byte, so its limits are those of the random demo network.
    text = TextEncoder(read.model, read.tokenizer, demo.CAPTION_BYTES, demo.LYRIC_BYTES)
    return Checkpoint(load_network(layout, torch.float32, cpu), text, load_vae(layout.vae, torch.float32, cpu))


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m training.evaluate_demo", description=__doc__)
    parser.add_argument("--checkpoint", type=Path, default=CHECKPOINT, help="what make packed")
    parser.add_argument("--output", type=Path, default=ROOT / "docs" / "benchmarks", help="folder for the page")
    parser.add_argument("--quick", action="store_true", help="a fifth of the songs")
    parser.add_argument("--threads", type=int, default=2)
    given = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    torch.set_num_threads(given.threads)
    sizes = evaluate.Sizes(12, 6, 8, 40) if given.quick else evaluate.Sizes()
    page = evaluate.report(trained(given.checkpoint), sizes, logger.info)
    logger.info("%s", evaluate.write(page, given.output))


if __name__ == "__main__":
    main()
