"""How long recordings stay: expiry, use, full folders and disks, crashes."""

from __future__ import annotations

import asyncio
import errno
import os
import random
import signal
import subprocess
import sys
import uuid
from pathlib import Path

import pytest
from folders import file_names
from media_stores import HOUR, Clock, add, base64_of, open_store, recording, upload_task

from acestep_xl.service.queue import media_store
from acestep_xl.service.queue.database import StorageFull
from acestep_xl.service.schema.errors import RequestError


def test_recordings_expire_after_their_last_use(tmp_path: Path) -> None:
    clock = Clock()
    store = open_store(tmp_path, clock, media_hours=24.0)
    first, second = add(store, base64_of(recording())), add(store, base64_of(recording()))
    clock.now += 23 * HOUR
    assert store.find(first.uuid) == first.path
    clock.now += 2 * HOUR
    store.clean()
    assert file_names(tmp_path) == [first.path.name] and store.find(second.uuid) is None
    clock.now += 25 * HOUR
    third = add(store, base64_of(recording()))
    assert file_names(tmp_path) == [third.path.name]


def test_without_an_expiry_recordings_stay(tmp_path: Path) -> None:
    clock = Clock()
    store = open_store(tmp_path, clock, media_hours=0.0)
    media = add(store, base64_of(recording()))
    clock.now += 10**9
    store.clean()
    assert store.find(media.uuid) == media.path


def test_recordings_in_use_stay(tmp_path: Path) -> None:
    clock, in_use = Clock(), []
    store = open_store(tmp_path, clock, lambda: in_use, media_hours=1.0, media_gib=0.01)
    first, second = add(store, base64_of(recording())), add(store, base64_of(recording()))
    in_use.append(first.path.name)
    clock.now += 100 * HOUR
    store.clean()
    assert file_names(tmp_path) == [first.path.name] and not second.path.exists()


def test_the_least_recently_used_recording_makes_room(tmp_path: Path) -> None:
    clock = Clock()
    # Four of these fit into 0.01 GiB.
    text = base64_of(recording(13.0))
    store = open_store(tmp_path, clock, media_gib=0.01, media_hours=0.0)
    stored = []
    for _ in range(4):
        stored.append(add(store, text))
        clock.now += HOUR
    store.find(stored[0].uuid)
    clock.now += 2 * HOUR
    fifth = add(store, text)
    assert {media.uuid for media in (stored[0], *stored[2:], fifth)} == {
        Path(name).stem for name in file_names(tmp_path)
    }


def test_a_full_folder_rejects_recordings_and_loses_nothing(tmp_path: Path) -> None:
    text = base64_of(recording(13.0))
    store = open_store(tmp_path, media_gib=0.01)
    stored = sorted(add(store, text).path.name for _ in range(4))
    with pytest.raises(StorageFull, match="one of 2496078 more does not fit"):
        add(store, text)
    assert file_names(tmp_path) == stored
    with pytest.raises(RequestError) as caught:
        asyncio.run(store.store(upload_task(text)))
    (error,) = caught.value.errors
    assert error.code == "storageFull" and str(tmp_path) not in error.message


def test_a_full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def write_until_full(path: Path, data: bytes) -> None:
        with path.open("wb") as file:
            file.write(data[:10])
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))

    monkeypatch.setattr(media_store, "write_private", write_until_full)
    with pytest.raises(StorageFull, match="the disk has no room for the recording"):
        add(open_store(tmp_path), base64_of(recording()))
    assert file_names(tmp_path) == []


def test_leftovers_of_a_crash_are_never_found_and_are_deleted(tmp_path: Path) -> None:
    clock = Clock()
    store = open_store(tmp_path, clock)
    ours, publishing = str(uuid.uuid4()), str(uuid.uuid4())
    for name in (f"{ours}.part.wav", f"{publishing}.part"):
        (tmp_path / name).write_bytes(recording()[:1000])
        os.utime(tmp_path / name, (clock.now, clock.now))
    assert store.find(ours) is None and store.find(publishing) is None
    clock.now += 30 * 60
    store.clean()
    assert len(file_names(tmp_path)) == 2
    clock.now += 31 * 60
    store.clean()
    assert file_names(tmp_path) == []


CHILD = """
import asyncio, sys
from pathlib import Path
from acestep_xl.service.queue.media_store import MediaStore
from acestep_xl.service.settings import ServiceSettings
store = MediaStore(Path(sys.argv[1]), ServiceSettings())
source = sys.stdin.read()
while True:
    print(asyncio.run(store.add(source)).uuid, flush=True)
"""


@pytest.mark.slow
def test_killed_at_any_moment(tmp_path: Path) -> None:
    data = recording(2.0)
    with subprocess.Popen(
        [sys.executable, "-c", CHILD, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as child:
        assert child.stdin is not None and child.stdout is not None
        child.stdin.write(base64_of(data))
        child.stdin.close()
        reported = [child.stdout.readline().strip() for _ in range(random.Random().randint(5, 40))]
        child.send_signal(signal.SIGKILL)
        reported += child.stdout.read().split()
    store = open_store(tmp_path)
    for media_uuid in reported:
        path = store.find(media_uuid)
        assert path is not None and path.read_bytes() == data
    for path in tmp_path.iterdir():
        assert ".part" in path.name or path.read_bytes() == data
