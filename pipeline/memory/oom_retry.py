"""Work that may run out of memory, and the cheaper strategies it is retried with."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

import torch
from torch import nn

from ...host.offload.accelerator import MemoryInfo, OutOfMemory, is_out_of_memory
from ...host.protocol import Held, Host, Role

T = TypeVar("T")
GIB = 2**30
SAFETY_FACTOR = 2  # times the estimate, so that more weights stay in main memory


@dataclass(frozen=True)
class Strategy:
    """One way to do the work.

    memory: bytes needed beside the weights. description: how it differs, for the message of a retry. batch_halves:
    whether the two halves of a guided step share a batch, None where that is left to the predictor. chunk_frames:
    latent frames that go through the VAE at a time.
    """

    memory: int
    description: str = ""
    batch_halves: bool | None = None
    chunk_frames: int = 0


def fallbacks(memory: int, info: MemoryInfo | None, batch_halves: bool | None = None) -> list[Strategy]:
    """The estimate, then larger requests: the host answers those by keeping more weights in main memory.

    info: the device's memory; None where it has none of its own, and so nothing to offload.
    """
    first = Strategy(memory, batch_halves=batch_halves)
    if info is None:
        return [first]
    larger = [
        (SAFETY_FACTOR * memory, "with fewer layers on the card"),
        (info.total, "with every layer streamed"),
    ]
    return [first, *(Strategy(request, how, batch_halves) for request, how in larger if request > memory)]


def run_with_retries(
    host: Host,
    activity: str,
    modules: Sequence[nn.Module | Held],
    strategies: Sequence[Strategy],
    work: Callable[[Strategy, torch.device], T],
    role: Role = "network",
) -> T:
    """Run `work` with the modules loaded, retrying with the next cheaper strategy after an out-of-memory error.

    work: starts afresh on every try, so the result does not depend on the strategy. activity: what it does, for
    messages. Raises OutOfMemory after the last strategy; other errors and interruptions pass through.
    """
    reason = ""
    for strategy, following in zip(strategies, [*strategies[1:], None], strict=True):
        try:
            with host.resident(modules, strategy.memory, role) as device:
                return work(strategy, device)
        except Exception as error:
            if not is_out_of_memory(error):
                raise
            reason = str(error).partition("\n")[0] or type(error).__name__
        # Outside the handler, where the traceback no longer keeps the failed run's tensors alive.
        host.reclaim()
        if following is not None:
            host.warn(f"out of memory while {activity}; trying again {following.description}")
    raise OutOfMemory(_explanation(host, activity, strategies[-1], role, reason))


def _explanation(host: Host, activity: str, last: Strategy, role: Role, reason: str) -> str:
    info = host.memory_info(role)
    free = "" if info is None else f" of {info.free / GIB:.2f} GiB available ({info.total / GIB:.2f} GiB in all)"
    return (
        f"out of memory while {activity}, even with the cheapest strategy: the work needs {last.memory / GIB:.2f} GiB"
        f"{free} ({reason}). Make the song shorter or the batch smaller, choose bf16 in the loader, or close other "
        "programs that use the memory; `acestep-xl plan` shows what fits"
    )
