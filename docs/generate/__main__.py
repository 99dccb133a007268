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

if __name__ == "__main__":
    # The workflows first: pictures show them.
    complete_workflows.main()
    draw_workflow.main()
    make_api_docs.main()
    make_help.main()
    make_locales.main()
    make_node_docs.main()
    make_scheduler_docs.main()
    make_thumbnails.main()
