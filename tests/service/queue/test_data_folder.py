"""The service's folder: what cannot be one is refused in a sentence, a full disk still serves what is finished, and
what is in it is private."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from service_tools import in_loop, inference
from task_queue import fill_disk, finished, open_tasks, run_task

from acestep_xl.service.queue import data_folder, jobs, tasks
from acestep_xl.service.queue.data_folder import FolderUnusable
from acestep_xl.service.queue.database import DatabaseDamaged, TaskDatabase

POSIX = pytest.mark.skipif(os.name != "posix", reason="needs POSIX permissions")


def unusable(folder: Path) -> str:
    with pytest.raises(FolderUnusable) as caught:
        TaskDatabase(folder)
    return str(caught.value)


def test_a_folder_that_cannot_be_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "notes.txt"
    file.write_text("notes")
    assert unusable(file).endswith("it is a file, not a folder; move the file away, or choose another folder")
    assert f"{file} is a file, not a folder" in unusable(file / "below" / "it")
    monkeypatch.setattr(os, "access", lambda *_: False)  # root may write anywhere
    assert "read-only; choose a folder that this user may write to" in unusable(tmp_path)
    assert file.read_text() == "notes"


@pytest.mark.skipif(sys.platform != "linux", reason="needs Linux")
def test_a_folder_in_proc() -> None:
    assert "/proc/songs: it cannot be created (" in unusable(Path("/proc/songs"))


def test_a_database_that_cannot_be_opened(tmp_path: Path) -> None:
    (tmp_path / data_folder.DATABASE).mkdir()
    assert f"{data_folder.DATABASE} cannot be opened (" in unusable(tmp_path)


@pytest.mark.parametrize("place", ["file", "below", "proc"])
def test_the_command_says_it_in_one_sentence(place: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("notes")
    folder = {"file": tmp_path / "file", "below": tmp_path / "file" / "data", "proc": Path("/proc/nowhere")}[place]
    command = [sys.executable, "-m", "acestep_xl", "serve", "--demo", "--port", "0", "--data", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 2 and "Traceback" not in done.stderr, done.stderr
    assert len(done.stderr.strip().splitlines()) == 1 and str(folder) in done.stderr


async def make_song(folder: Path) -> tuple[str, bytes]:
    """A finished task in the folder, and its audio."""
    async with open_tasks(folder) as queue:
        state = await run_task(queue, task := inference(numberResults=4))
        file = await queue.file(state.results[0]["audioUUID"])
        assert file is not None
        return task.task_uuid, file[0].read_bytes()


@in_loop
async def test_a_database_with_damaged_pages_is_refused(tmp_path: Path) -> None:
    """Its header is fine, so that it opens."""
    await make_song(tmp_path)
    path = tmp_path / data_folder.DATABASE
    content = bytearray(path.read_bytes())
    for start in range(3 * 4096, len(content), 2 * 4096):
        content[start : start + 512] = b"\xa5" * 512
    path.write_bytes(content)
    with pytest.raises(DatabaseDamaged, match=r"is damaged \(.+\): restore it, or move it away with the whole folder"):
        TaskDatabase(tmp_path)


@in_loop
async def test_a_full_disk_at_the_start_serves_what_is_finished(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tasks, "RECOVERY_SECONDS", 0.05)
    task_uuid, audio = await make_song(tmp_path)
    failures = fill_disk(monkeypatch, jobs.recover, times=10)
    async with open_tasks(tmp_path) as queue:
        state = await queue.state(task_uuid)
        assert state is not None and state.status == "success"
        file = await queue.file(state.results[0]["audioUUID"])
        assert file is not None and file[0].read_bytes() == audio
        assert "full" in queue.problems[0]
        later = inference()
        assert await queue.submit([later]) == [None], "and works again once there is room"
        assert (await finished(queue, later)).status == "success"
        assert queue.problems == [] and len(failures) == 10


NO_ROOM = """
import asyncio, resource, sys
from pathlib import Path
from service_tools import inference
from task_queue import open_tasks

async def main():
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, resource.RLIM_INFINITY))
    async with open_tasks(Path(sys.argv[1])) as queue:
        state = await queue.state(sys.argv[2])
        file = await queue.file(state.results[0]["audioUUID"])
        (refusal,) = await queue.submit([inference()])
        print(state.status, len(file[0].read_bytes()), refusal[0].code)

asyncio.run(main())
"""


@POSIX
@in_loop
async def test_a_disk_that_takes_no_byte(tmp_path: Path) -> None:
    """Not simulated within SQLite: no file may grow."""
    task_uuid, audio = await make_song(tmp_path)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-c", NO_ROOM, str(tmp_path), task_uuid]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, env=environment)
    assert done.stdout.split() == ["success", str(len(audio)), "storageFull"], done.stderr


def modes(folder: Path) -> dict[str, int]:
    """Permissions of everything in a folder, by name or by "." for itself."""
    paths = [folder, *folder.rglob("*")]
    return {str(path.relative_to(folder)): stat.S_IMODE(path.stat().st_mode) for path in paths}


@POSIX
@in_loop
async def test_the_folder_is_private(tmp_path: Path) -> None:
    folder = tmp_path / "new" / "data"
    async with open_tasks(folder) as queue:
        await run_task(queue, inference())
        found = modes(folder)
        assert {name for name in found if name.endswith("-wal")}, found
    for name, mode in {**found, **modes(folder)}.items():
        if not name.startswith("work/"):
            assert mode == (0o700 if (folder / name).is_dir() else 0o600), name


@POSIX
@in_loop
async def test_an_existing_folder_becomes_private(tmp_path: Path) -> None:
    await make_song(tmp_path)
    for path in (tmp_path, *tmp_path.rglob("*")):
        path.chmod(0o755 if path.is_dir() else 0o644)
    async with open_tasks(tmp_path):
        for name, mode in modes(tmp_path).items():
            assert mode == (0o700 if (tmp_path / name).is_dir() else 0o600), name


@POSIX
@in_loop
async def test_a_folder_that_others_share_keeps_its_permissions(tmp_path: Path) -> None:
    other = tmp_path / "other.txt"
    other.write_text("mine")
    other.chmod(0o644)
    tmp_path.chmod(0o755)
    async with open_tasks(tmp_path):
        found = modes(tmp_path)
    assert (found["."], found["other.txt"]) == (0o755, 0o644)
    assert (found["tasks.sqlite3"], found["results"]) == (0o600, 0o700)
