"""What the command line prints: results on standard output, everything else on standard error.

Progress is a bar on a terminal and plain lines elsewhere.
"""

from __future__ import annotations

import sys
from typing import TextIO

from ..host.protocol import Progress

OK, FAILED, BAD_USAGE, INTERRUPTED = 0, 1, 2, 130  # exit codes
PLAIN_LINES = 10  # at most this many lines per bar in a log


class UsageError(Exception):
    """The command cannot run with these arguments. problems: one message each; note: a remedy for some of them."""

    def __init__(self, problems: list[str], headline: str = "", note: str = "") -> None:
        bullets = [f"  - {problem}" for problem in problems]
        lines = [headline, *bullets] if headline else [f"error: {problem}" for problem in problems]
        super().__init__("\n".join([*lines, note] if note else lines))
        self.problems = problems


class Reporter:
    """Prints the progress of one run: each node's title, and a bar when the host asks for one."""

    def __init__(self) -> None:
        self._title = ""

    def on_node(self, node_id: str, title: str, index: int, total: int) -> None:
        self._title = title
        print_status(f"[{index + 1}/{total}] {title}")

    def bar(self, total: int) -> Progress:
        return TerminalProgress(self._title, total) if sys.stderr.isatty() else PlainProgress(self._title, total)


class TerminalProgress:
    """A tqdm bar."""

    def __init__(self, title: str, total: int) -> None:
        from tqdm import tqdm

        self._bar = tqdm(total=total, desc=title, file=sys.stderr, leave=False, dynamic_ncols=True)

    def update(self, value: int, preview: object | None = None) -> None:
        self._bar.update(value - self._bar.n)

    def close(self) -> None:
        self._bar.close()

    def __enter__(self) -> TerminalProgress:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class PlainProgress:
    """A line per tenth of the total."""

    def __init__(self, title: str, total: int) -> None:
        self._title = title
        self._total = total
        self._printed = 0

    def update(self, value: int, preview: object | None = None) -> None:
        tenths = PLAIN_LINES * value // max(self._total, 1)
        if tenths > self._printed:
            self._printed = tenths
            print_status(f"{self._title}: {value}/{self._total}")

    def close(self) -> None:
        """Nothing to close."""

    def __enter__(self) -> PlainProgress:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def print_status(text: str) -> None:
    """Write a line to standard error, unbuffered."""
    sys.stderr.write(f"{_encodable(text, sys.stderr)}\n")
    sys.stderr.flush()


def print_result(text: object) -> None:
    """Write a line to standard output."""
    sys.stdout.write(f"{_encodable(str(text), sys.stdout)}\n")


def _encodable(text: str, stream: TextIO) -> str:
    """The text with escapes for what the stream's encoding lacks, so that no name of a file makes a run fail."""
    encoding = stream.encoding or "utf-8"
    return text.encode(encoding, "backslashreplace").decode(encoding)
