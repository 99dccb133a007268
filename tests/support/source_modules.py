"""The pack's source files as modules, and what each imports."""

from __future__ import annotations

import ast
import functools
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
NOT_THE_PACK = {"tests", "benchmarks", "docs", "training", "build", "dist", "web"}


@dataclass(frozen=True)
class Module:
    """One source file of the pack. name: dotted, from the root."""

    name: str
    path: Path
    tree: ast.Module
    package: tuple[str, ...]

    def location(self, node: ast.AST) -> str:
        """`file:line` of a node."""
        return f"{'/'.join((*self.package, self.path.name))}:{getattr(node, 'lineno', 1)}"


def modules_of(root: Path) -> dict[str, Module]:
    """Every Python file of the pack by its name."""
    modules: dict[str, Module] = {}
    for directory, folders, files in os.walk(root):
        folders[:] = [name for name in folders if _is_package(Path(directory) / name, root)]
        package = Path(directory).relative_to(root).parts
        for file in files:
            if file.endswith(".py"):
                path = Path(directory) / file
                parts = (*package, path.stem) if path.stem != "__init__" or not package else package
                name = ".".join(parts)
                modules[name] = Module(name, path, _parse(path.read_text("utf-8")), package)
    return modules


_parse = functools.cache(ast.parse)  # several tests walk the whole tree


def _is_package(folder: Path, root: Path) -> bool:
    if folder.name.startswith((".", "__")) or (folder / "pyvenv.cfg").exists():
        return False
    return folder.parent != root or not (folder.name in NOT_THE_PACK or folder.name.endswith(".egg-info"))


def import_targets(
    module: Module, node: ast.Import | ast.ImportFrom, modules: dict[str, Module]
) -> Iterator[tuple[str, bool]]:
    """(dotted name, whether it is inside the pack); `from .. import x` means the module x if there is one."""
    if isinstance(node, ast.Import):
        yield from ((alias.name, False) for alias in node.names)
        return
    if node.level == 0:
        yield str(node.module), False
        return
    depth = len(module.package) - (node.level - 1)
    if depth < 0:
        yield "." * node.level + (node.module or ""), True
        return
    base = (*module.package[:depth], *(node.module.split(".") if node.module else ()))
    for alias in node.names:
        full = ".".join((*base, alias.name))
        yield (full if full in modules else ".".join(base)), True
