"""Writes everything that is generated from the code: python docs/generate

The scripts of this folder can also be run alone. make_example.py, draw_icon.py and node_snapshot.py only run alone: the
first two make files that rarely change, the last one records a decision.
"""

from __future__ import annotations

import complete_workflows
import draw_workflow
import make_api_docs
import make_help
import make_locales
import make_node_docs
import make_scheduler_docs
import make_thumbnails
from pages import write

# The workflows come first, since pictures show them.
SCRIPTS = (
    complete_workflows,
    draw_workflow,
    make_api_docs,
    make_help,
    make_locales,
    make_node_docs,
    make_scheduler_docs,
    make_thumbnails,
)

if __name__ == "__main__":
    for stale in make_help.stale():
        stale.unlink()
    for script in SCRIPTS:
        write(script.files())
