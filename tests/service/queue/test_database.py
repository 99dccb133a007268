"""The database: transactions that share a commit, and tables of an earlier version."""

from __future__ import annotations

import asyncio
import json
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from service_tools import in_loop, inference
from task_queue import finished, open_tasks

from acestep_xl.service.queue import data_folder, database
from acestep_xl.service.queue.database import Connection, TaskDatabase

VERSION_1 = """
CREATE TABLE tasks (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    uuid TEXT NOT NULL UNIQUE COLLATE NOCASE,
    request TEXT NOT NULL,
    base_url TEXT NOT NULL,
    accepted REAL NOT NULL,
    cancelled INTEGER NOT NULL DEFAULT 0,
    source TEXT,
    source_file TEXT
);
CREATE TABLE results (
    task INTEGER NOT NULL REFERENCES tasks (number),
    place INTEGER NOT NULL,
    audio_uuid TEXT NOT NULL UNIQUE COLLATE NOCASE,
    seed INTEGER NOT NULL,
    state TEXT NOT NULL DEFAULT 'queued' CHECK (state IN ('queued', 'running', 'done', 'failed')),
    attempts INTEGER NOT NULL DEFAULT 0,
    started REAL,
    finished REAL,
    expires REAL,
    file TEXT,
    answer TEXT,
    usage TEXT,
    PRIMARY KEY (task, place)
);
CREATE INDEX by_state ON results (state, task, place);
CREATE INDEX expiring ON results (expires) WHERE expires IS NOT NULL;
CREATE INDEX named ON results (file) WHERE file IS NOT NULL;
CREATE TABLE deliveries (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    task INTEGER NOT NULL,
    place INTEGER NOT NULL,
    kind TEXT NOT NULL CHECK (kind IN ('upload', 'webhook')),
    url TEXT NOT NULL,
    after INTEGER,
    state TEXT NOT NULL DEFAULT 'waiting' CHECK (state IN ('waiting', 'done', 'failed')),
    attempts INTEGER NOT NULL DEFAULT 0,
    created REAL NOT NULL,
    due REAL NOT NULL,
    problem TEXT,
    FOREIGN KEY (task, place) REFERENCES results (task, place)
);
CREATE INDEX waiting ON deliveries (due) WHERE state = 'waiting';
CREATE INDEX given_up ON deliveries (due) WHERE state = 'failed';
CREATE INDEX delivered ON deliveries (task, place);
"""


def insert(connection: Connection, number: int, error: Exception | None = None) -> int:
    """Insert a row, and then raise."""
    connection.execute("INSERT INTO process VALUES (?, 0)", (str(number),))
    if error is not None:
        raise error
    return number


def rows(connection: Connection) -> list[int]:
    return sorted(int(row["boot"]) for row in connection.execute("SELECT boot FROM process"))


@in_loop
async def test_waiting_transactions_share_a_commit_and_not_their_errors(tmp_path: Path) -> None:
    tasks = TaskDatabase(tmp_path)
    commits: list[str] = []
    tasks._connection.set_trace_callback(lambda text: commits.append(text) if text == "COMMIT" else None)
    failing = [number for number in range(100) if number % 7 == 3]
    calls = [
        tasks.transact(insert, number, ValueError(str(number)) if number in failing else None) for number in range(100)
    ]
    outcomes = await asyncio.gather(*calls, return_exceptions=True)
    assert [number for number, outcome in enumerate(outcomes) if isinstance(outcome, ValueError)] == failing
    assert all(str(outcome) == str(number) for number, outcome in enumerate(outcomes))
    assert len(commits) < 50, "a commit for each takes a sync of the disk for each"
    tasks.close()
    again = TaskDatabase(tmp_path)
    assert again.transact_sync(rows) == [number for number in range(100) if number not in failing]
    again.close()


@in_loop
async def test_a_transaction_that_sqlite_undoes_takes_no_other_with_it(tmp_path: Path) -> None:
    """As on some errors of a full disk, where everything since BEGIN is gone."""
    tasks = TaskDatabase(tmp_path)

    def undo(connection: Connection) -> None:
        connection.execute("ROLLBACK")
        raise sqlite3.OperationalError("database or disk is full")

    calls = [tasks.transact(undo) if number == 5 else tasks.transact(insert, number) for number in range(10)]
    outcomes = await asyncio.gather(*calls, return_exceptions=True)
    assert isinstance(outcomes.pop(5), database.StorageFull)
    assert outcomes == tasks.transact_sync(rows) == [number for number in range(10) if number != 5]
    tasks.close()


@in_loop
async def test_a_transaction_completes_without_its_caller(tmp_path: Path) -> None:
    tasks = TaskDatabase(tmp_path)
    calls = [asyncio.ensure_future(tasks.transact(insert, number)) for number in range(50)]
    await asyncio.sleep(0)
    for call in calls:
        call.cancel()
    await asyncio.gather(*calls, return_exceptions=True)
    assert tasks.transact_sync(rows) == list(range(50))
    tasks.close()


@in_loop
async def test_a_folder_of_version_1(tmp_path: Path) -> None:
    """Its tasks continue, and its deliveries too."""
    task, other = inference(webhookURL="http://hook.example:8080/a?b"), inference()
    with closing(sqlite3.connect(tmp_path / data_folder.DATABASE)) as connection:
        connection.executescript(VERSION_1 + "PRAGMA user_version = 1;")
        for number, one in enumerate((task, other), 1):
            row = (number, one.task_uuid, json.dumps(one.to_json()), "http://127.0.0.1", 1.0)
            connection.execute(
                "INSERT INTO tasks (number, uuid, request, base_url, accepted) VALUES (?, ?, ?, ?, ?)", row
            )
            result = (number, 0, one.task_uuid, 5, "queued")
            connection.execute(
                "INSERT INTO results (task, place, audio_uuid, seed, state) VALUES (?, ?, ?, ?, ?)", result
            )
        connection.execute(
            "INSERT INTO deliveries (task, place, kind, url, created, due) VALUES (1, 0, 'webhook', ?, 1, 9e9)",
            (task.value("webhookURL"),),
        )
        connection.commit()
    async with open_tasks(tmp_path) as queue:
        for one in (task, other):
            assert (await finished(queue, one)).status == "success"
    with closing(sqlite3.connect(tmp_path / data_folder.DATABASE)) as connection:
        hosts = {host for (host,) in connection.execute("SELECT host FROM deliveries")}
        assert hosts == {"hook.example:8080"}
        assert connection.execute("SELECT unfinished FROM tasks").fetchall() == [(0,), (0,)]
        assert connection.execute("PRAGMA user_version").fetchone() == (database.VERSION,)


@pytest.mark.parametrize("limit", [1, 3])
@in_loop
async def test_the_limit_counts_tasks_with_unfinished_results(limit: int, tmp_path: Path) -> None:
    async with open_tasks(tmp_path, max_queue=limit) as queue:
        for _ in range(3):
            tasks = [inference(numberResults=2) for _ in range(limit)]
            assert await queue.submit(tasks) == [None] * limit
            (refusal,) = await queue.submit([inference(numberResults=2)])
            if refusal is not None:
                assert refusal[0].code == "queueFull"
            for task in tasks:
                assert (await finished(queue, task)).status == "success"
