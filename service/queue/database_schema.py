"""The tables of the database, and how those of an earlier version become these."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from urllib.parse import urlsplit

VERSION = 2
DEFAULT_PORTS = {"http": 80, "https": 443}

# number: the order of acceptance. place: a result's index in its task. source: inputs.audio as sent; source_file: its
# path relative to the service's folder, NULL until it is there. unfinished: how many results are queued or running.
# attempts: starts that were not orderly taken back; crashes: those of them after which the process left signs of a
# crash. answer: the result object without audio, or the error. host: with its port, of the url. after: the delivery
# that must end before this one starts. process: the machine's boot and its count of processes killed for memory when a
# result was last started. The states are explained in status.py.
SCHEMA = """
CREATE TABLE tasks (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    uuid TEXT NOT NULL UNIQUE COLLATE NOCASE,
    request TEXT NOT NULL,
    base_url TEXT NOT NULL,
    accepted REAL NOT NULL,
    cancelled INTEGER NOT NULL DEFAULT 0,
    source TEXT,
    source_file TEXT,
    unfinished INTEGER NOT NULL DEFAULT 0
);
CREATE TABLE results (
    task INTEGER NOT NULL REFERENCES tasks (number),
    place INTEGER NOT NULL,
    audio_uuid TEXT NOT NULL UNIQUE COLLATE NOCASE,
    seed INTEGER NOT NULL,
    state TEXT NOT NULL DEFAULT 'queued' CHECK (state IN ('queued', 'running', 'done', 'failed')),
    attempts INTEGER NOT NULL DEFAULT 0,
    crashes INTEGER NOT NULL DEFAULT 0,
    started REAL,
    finished REAL,
    expires REAL,
    file TEXT,
    answer TEXT,
    usage TEXT,
    PRIMARY KEY (task, place)
);
CREATE TABLE deliveries (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    task INTEGER NOT NULL,
    place INTEGER NOT NULL,
    kind TEXT NOT NULL CHECK (kind IN ('upload', 'webhook')),
    url TEXT NOT NULL,
    host TEXT NOT NULL DEFAULT '',
    after INTEGER,
    state TEXT NOT NULL DEFAULT 'waiting' CHECK (state IN ('waiting', 'done', 'failed')),
    attempts INTEGER NOT NULL DEFAULT 0,
    created REAL NOT NULL,
    due REAL NOT NULL,
    problem TEXT,
    FOREIGN KEY (task, place) REFERENCES results (task, place)
);
"""
INDEXES = """
CREATE INDEX by_state ON results (state, task, place);
CREATE INDEX expiring ON results (expires) WHERE expires IS NOT NULL;
CREATE INDEX named ON results (file) WHERE file IS NOT NULL;
CREATE INDEX waiting ON deliveries (due) WHERE state = 'waiting';
CREATE INDEX given_up ON deliveries (due) WHERE state = 'failed';
CREATE INDEX delivered ON deliveries (task, place);
"""
ADDITIONS = """
CREATE TABLE process (boot TEXT NOT NULL, memory_kills INTEGER NOT NULL);
CREATE INDEX unfinished_tasks ON tasks (number) WHERE unfinished > 0;
CREATE INDEX awaiting_source ON tasks (number) WHERE unfinished > 0 AND source IS NOT NULL AND source_file IS NULL;
CREATE INDEX waiting_by_host ON deliveries (kind, host, due, number) WHERE state = 'waiting';
"""
FROM_VERSION_1 = """
ALTER TABLE tasks ADD COLUMN unfinished INTEGER NOT NULL DEFAULT 0;
ALTER TABLE results ADD COLUMN crashes INTEGER NOT NULL DEFAULT 0;
ALTER TABLE deliveries ADD COLUMN host TEXT NOT NULL DEFAULT '';
UPDATE tasks SET unfinished =
    (SELECT COUNT(*) FROM results WHERE task = number AND state IN ('queued', 'running'));
UPDATE deliveries SET host = host_of(url) WHERE state = 'waiting';
"""


def prepare(connection: sqlite3.Connection, path: Path) -> None:
    """Create the tables, or bring those of an earlier version up to date, in one transaction. Raises ValueError for a
    later version."""
    connection.execute("BEGIN IMMEDIATE")
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if version > VERSION:
        raise ValueError(f"{path} was written by a later version of this program; update it, or use another folder")
    if version < VERSION:
        connection.create_function("host_of", 1, host_of, deterministic=True)
        for statement in (SCHEMA + INDEXES + ADDITIONS if version == 0 else FROM_VERSION_1 + ADDITIONS).split(";"):
            connection.execute(statement)
        connection.execute(f"PRAGMA user_version = {VERSION}")
    connection.execute("COMMIT")


def host_of(url: str) -> str:
    """Host and port of a URL, by which deliveries share their slots; "" for one that cannot be read."""
    try:
        parts = urlsplit(url)
        return f"{parts.hostname or ''}:{parts.port or DEFAULT_PORTS.get(parts.scheme, '')}"
    except ValueError:
        return ""
