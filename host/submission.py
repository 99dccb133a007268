"""The graph that is being checked or was submitted, for checks that need more than one node's inputs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Submission:
    """A graph in ComfyUI's API format, and the workflow as the editor saved it, if it is known."""

    prompt: Mapping[str, Any]
    workflow: Mapping[str, Any] | None = None

    @staticmethod
    def of(prompt: Any, extra: Any) -> Submission | None:
        """From ComfyUI's PROMPT and EXTRA_PNGINFO; None without a graph."""
        workflow = extra.get("workflow") if isinstance(extra, Mapping) else None
        if not isinstance(prompt, Mapping) or not prompt:
            return None
        return Submission(prompt, workflow if isinstance(workflow, Mapping) else None)


_current: ContextVar[Submission | None] = ContextVar("acestep_xl_submission", default=None)


def current_submission() -> Submission | None:
    """The graph whose nodes are being checked in this thread or task; None if it is not known."""
    return _current.get()


def remember(submission: Submission | None) -> None:
    """Make a graph the current one until the next, in this thread or task only."""
    _current.set(submission)


@contextmanager
def check(submission: Submission | None) -> Iterator[None]:
    """Make a graph the current one inside the block, in this thread or task only."""
    token = _current.set(submission)
    try:
        yield
    finally:
        _current.reset(token)
