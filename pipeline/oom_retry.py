"""Work that may run out of memory, and the smaller ways in which it is tried again from its start."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

import torch
from torch import nn

from ..host.offload.accelerator import MemoryInfo, OutOfMemory, is_out_of_memory
from ..host.protocol import Host, Role

T = TypeVar("T")
GIB = 2**30
FEWER = 2  # times the estimate, for weights to make more room


@dataclass(frozen=True)
class Strategy:
    """One way to do the work. memory: bytes to announce beside the weights. how: what is told when it is a way out.
    together: whether the halves of a guided step share a batch. chunk: latent frames through the VAE at a time."""

    memory: int
    how: str = ""
    together: bool | None = None
    chunk: int = 0


def fallbacks(memory: int, card: MemoryInfo | None, together: bool | None = None) -> list[Strategy]:
    """An estimate, and what to announce where it was not enough: the host then leaves more weights in main memory."""
    first = Strategy(memory, together=together)
    if card is None:
        return [first]
    more = [(FEWER * memory, "with fewer layers on the card"), (card.total, "with every layer streamed")]
    return [first, *(Strategy(needed, how, together) for needed, how in more if needed > memory)]


def run_with_retries(
    host: Host,
    doing: str,
    modules: Sequence[nn.Module],
    attempts: Sequence[Strategy],
    work: Callable[[Strategy, torch.device], T],
    role: Role = "network",
) -> T:
    """Do the work with the modules ready to run, in the first way that memory is enough for.

    work: begins anew each time, and so gives the same whichever way it ends; it gets the device. doing: what it is, for
    messages. Raises OutOfMemory after the last attempt; any other error and a stop pass through.
    """
    reason = ""
    for attempt, following in zip(attempts, [*attempts[1:], None], strict=True):
        try:
            with host.resident(modules, attempt.memory, role) as device:
                return work(attempt, device)
        except Exception as error:
            if not is_out_of_memory(error):
                raise
            reason = str(error).partition("\n")[0] or type(error).__name__
        # Only here, with the error gone, nothing holds what the failed attempt made.
        host.reclaim()
        if following is not None:
            host.warn(f"out of memory while {doing}; trying again {following.how}")
    raise OutOfMemory(_explain(host, doing, attempts[-1], role, reason))


def _explain(host: Host, doing: str, last: Strategy, role: Role, reason: str) -> str:
    card = host.memory_info(role)
    free = "" if card is None else f", and {card.free / GIB:.2f} of {card.total / GIB:.2f} GiB could be had"
    return (
        f"out of memory while {doing}, in every way there is: {last.memory / GIB:.2f} GiB were set aside for the work"
        f"{free} ({reason}). Make the song shorter or the batch smaller, choose bf16 in the loader, or close other "
        "programs that use the memory; `acestep-xl plan` says what fits"
    )
