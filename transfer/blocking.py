"""Run a coroutine from synchronous code."""

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
GLANCE = 0.1  # seconds between two looks whether to stop
FAREWELL = 5.0  # seconds that a stopped coroutine gets to clean up


def run(coroutine: Coroutine[Any, Any, T], *, check: Callable[[], None] | None = None) -> T:
    """The result of `coroutine`, also where this thread already runs an event loop, as under ComfyUI.

    It runs in a loop and thread of its own that sees this thread's context variables; what it raises is raised here.
    check: called here again and again; what it raises stops the coroutine, as Ctrl+C does, and is raised once that has
    cleaned up. The calling thread's own loop stands still meanwhile, so the coroutine must not wait for it.
    """
    started: Future[Callable[[], object]] = Future()
    result: Future[T] = Future()
    context = contextvars.copy_context()
    threading.Thread(target=context.run, args=(_work, coroutine, started, result), daemon=True).start()
    try:
        while not futures.wait([result], GLANCE).done:
            if check is not None:
                check()
    except BaseException:
        with suppress(futures.TimeoutError):
            started.result(FAREWELL)()
            result.exception(FAREWELL)
        raise
    return result.result()


def _work(coroutine: Coroutine[Any, Any, T], started: Future[Callable[[], object]], result: Future[T]) -> None:
    """Run the coroutine in a loop of this thread and hand over how it ended."""
    try:
        result.set_result(asyncio.run(_stoppable(coroutine, started)))
    except BaseException as error:
        result.set_exception(error)


async def _stoppable(coroutine: Coroutine[Any, Any, T], started: Future[Callable[[], object]]) -> T:
    """Await the coroutine; `started` gets what cancels it from another thread."""
    loop, task = asyncio.get_running_loop(), asyncio.current_task()
    assert task is not None

    def cancel() -> None:
        with suppress(RuntimeError):  # the loop has closed: it is over already
            loop.call_soon_threadsafe(task.cancel)

    started.set_result(cancel)
    return await coroutine
