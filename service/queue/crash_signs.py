"""Signs of why the last process ended: whether the result that was running is to blame.

A crash in native code writes a trace into the folder, and Linux counts the processes that it kills for memory. A power
cut, a restart of the machine and a kill from outside leave neither.
"""

from __future__ import annotations

import faulthandler
import logging
import os
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from .data_folder import CRASH_TRACE, PRIVATE_FILE

_logger = logging.getLogger("acestep_xl")
BOOT_ID, MEMORY_STATISTICS = Path("/proc/sys/kernel/random/boot_id"), Path("/proc/vmstat")
MEMORY_KILLS = "oom_kill"
SHOWN = 4000  # characters of a trace in the log


@dataclass(frozen=True)
class Machine:
    """boot: identifies the machine's last start, "" where the system does not. memory_kills: processes it has killed
    since to free memory."""

    boot: str = ""
    memory_kills: int = 0


def read_machine() -> Machine:
    """The machine as it is now."""
    boot, kills = "", 0
    with suppress(OSError, ValueError):
        boot = BOOT_ID.read_text().strip()
        fields = dict(line.split(maxsplit=1) for line in MEMORY_STATISTICS.read_text().splitlines())
        kills = int(fields.get(MEMORY_KILLS, 0))
    return Machine(boot, kills)


def record_crashes(folder: Path) -> None:
    """From now on, let a crash of this process write its trace into the folder. For a process of the service's own,
    since there is one such file per process."""
    try:
        # Open as long as the process lives. Appending, so that it can be emptied meanwhile.
        descriptor = os.open(folder / CRASH_TRACE, os.O_WRONLY | os.O_CREAT | os.O_APPEND, PRIVATE_FILE)
    except OSError as error:
        _logger.warning("a crash will leave no trace: %s", error)
    else:
        faulthandler.enable(descriptor)


def take_trace(folder: Path) -> str:
    """The trace that the last process left, "" for none; it is logged, and removed."""
    path = folder / CRASH_TRACE
    try:
        trace = path.read_text("utf-8", "replace").strip()
        if trace:
            _logger.error("the last process crashed:\n%s", trace[:SHOWN])
            path.write_bytes(b"")
    except FileNotFoundError:
        return ""
    except OSError as error:
        _logger.warning("the trace of the last process cannot be removed: %s", error)
        return ""
    return trace
