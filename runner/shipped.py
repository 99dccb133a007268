"""The shipped workflows.

ComfyUI's template browser takes order and titles from the files' names. Everything else uses short names, which only
grow in number.
"""

from __future__ import annotations

from pathlib import Path

FOLDER = Path(__file__).parent.parent / "workflows"

TITLES = {
    "text_to_music": "01 Text to music",
    "text_to_music_app": "02 Text to music, as an app",
    "variations": "03 Variations",
    "batch": "04 A batch of different songs",
    "cover": "05 Cover",
    "repaint": "06 Repaint",
    "repaint_regions": "07 Repaint several regions",
    "extend": "08 Extend at both ends",
    "timbre_reference": "09 Timbre reference",
    "chain": "10 Song, repaint, cover in one run",
    "fast": "11 Smaller and faster",
    "scheduler": "12 Modular scheduler",
    "plot": "13 Plot a schedule and a run",
    "core_nodes": "14 ComfyUI's sampling nodes",
    "adapter": "15 With an adapter",
}
SHIPPED = {name: FOLDER / f"{title}.json" for name, title in TITLES.items()}
