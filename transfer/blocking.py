"""Runs a coroutine from synchronous code."""

from __future__ import annotations

import asyncio
import contextvars
import threading
from collections.abc import Callable, Coroutine
from concurrent import futures
from concurrent.futures import Future
from contextlib import suppress
from typing import Any, TypeVar

T = TypeVar("T")
POLL_SECONDS = 0.1  # between two calls of check
CANCEL_GRACE = 5.0  # seconds that a cancelled coroutine has to clean up


def run(coroutine: Coroutine[Any, Any, T], *, check: Callable[[], None] | None = None) -> T:
    """The result of `coroutine`, even if this thread already runs an event loop, as under ComfyUI.

    The coroutine runs in its own thread and loop with a copy of this thread's context variables; its exceptions are
    raised here. check: called here repeatedly; an exception from it cancels the coroutine, as Ctrl+C does, and is
    raised after the cleanup. This blocks the calling thread's own loop, so the coroutine must not wait for it.
    """
    started: Future[Callable[[], object]] = Future()
    result: Future[T] = Future()
    context = contextvars.copy_context()
    threading.Thread(target=context.run, args=(_run_in_loop, coroutine, started, result), daemon=True).start()
    try:
        while not futures.wait([result], POLL_SECONDS).done:
            if check is not None:
                check()
    except BaseException:
        with suppress(futures.TimeoutError):
            started.result(CANCEL_GRACE)()
            result.exception(CANCEL_GRACE)
        raise
    return result.result()


def _run_in_loop(coroutine: Coroutine[Any, Any, T], started: Future[Callable[[], object]], result: Future[T]) -> None:
    """Run the coroutine in a new loop of this thread and set its result or exception."""
    try:
        result.set_result(asyncio.run(_cancellable(coroutine, started)))
    except BaseException as error:
        result.set_exception(error)


async def _cancellable(coroutine: Coroutine[Any, Any, T], started: Future[Callable[[], object]]) -> T:
    """Await the coroutine. started: receives a function that cancels it from another thread."""
    loop, task = asyncio.get_running_loop(), asyncio.current_task()
    assert task is not None

    def cancel() -> None:
        with suppress(RuntimeError):  # the loop is closed, so the coroutine has ended
            loop.call_soon_threadsafe(task.cancel)

    started.set_result(cancel)
    return await coroutine
