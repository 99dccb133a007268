"""Coroutines from synchronous code, inside a running loop and outside."""

from __future__ import annotations

import asyncio
import contextvars
import threading
from collections.abc import Callable
from typing import Any

import pytest
from hostile_server import Stage, response, saying, serving

from acestep_xl.transfer.blocking import run
from acestep_xl.transfer.fetch import fetch
from acestep_xl.transfer.policy import Policy

VARIABLE: contextvars.ContextVar[str] = contextvars.ContextVar("VARIABLE", default="unset")


def outside(work: Callable[[], Any]) -> Any:
    return work()


def inside(work: Callable[[], Any]) -> Any:
    """Call `work` from a coroutine, as ComfyUI calls nodes."""

    async def main() -> Any:
        return work()

    return asyncio.run(main())


places = pytest.mark.parametrize("place", [outside, inside])


@places
def test_results(place: Callable[..., Any]) -> None:
    async def slow_sum(*numbers: int) -> int:
        await asyncio.sleep(0.01)
        return sum(numbers)

    assert place(lambda: run(slow_sum(1, 2, 3))) == 6


@places
@pytest.mark.parametrize("error", [ValueError("no"), TimeoutError("late"), asyncio.CancelledError(), SystemExit(3)])
def test_errors_come_out_as_they_are(place: Callable[..., Any], error: BaseException) -> None:
    async def fail() -> None:
        await asyncio.sleep(0)
        raise error

    def attempt() -> BaseException:
        with pytest.raises(type(error)) as caught:
            run(fail())
        return caught.value

    found = place(attempt)
    assert type(found) is type(error) and found.args == error.args


@places
def test_context_variables_are_seen_and_stay(place: Callable[..., Any]) -> None:
    async def look() -> str:
        seen = VARIABLE.get()
        VARIABLE.set("changed")
        return seen

    def attempt() -> tuple[str, str]:
        token = VARIABLE.set("mine")
        try:
            return run(look()), VARIABLE.get()
        finally:
            VARIABLE.reset(token)

    assert place(attempt) == ("mine", "mine")


@places
@pytest.mark.parametrize("stop", [KeyboardInterrupt, RuntimeError])
def test_stopping_cancels_and_waits_for_the_cleaning_up(place: Callable[..., Any], stop: type[BaseException]) -> None:
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

    place(attempt)
    assert trace == ["cleaned up"]


def test_the_check_runs_in_the_calling_thread() -> None:
    seen: set[int] = set()
    run(asyncio.sleep(0.35), check=lambda: seen.add(threading.get_ident()))
    assert seen == {threading.get_ident()}


def test_many_threads_at_once() -> None:
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
            async with serving(saying(response(200, b"song"))) as served:
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
        got = inside(lambda: run(fetch("http://song.example/", Policy(), network=Stage(ports[0]).network)))
    finally:
        done.set()
        server.join()
    assert got.data == b"song"
