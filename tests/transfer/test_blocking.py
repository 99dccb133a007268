"""Coroutines called from synchronous code, inside and outside a running loop."""

from __future__ import annotations

import asyncio
import contextvars
import threading
from collections.abc import Callable
from typing import Any

import pytest
from hostile_server import Stage, responding, response, serving

from acestep_xl.transfer.blocking import run
from acestep_xl.transfer.fetch import fetch
from acestep_xl.transfer.policy import Policy

VARIABLE: contextvars.ContextVar[str] = contextvars.ContextVar("VARIABLE", default="unset")


def without_loop(call: Callable[[], Any]) -> Any:
    return call()


def inside_loop(call: Callable[[], Any]) -> Any:
    """Call from a coroutine, as ComfyUI calls nodes."""

    async def main() -> Any:
        return call()

    return asyncio.run(main())


both = pytest.mark.parametrize("caller", [without_loop, inside_loop])


@both
def test_results(caller: Callable[..., Any]) -> None:
    async def slow_sum(*numbers: int) -> int:
        await asyncio.sleep(0.01)
        return sum(numbers)

    assert caller(lambda: run(slow_sum(1, 2, 3))) == 6


@both
@pytest.mark.parametrize("error", [ValueError("no"), TimeoutError("late"), asyncio.CancelledError(), SystemExit(3)])
def test_errors_are_raised_unchanged(caller: Callable[..., Any], error: BaseException) -> None:
    async def fail() -> None:
        await asyncio.sleep(0)
        raise error

    def attempt() -> BaseException:
        with pytest.raises(type(error)) as caught:
            run(fail())
        return caught.value

    raised = caller(attempt)
    assert type(raised) is type(error) and raised.args == error.args


@both
def test_context_variables_are_copied(caller: Callable[..., Any]) -> None:
    async def read_and_change() -> str:
        value = VARIABLE.get()
        VARIABLE.set("changed")
        return value

    def attempt() -> tuple[str, str]:
        token = VARIABLE.set("mine")
        try:
            return run(read_and_change()), VARIABLE.get()
        finally:
            VARIABLE.reset(token)

    assert caller(attempt) == ("mine", "mine")


@both
@pytest.mark.parametrize("stop", [KeyboardInterrupt, RuntimeError])
def test_check_cancels_and_waits_for_the_cleanup(caller: Callable[..., Any], stop: type[BaseException]) -> None:
    trace: list[str] = []
    running = threading.Event()

    async def work() -> None:
        try:
            running.set()
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            await asyncio.sleep(0.05)
            trace.append("cleaned up")
            raise

    def check() -> None:
        if running.is_set():
            raise stop("stop")

    def attempt() -> None:
        with pytest.raises(stop, match="stop"):
            run(work(), check=check)

    caller(attempt)
    assert trace == ["cleaned up"]


def test_the_check_runs_in_the_calling_thread() -> None:
    threads: set[int] = set()
    run(asyncio.sleep(0.35), check=lambda: threads.add(threading.get_ident()))
    assert threads == {threading.get_ident()}


def test_many_threads() -> None:
    async def number(value: int) -> int:
        await asyncio.sleep(0.01)
        return value

    results: list[int] = []
    threads = [threading.Thread(target=lambda value=value: results.append(run(number(value)))) for value in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(results) == list(range(20))


def test_a_fetch_from_a_synchronous_node_in_a_running_loop() -> None:
    def serve(ports: list[int], ready: threading.Event, done: threading.Event) -> None:
        async def main() -> None:
            async with serving(responding(response(200, b"song"))) as served:
                ports.append(served.port)
                ready.set()
                while not done.is_set():
                    await asyncio.sleep(0.01)

        asyncio.run(main())

    ports: list[int] = []
    ready, done = threading.Event(), threading.Event()
    server = threading.Thread(target=serve, args=(ports, ready, done))
    server.start()
    ready.wait()
    try:
        result = inside_loop(lambda: run(fetch("http://song.example/", Policy(), network=Stage(ports[0]).network)))
    finally:
        done.set()
        server.join()
    assert result.data == b"song"
