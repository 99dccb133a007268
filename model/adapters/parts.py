"""An adapter file's tensors, sorted by the module of the network that they belong to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from torch import Tensor

from .names import resolve, spellings
from .roles import Part, split


@dataclass
class Module:
    """name: official, of a module or a parameter. written: as in the file. roles: its tensors by what they are for."""

    name: str
    written: str
    roles: dict[str, Tensor] = field(default_factory=dict)

    @property
    def spellings(self) -> list[str]:
        """Its name as written and as other producers write it; patterns of a config match any."""
        return [self.written, *spellings(self.name)]


@dataclass(frozen=True)
class Parts:
    """modules: by official name. unmatched: modules as written that the network lacks. unknown: keys that end in no
    known way. repeated: keys of which another says the same. parts: every key that has a role."""

    modules: Mapping[str, Module]
    unmatched: tuple[str, ...]
    unknown: tuple[str, ...]
    repeated: tuple[str, ...]
    parts: tuple[Part, ...]


def sort_tensors(tensors: Mapping[str, Tensor]) -> Parts:
    """Sort all tensors of a file. What finds no place is listed, never dropped."""
    modules: dict[str, Module] = {}
    unmatched: dict[str, None] = {}
    unknown, repeated, parts = [], [], []
    for key, tensor in tensors.items():
        part = split(key)
        if part is None:
            unknown.append(key)
            continue
        parts.append(part)
        name = resolve(part.module)
        if name is None:
            unmatched[part.module] = None
            continue
        module = modules.setdefault(name, Module(name, part.module))
        if part.role in module.roles:
            repeated.append(key)
        module.roles[part.role] = tensor
    return Parts(modules, tuple(unmatched), tuple(unknown), tuple(repeated), tuple(parts))
