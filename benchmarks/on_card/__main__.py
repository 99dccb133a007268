"""What a graphics card makes of this project, in one command of a few minutes:

    python benchmarks/on_card [--tiny] [--sections NAME ...] [--minutes 8] [--json FILE] [--report FOLDER]
    python benchmarks/on_card --page FILE [--report FOLDER]

Sections run in the order of `sections.SECTIONS`, the most important first. The JSON is written after each, so a run
that is cut off keeps what it has; a section that fails is recorded with its error and the others go on; one that would
start after the time is up is left out and named. --page makes `on-card.md` from a JSON. --tiny runs every section on
any device with sizes that measure nothing. Needs diffusers; no model files.
"""

from __future__ import annotations

import sys
from pathlib import Path

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
    from on_card.command import main

    sys.exit(main(sys.argv[1:]))
