"""The acestep-xl command: the runner's commands, and the service's, which the runner does not import."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from .runner import cli
from .service.serve_command import SERVE


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code."""
    return cli.main(argv, commands=(SERVE,))


if __name__ == "__main__":
    sys.exit(main())
