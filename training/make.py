"""Trains the demo checkpoint from a seed: `python -m training.make`. An interrupted run resumes."""

from __future__ import annotations

import argparse
import logging
import time
from pathlib import Path

import numpy as np
import torch

from . import objective, pack, train_transformer, train_vae

logger = logging.getLogger(__name__)
ROOT = Path(__file__).parent.parent
CHECKPOINT = ROOT / "build" / "demo_checkpoint"


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m training.make", description=__doc__)
    defaults = objective.Settings()
    parser.add_argument("--seed", type=int, default=defaults.seed)
    parser.add_argument("--steps", type=int, default=defaults.steps, help="training steps")
    parser.add_argument("--threads", type=int, default=defaults.threads, help="CPU threads")
    parser.add_argument(
        "--work", type=Path, default=ROOT / "build" / "demo", help="folder for the training state (build/demo)"
    )
    parser.add_argument(
        "--output", type=Path, default=CHECKPOINT, help="folder for the checkpoint (build/demo_checkpoint)"
    )
    return parser.parse_args()


def main() -> None:
    options, started = parse_arguments(), time.time()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    scale = train_vae.calibrate_scale()
    logger.info("VAE calibrated in %.0f s", time.time() - started)
    settings = objective.Settings(seed=options.seed, steps=options.steps, threads=options.threads)
    train_transformer.train(options.work, scale, settings)
    size = pack_with_card(options.work, scale, options.output, options.seed)
    logger.info("%s: %.1f MB, %.0f minutes in all", options.output, size / 1e6, (time.time() - started) / 60)


def pack_with_card(work: Path, scale: np.ndarray, output: Path, seed: int) -> int:
    """Pack a training state with its model card; returns the size in bytes."""
    state = work / "state.pt"
    saved = torch.load(state, map_location="cpu", weights_only=True)
    values = {name: value.numel() for name, value in saved["values"].items()}
    decoder = sum(size for name, size in values.items() if name.startswith("network.decoder."))
    text = sum(size for name, size in values.items() if name.startswith("text."))
    card = (
        (Path(__file__).parent / "card.md")
        .read_text("utf-8")
        .format(
            decoder=decoder,
            text=text,
            encoder=sum(values.values()) - decoder - text,
            vae=sum(p.numel() for p in train_vae.build(scale).parameters()),
            steps=saved["step"],
            examples=saved["examples"],
            minutes=saved["spent"] / 60,
            seed=seed,
        )
    )
    return pack.pack(state, scale, output, card)


if __name__ == "__main__":
    main()
