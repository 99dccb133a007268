"""The shipped workflows.

ComfyUI's template browser takes order and titles from the files' names. Everything else uses short names, which only
grow in number.
"""

from __future__ import annotations

from pathlib import Path

FOLDER = Path(__file__).parent.parent / "workflows"

TITLES = {
    "text_to_music": "01 Text to music",
    "variations": "02 Variations",
    "batch": "03 A batch of different songs",
    "cover": "04 Cover",
    "repaint": "05 Repaint",
    "repaint_regions": "06 Repaint several regions",
    "extend": "07 Extend at both ends",
    "timbre_reference": "08 Timbre reference",
    "chain": "09 Song, repaint, cover in one run",
    "fast": "10 Smaller and faster",
    "scheduler": "11 Modular scheduler",
    "plot": "12 Plot a schedule and a run",
    "core_nodes": "13 ComfyUI's sampling nodes",
}
SHIPPED = {name: FOLDER / f"{title}.json" for name, title in TITLES.items()}
