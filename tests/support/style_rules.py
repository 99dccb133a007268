"""Style rules that can be read off the source: sizes, catch-all arguments, changes to other packages."""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from source_modules import Module, modules_of

MAX_FUNCTION_LINES, MAX_FILE_LINES, MAX_FOLDER_FILES = 50, 320, 25


def style_violations(root: Path) -> list[str]:
    """Full folders, long files and functions, catch-all arguments, and changes to other packages."""
    modules = modules_of(root)
    folders = Counter("/".join(module.package) for module in modules.values())
    full = [
        f"{folder or 'the root'}: {n} files, the limit is {MAX_FOLDER_FILES}; split it into folders"
        for folder, n in folders.items()
        if n > MAX_FOLDER_FILES
    ]
    return full + [violation for module in modules.values() for violation in _module_violations(module)]


def _module_violations(module: Module) -> Iterator[str]:
    lines = len(module.path.read_text("utf-8").splitlines())
    if lines > MAX_FILE_LINES:
        yield f"{module.location(module.tree)}: {lines} lines, the limit is {MAX_FILE_LINES}"
    foreign = _foreign_names(module)
    for node in ast.walk(module.tree):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            yield from _function_violations(module, node)
        for target in _assignment_targets(node):
            if foreign & _roots(target):
                yield f"{module.location(node)}: changes {ast.unparse(target)}, which belongs to another package"


def _function_violations(module: Module, node: ast.FunctionDef | ast.AsyncFunctionDef) -> Iterator[str]:
    length = (node.end_lineno or node.lineno) - node.lineno + 1
    if length > MAX_FUNCTION_LINES:
        yield f"{module.location(node)}: {node.name} has {length} lines, the limit is {MAX_FUNCTION_LINES}"
    # Methods that ComfyUI calls have its signatures.
    is_comfyui = module.name.startswith("host.comfy_")
    if not is_comfyui and node.args.kwarg and (not node.name.startswith("_") or node.name.endswith("__")):
        yield f"{module.location(node)}: {node.name} takes **{node.args.kwarg.arg}; name its arguments"


def _foreign_names(module: Module) -> set[str]:
    """Names that refer to something outside the pack."""
    return {
        (alias.asname or alias.name).split(".")[0]
        for node in ast.walk(module.tree)
        if isinstance(node, ast.Import) or (isinstance(node, ast.ImportFrom) and node.level == 0)
        for alias in node.names
    }


def _assignment_targets(node: ast.AST) -> list[ast.expr]:
    if isinstance(node, ast.Assign):
        return node.targets
    if isinstance(node, (ast.AugAssign, ast.AnnAssign)):
        return [node.target]
    if isinstance(node, ast.Call) and ast.unparse(node.func) == "setattr" and node.args:
        return [ast.Attribute(node.args[0], "...", ast.Store())]
    return []


def _roots(target: ast.expr) -> set[str]:
    """The name at the start of an attribute or item; a plain name is the module's own."""
    depth = 0
    while isinstance(target, (ast.Attribute, ast.Subscript)):
        target, depth = target.value, depth + 1
    return {target.id} if depth and isinstance(target, ast.Name) else set()
