"""The task queue with full disks, and with damaged or shared folders."""

from __future__ import annotations

import errno
import os
import sqlite3
from pathlib import Path

import pytest
from service_tools import TinyEngine, in_loop, inference, seed_of, until
from task_queue import fill_disk, finished, open_tasks, run_task

from acestep_xl.runner.graph import Graph
from acestep_xl.service.engine.protocol import DiskFull
from acestep_xl.service.queue import database, jobs, worker
from acestep_xl.service.queue.database import DatabaseDamaged, FolderInUse, TaskDatabase
from acestep_xl.service.queue.jobs import ATTEMPTS
from acestep_xl.service.queue.result_files import publish
from acestep_xl.service.queue.status import DeliveryStatus, Status


@in_loop
async def test_a_full_disk_pauses_the_queue_and_loses_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker, "RETRY_SECONDS", 0.1)
    room: list[bool] = []

    def act(graph: Graph) -> None:
        if not room:
            raise DiskFull("no room for the result: No space left on device")

    engine = TinyEngine(tmp_path / "work", act=act)
    async with open_tasks(tmp_path, engine) as tasks:
        queue = [inference(seed=1), inference(seed=2)]
        await tasks.submit(queue)
        await until(lambda: len(engine.graphs) > ATTEMPTS + 1)
        (first, _) = await tasks.overview()
        assert "No space left" in first["problem"]
        room.append(True)
        for task in queue:
            assert (await finished(tasks, task)).status == "success"
        assert await tasks.overview() == []
    order = [seed_of(graph) for graph in engine.graphs]
    assert order == sorted(order), "the queue keeps its order"


@in_loop
async def test_a_result_is_not_made_again_while_it_cannot_be_committed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker, "RETRY_SECONDS", 0.05)
    failures = fill_disk(monkeypatch, jobs.finish, times=3)
    engine = TinyEngine(tmp_path / "work")
    async with open_tasks(tmp_path, engine) as tasks:
        assert (await run_task(tasks, inference())).status == "success"
    assert (len(failures), len(engine.graphs)) == (3, 1)


@in_loop
async def test_a_task_that_does_not_fit_on_the_disk_is_refused(tmp_path: Path) -> None:
    async with open_tasks(tmp_path) as tasks:

        def shrink(connection: database.Connection) -> None:
            (pages,) = connection.execute("PRAGMA page_count").fetchone()
            connection.execute(f"PRAGMA max_page_count = {pages}")

        await tasks._database.transact(shrink)
        refused, task = None, inference()
        while refused is None:
            task = inference(positivePrompt="x" * 3000)
            (refused,) = await tasks.submit([task])
        (error,) = refused
        assert error.code == "storageFull" and "full" in error.message and error.task_uuid == task.task_uuid
        assert await tasks.state(task.task_uuid) is None
        await tasks._database.transact(lambda connection: connection.execute("PRAGMA max_page_count = 100000"))
        assert await tasks.submit([task]) == [None], "the same task may be sent again"


@in_loop
async def test_a_folder_serves_one_server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database, "LOCK_TIMEOUT", 0.05)
    async with open_tasks(tmp_path) as tasks:
        with pytest.raises(FolderInUse, match=f"another server uses {tmp_path}: stop it, or give this one"):
            async with open_tasks(tmp_path):
                pass
        assert (await run_task(tasks, inference())).status == "success", "the first one keeps running"
    async with open_tasks(tmp_path):
        pass


def test_damaged_and_newer_databases_are_refused(tmp_path: Path) -> None:
    (tmp_path / database.FILE_NAME).write_bytes(b"no database at all" * 1000)
    with pytest.raises(DatabaseDamaged, match="restore it, or move it away"):
        TaskDatabase(tmp_path)
    (tmp_path / database.FILE_NAME).unlink()
    TaskDatabase(tmp_path).close()
    with sqlite3.connect(tmp_path / database.FILE_NAME) as connection:
        connection.execute(f"PRAGMA user_version = {database.VERSION + 1}")
    connection.close()
    with pytest.raises(ValueError, match="later version of this program"):
        TaskDatabase(tmp_path)


def test_the_database_has_the_states_of_the_enums(tmp_path: Path) -> None:
    TaskDatabase(tmp_path).close()
    with sqlite3.connect(tmp_path / database.FILE_NAME) as connection:
        schema = dict(connection.execute("SELECT name, sql FROM sqlite_master WHERE type = 'table'"))
    connection.close()
    for table, states in {"results": Status, "deliveries": DeliveryStatus}.items():
        values = ", ".join(f"'{state.value}'" for state in states)
        assert f"CHECK (state IN ({values}))" in schema[table], table


def test_publishing_works_across_file_systems(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    song, target = tmp_path / "song.mp3", tmp_path / "results" / "a.mp3"
    song.write_bytes(b"song")
    os_replace = os.replace

    def replace(source: Path, into: Path) -> None:
        if source == song:
            raise OSError(errno.EXDEV, "Invalid cross-device link")
        os_replace(source, into)

    monkeypatch.setattr(os, "replace", replace)
    monkeypatch.setattr(os, "rename", replace)
    publish(song, target)
    assert target.read_bytes() == b"song" and list(target.parent.iterdir()) == [target]


def test_publishing_on_a_full_disk_leaves_no_partial_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    song, target = tmp_path / "song.mp3", tmp_path / "results" / "a.mp3"
    song.write_bytes(b"song")

    def sync(handle: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", sync)
    with pytest.raises(DiskFull, match="No space left on device"):
        publish(song, target)
    assert list(target.parent.iterdir()) == []
