"""A clock that is set while the server runs ends nothing before its time."""

from __future__ import annotations

import asyncio
import os
import time
import uuid
from pathlib import Path

import pytest
from media_stores import HOUR, Clock, add, base64_of, open_store, recording, upload_task
from service_tools import TinyEngine, in_loop, inference, receiving, until
from task_queue import open_tasks, run_task

from acestep_xl.service.queue.background import cleanup, clock
from acestep_xl.service.queue.delivery import outbox
from acestep_xl.service.queue.tasks import Tasks
from acestep_xl.service.settings import ServiceSettings

DAY = 86400.0


class SetClock:
    """The system's clock, which a test sets."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.ahead = 0.0
        system = time.time
        monkeypatch.setattr(time, "time", lambda: system() + self.ahead)
        monkeypatch.setattr(cleanup, "INTERVAL", 0.02)
        monkeypatch.setattr(clock, "INTERVAL", 0.02)


@pytest.mark.parametrize("jump", [DAY, -DAY, 60 * DAY])
@in_loop
async def test_a_result_lives_as_long_as_it_was_told(
    jump: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_clock = SetClock(monkeypatch)
    steady, passed = clock._steady_time, [0.0]
    monkeypatch.setattr(clock, "_steady_time", lambda: steady() + passed[0])
    async with open_tasks(tmp_path) as tasks:
        uuids = [(await run_task(tasks, inference(ttl=HOUR))).results[0]["audioUUID"]]
        await asyncio.sleep(0.2)
        set_clock.ahead = jump
        await asyncio.sleep(0.5)  # several sweeps
        uuids.append((await run_task(tasks, inference(ttl=HOUR))).results[0]["audioUUID"])
        await asyncio.sleep(0.2)
        for one in uuids:
            assert await tasks.file(one) is not None
        passed[0] += HOUR + 1
        set_clock.ahead += HOUR + 1
        await until(lambda: not any((tmp_path / "results").iterdir()), 30)


@in_loop
async def test_a_clock_that_is_ahead_for_a_while_deletes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_clock = SetClock(monkeypatch)
    async with open_tasks(tmp_path, keep_hours=1) as tasks:
        task = inference()
        await run_task(tasks, task)
        for ahead in (DAY, 0.0):
            set_clock.ahead = ahead
            await asyncio.sleep(0.3)
        state = await tasks.state(task.task_uuid)
        assert state is not None and state.status == "success" and not state.errors


@in_loop
async def test_a_webhook_is_not_given_up_because_the_clock_was_set(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outbox, "FIRST_DELAY", 0.001)
    set_clock = SetClock(monkeypatch)
    async with receiving() as receiver, open_tasks(tmp_path, delivery_hours=1) as tasks:
        receiver.answers["/hook"] = 500
        task = inference(webhookURL=f"{receiver.url}/hook")
        await tasks.submit([task])
        await until(lambda: len(receiver.calls) >= outbox.MIN_ATTEMPTS, 60)
        set_clock.ahead = DAY
        calls = len(receiver.calls)
        await until(lambda: len(receiver.calls) > calls + 1, 60)
        receiver.answers["/hook"] = 200
        details = await tasks.details(task.task_uuid)
        assert details is not None and details["results"][0]["deliveries"][0]["state"] != "failed"


@in_loop
async def test_an_upload_lives_as_long_as_it_was_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    set_clock = SetClock(monkeypatch)
    settings = ServiceSettings(demo=True, media_hours=1.0)
    async with Tasks.open(tmp_path, TinyEngine(tmp_path / "work"), settings) as tasks:
        stored = await tasks.store_media(upload_task(base64_of(recording())))
        set_clock.ahead = DAY
        await asyncio.sleep(0.5)
        await tasks.store_media(upload_task(base64_of(recording())))
        assert len(list((tmp_path / "media").iterdir())) == 2
        cover = inference(inputs={"audio": stored["mediaUUID"]})
        assert await tasks.submit([cover]) == [None]


def test_the_time_before_a_jump_is_accepted(monkeypatch: pytest.MonkeyPatch) -> None:
    set_clock = SetClock(monkeypatch)
    jumping = clock.JumpingClock()
    set_clock.ahead = 5.0
    assert jumping.jump() == 0 and abs(jumping.time() - time.time()) < 1, "a small correction"
    set_clock.ahead = DAY
    assert jumping.jump() == pytest.approx(DAY, abs=1) and jumping.time() == pytest.approx(time.time() - DAY, abs=1)
    jumping.accept()
    assert jumping.jump() == 0 and jumping.time() == pytest.approx(time.time(), abs=1)


def test_recordings_move_with_the_clock(tmp_path: Path) -> None:
    now = Clock()
    store = open_store(tmp_path, now, media_hours=2.0)
    media = add(store, base64_of(recording()))
    now.now += DAY
    store.move_times(DAY)
    store.clean()
    assert store.find(media.uuid) == media.path and store.find(str(uuid.uuid4())) is None


@pytest.mark.skipif(os.name != "posix", reason="Windows has other permissions")
def test_an_upload_can_be_read_by_its_owner_only_from_the_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    modes: set[int] = set()
    opened = os.open

    def note(path: object, flags: int, mode: int = 0o777, *, dir_fd: int | None = None) -> int:
        handle = opened(path, flags, mode, dir_fd=dir_fd)  # type: ignore[arg-type]
        if flags & os.O_CREAT:
            modes.add(os.fstat(handle).st_mode & 0o777)
        return handle

    monkeypatch.setattr(os, "open", note)
    previous = os.umask(0)
    try:
        media = add(open_store(tmp_path / "media"), base64_of(recording()))
    finally:
        os.umask(previous)
    assert modes == {0o600} and media.path.stat().st_mode & 0o777 == 0o600
    assert (tmp_path / "media").stat().st_mode & 0o777 == 0o700
