"""What the command line says: results on standard output, everything else on standard error.

Progress is a bar on a terminal and plain lines elsewhere.
"""

from __future__ import annotations

import sys

from ..host.protocol import Progress

PLAIN_LINES = 10  # at most so many lines per bar in a log


class UsageError(Exception):
    """The command cannot be carried out as given; faults has one text each, note the way out of some of them."""

    def __init__(self, faults: list[str], headline: str = "", note: str = "") -> None:
        lines = [headline, *(f"  - {fault}" for fault in faults)] if headline else [f"error: {f}" for f in faults]
        super().__init__("\n".join([*lines, note] if note else lines))
        self.faults = faults


class Reporter:
    """Follows one run: told of each node, asked for a bar by the host."""

    def __init__(self) -> None:
        self._title = ""

    def on_node(self, node_id: str, title: str, index: int, total: int) -> None:
        self._title = title
        say(f"[{index + 1}/{total}] {title}")

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
    """A line for each tenth done."""

    def __init__(self, title: str, total: int) -> None:
        self._title = title
        self._total = total
        self._shown = 0

    def update(self, value: int, preview: object | None = None) -> None:
        tenth = PLAIN_LINES * value // max(self._total, 1)
        if tenth > self._shown:
            self._shown = tenth
            say(f"{self._title}: {value}/{self._total}")

    def close(self) -> None:
        """Nothing is left open."""

    def __enter__(self) -> PlainProgress:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def say(text: str) -> None:
    """A line to the person at the terminal, at once."""
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()


def show(text: object) -> None:
    """A line of the result."""
    sys.stdout.write(f"{text}\n")
