"""Deaths of the process are blamed on a result only if there are signs that it caused them."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from service_tools import TinyEngine, in_loop, inference
from task_queue import finished, open_tasks

from acestep_xl.service.queue import crash_signs, jobs
from acestep_xl.service.queue.crash_signs import Machine
from acestep_xl.service.queue.data_folder import CRASH_TRACE
from acestep_xl.service.queue.database import TaskDatabase
from acestep_xl.service.queue.jobs import ATTEMPTS, UNEXPLAINED
from acestep_xl.service.schema.task import Task

MACHINE = Machine("boot 1", 7)


async def enqueue(folder: Path, *queue: Task) -> None:
    async with open_tasks(folder, TinyEngine(folder / "work", seconds=60)) as tasks:
        assert await tasks.submit(queue) == [None] * len(queue)


def die(folder: Path, trace: str = "", before: Machine = MACHINE, after: Machine = MACHINE) -> str:
    """Leave the folder as a process that dies during the next job, and recover it. Returns the job's task."""
    database = TaskDatabase(folder)
    try:
        job = database.transact_sync(jobs.claim, time.time(), before)
        assert job is not None, "no job is queued"
        database.transact_sync(jobs.recover, {"code": "taskCrashed", "message": "m"}, {}, time.time(), trace, after)
        return job.task_uuid
    finally:
        database.close()


@in_loop
async def test_a_long_song_survives_any_number_of_power_cuts(tmp_path: Path) -> None:
    task = inference(seed=3)
    await enqueue(tmp_path, task)
    for cut in range(UNEXPLAINED + 5):
        die(tmp_path, before=Machine(f"boot {cut}", 7), after=Machine(f"boot {cut + 1}", 0))
    async with open_tasks(tmp_path) as tasks:
        assert (await finished(tasks, task)).status == "success"


@in_loop
async def test_a_song_survives_many_kills(tmp_path: Path) -> None:
    task = inference(seed=3)
    await enqueue(tmp_path, task)
    for _ in range(UNEXPLAINED - 1):
        die(tmp_path)
    async with open_tasks(tmp_path) as tasks:
        assert (await finished(tasks, task)).status == "success"


@pytest.mark.parametrize(
    "sign", [{"trace": "Segmentation fault"}, {"after": Machine("boot 1", 8)}], ids=["trace", "memory"]
)
@in_loop
async def test_signs_of_a_crash_count(sign: dict[str, Any], tmp_path: Path) -> None:
    """A trace of native code, or a process that the machine killed for memory. What came in between does not."""
    task = inference()
    await enqueue(tmp_path, task)
    for _ in range(ATTEMPTS - 1):
        die(tmp_path, **sign)
        die(tmp_path)
    die(tmp_path, **sign)
    async with open_tasks(tmp_path) as tasks:
        assert [error.code for error in (await finished(tasks, task)).errors] == ["taskCrashed"]


@in_loop
async def test_a_memory_kill_before_a_restart_of_the_machine_does_not_count(tmp_path: Path) -> None:
    """The count starts again with the machine."""
    task = inference()
    await enqueue(tmp_path, task)
    for _ in range(ATTEMPTS):
        die(tmp_path, before=Machine("boot 1", 0), after=Machine("boot 2", 9))
    async with open_tasks(tmp_path) as tasks:
        assert (await finished(tasks, task)).status == "success"


@in_loop
async def test_a_result_that_ends_the_process_without_a_sign_holds_up_nobody(tmp_path: Path) -> None:
    deadly, *others = (inference() for _ in range(3))
    await enqueue(tmp_path, deadly, *others)
    for _ in range(2):
        assert die(tmp_path) == deadly.task_uuid, "once may be chance"
    for other in others:
        assert die(tmp_path) == other.task_uuid
        assert die(tmp_path) == other.task_uuid
    for _ in range(UNEXPLAINED - 2):
        assert die(tmp_path) == deadly.task_uuid
    async with open_tasks(tmp_path) as tasks:
        assert [error.code for error in (await finished(tasks, deadly)).errors] == ["taskCrashed"]
        for other in others:
            assert (await finished(tasks, other)).status == "success"


CRASHES = {
    "segmentation fault": "import ctypes; ctypes.string_at(0)",
    "abort": "import os; os.abort()",
    "kill": "import os, signal; os.kill(os.getpid(), signal.SIGKILL)",
    "exit": "raise SystemExit(1)",
}


@pytest.mark.parametrize("kind", CRASHES)
def test_what_leaves_a_trace(kind: str, tmp_path: Path) -> None:
    """A real crash does, once; a kill and an orderly end do not."""
    script = (
        "import sys, pathlib; from acestep_xl.service.queue.crash_signs import record_crashes; "
        f"record_crashes(pathlib.Path(sys.argv[1])); {CRASHES[kind]}"
    )
    process = subprocess.run([sys.executable, "-c", script, str(tmp_path)], capture_output=True, timeout=60)
    assert process.returncode != 0
    trace = crash_signs.take_trace(tmp_path)
    assert ("Fatal Python error" in trace) == (kind in ("segmentation fault", "abort")), process.stderr
    assert crash_signs.take_trace(tmp_path) == "" and (tmp_path / CRASH_TRACE).stat().st_size == 0


@pytest.mark.skipif(not crash_signs.BOOT_ID.exists(), reason="needs Linux")
def test_the_machine_is_known() -> None:
    machine = crash_signs.read_machine()
    assert machine.boot and machine.memory_kills >= 0 and machine == crash_signs.read_machine()
