"""Names whose server never answers hold up no other name."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from service_tools import in_loop, until

from acestep_xl.transfer import lookup
from acestep_xl.transfer.lookup import Lookups


class Resolver:
    """Answers names at once, except those with "silent" in them, whose look-ups hang until it is released."""

    def __init__(self) -> None:
        self.released = threading.Event()
        self.asked: list[str] = []

    def __call__(self, host: str) -> list[str]:
        self.asked.append(host)
        if "silent" in host:
            self.released.wait(60)
        if "missing" in host:
            raise OSError("no such name")
        return ["192.0.2.7"]


@contextmanager
def resolving() -> Iterator[tuple[Resolver, Lookups]]:
    resolver = Resolver()
    try:
        yield resolver, Lookups(resolver)
    finally:
        resolver.released.set()


@in_loop
async def test_silent_names_hold_up_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor do they take threads that others of the loop need."""
    monkeypatch.setattr(lookup, "SECONDS", 60.0)
    with resolving() as (resolver, lookups):
        waiting = [asyncio.ensure_future(lookups.addresses(f"silent.example{n}.com")) for n in range(64)]
        await until(lambda: len(resolver.asked) == 64)
        assert await lookups.addresses("good.example") == ["192.0.2.7"]
        assert await asyncio.to_thread(lambda: 7) == 7
        with pytest.raises(OSError, match="no such name"):
            await lookups.addresses("missing.example")
        resolver.released.set()
        assert await asyncio.gather(*waiting) == [["192.0.2.7"]] * 64


@in_loop
async def test_a_look_up_has_a_deadline_and_is_shared(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also by those who ask after it: they do not wait anew."""
    monkeypatch.setattr(lookup, "SECONDS", 0.2)
    with resolving() as (resolver, lookups):
        for _ in range(3):
            asking = [lookups.addresses("silent.example") for _ in range(5)]
            errors = await asyncio.gather(*asking, return_exceptions=True)
            assert all(isinstance(error, OSError) and "not answered" in str(error) for error in errors)
        assert resolver.asked == ["silent.example"]
        resolver.released.set()
        await until(lambda: not lookups._unanswered)
        assert await lookups.addresses("silent.example") == ["192.0.2.7"], "its server answers again"


@pytest.mark.parametrize("suffix", ["evil.example", "evil.co.uk"])
@in_loop
async def test_one_domain_takes_only_its_share(suffix: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lookup, "SECONDS", 60.0)
    with resolving() as (resolver, lookups):
        asking = [asyncio.ensure_future(lookups.addresses(f"silent{n}.{suffix}")) for n in range(100)]
        await until(lambda: sum(task.done() for task in asking) == 100 - lookup.PER_DOMAIN)
        assert len(resolver.asked) == lookup.PER_DOMAIN
        refused = [task.exception() for task in asking if task.done()]
        assert all(isinstance(error, OSError) and "try again later" in str(error) for error in refused)
        assert await lookups.addresses("good." + suffix.replace("evil", "other")) == ["192.0.2.7"]
        resolver.released.set()
        await asyncio.gather(*asking, return_exceptions=True)
        assert await lookups.addresses(f"good.{suffix}") == ["192.0.2.7"]


@in_loop
async def test_a_caller_that_gives_up_takes_nothing_from_the_others() -> None:
    with resolving() as (resolver, lookups):
        first, second = (asyncio.ensure_future(lookups.addresses("silent.example")) for _ in range(2))
        await until(lambda: resolver.asked)
        first.cancel()
        resolver.released.set()
        assert await second == ["192.0.2.7"]
