"""An adapter as read from its file, and the error for one that can't be used."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from ..config import Training
from ..formats.tensors import CheckpointError
from .sizes import group_of
from .updates.update import Update


class AdapterError(CheckpointError):
    """An adapter that can't be used; names the file, everything that is wrong with it and the remedies."""


@dataclass(frozen=True)
class Entry:
    """One parameter that the adapter updates, by its name in the network, and how. scale: alpha over rank, or 1."""

    parameter: str
    update: Update
    scale: float = 1.0

    @property
    def group(self) -> str:
        return group_of(self.parameter)


@dataclass(frozen=True)
class Adapter:
    """What a file holds.

    layout: who writes such files. alpha: where the scale came from. sizes: the published networks it fits. trained_on:
    the kind of checkpoint, where the file says it. hints: what its user should know, as sentences.
    """

    path: Path
    entries: tuple[Entry, ...]
    layout: str
    alpha: str
    sizes: tuple[str, ...]
    trained_on: Training
    hints: tuple[str, ...]

    @property
    def kinds(self) -> tuple[str, ...]:
        """The kinds of its updates, the most frequent first."""
        return tuple(kind for kind, _ in Counter(entry.update.kind for entry in self.entries).most_common())

    @property
    def ranks(self) -> tuple[int, ...]:
        """All ranks in it, ascending; empty for kinds without any."""
        return tuple(sorted({rank for entry in self.entries if (rank := entry.update.rank) is not None}))

    @property
    def groups(self) -> dict[str, int]:
        """How many parameters it updates in each group of modules."""
        return dict(Counter(entry.group for entry in self.entries))

    @property
    def bytes(self) -> int:
        """Of its tensors, in the dtypes of the file."""
        return sum(tensor.nbytes for entry in self.entries for tensor in entry.update.tensors())

    def describe(self) -> str:
        """What it is, in a few lines."""
        ranks = ", ".join(map(str, self.ranks))
        groups = ", ".join(f"{count} {name.replace('_', ' ')}" for name, count in sorted(self.groups.items()))
        lines = [
            f"{' and '.join(self.kinds)}{f' of rank {ranks}' if ranks else ''}, {self.layout}, {self.bytes:,} bytes",
            f"scale: {self.alpha}",
            f"updates {len(self.entries)} parameters: {groups}",
            f"fits {' and '.join(self.sizes) or 'no published size'}; trained on {self.trained_on}",
        ]
        return "\n".join([*lines, *self.hints])
