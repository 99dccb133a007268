"""Writes everything that is generated from the code: python docs/generate

A single script of this folder can also be run alone.
"""

from __future__ import annotations

import complete_workflows
import draw_workflow
import make_api_docs
import make_example
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
    make_example.main()
