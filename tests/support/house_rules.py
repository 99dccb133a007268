"""Reads off the source who imports whom, how long files and functions are, and what they change of others."""

from __future__ import annotations

import ast
import os
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
NOT_THE_PACK = {"tests", "benchmarks", "docs", "training", "build", "dist", "web"}
FUNCTION_LINES, FILE_LINES, FOLDER_FILES = 50, 320, 25

# The top-level modules of ComfyUI that other packs are known to import.
COMFYUI = tuple(
    "app api_server comfy comfy_api comfy_api_nodes comfy_config comfy_execution comfy_extras cuda_malloc execution "
    "folder_paths latent_preview main middleware node_helpers nodes protocol server utils".split()
)


@dataclass(frozen=True)
class Rule:
    """What a room or file may import beside the standard library and `parameters`.

    pack: other rooms. own: parts of its own top-level room; None for all of it. libraries: from outside.
    """

    pack: tuple[str, ...] = ()
    own: tuple[str, ...] | None = None
    libraries: tuple[str, ...] = ()


# By room or by module; the longest name that fits is the rule. A new library is a decision, made here.
_FLOOR = ("model", "sampler", "audio", "transfer", "host")
RULES: dict[str, Rule] = {
    "__init__": Rule(pack=("nodes.table", "service.http.comfy_routes")),
    "__main__": Rule(pack=("runner", "service.serve_command")),
    "parameters": Rule(),
    "model": Rule(libraries=("einops", "safetensors", "tokenizers", "torch", "transformers")),
    "model.formats": Rule(own=("model.formats",), libraries=("safetensors", "torch")),
    "model.adapters": Rule(own=("model.adapters", "model.formats"), libraries=("einops", "safetensors", "torch")),
    "model.planner": Rule(
        own=("model.planner", "model.formats"), libraries=("safetensors", "tokenizers", "torch", "transformers")
    ),
    "model.vae": Rule(own=("model.vae",), libraries=("torch",)),
    "sampler": Rule(libraries=("torch",)),
    "sampler.plot": Rule(libraries=("matplotlib", "numpy", "torch")),
    "sampler.schedules": Rule(own=("sampler.schedules",), libraries=("numpy", "scipy")),
    "sampler.solvers": Rule(own=("sampler.solvers", "sampler.noise"), libraries=("torch",)),
    "audio": Rule(libraries=("av", "numpy", "torch", "torchaudio")),
    "audio.vorbis": Rule(libraries=("av", "imageio_ffmpeg", "numpy", "torch")),
    "host": Rule(libraries=("torch",)),
    "host.comfy": Rule(libraries=("torch", *COMFYUI)),
    "host.comfy_model": Rule(libraries=("torch", *COMFYUI)),
    "host.comfy_server": Rule(libraries=COMFYUI),
    "host.offload": Rule(own=("host.offload",), libraries=("torch",)),
    "transfer": Rule(libraries=("aiohttp", "yarl")),
    "pipeline": Rule(pack=_FLOOR, libraries=("torch",)),
    "pipeline.preview": Rule(libraries=("PIL", "numpy", "torch")),
    "nodes": Rule(pack=("pipeline", *_FLOOR), libraries=("torch",)),
    "nodes.plot": Rule(pack=("pipeline", *_FLOOR), libraries=("PIL", "torch")),
    "runner": Rule(pack=("nodes.table", "host"), libraries=("huggingface_hub", "torch", "tqdm")),
    "service": Rule(pack=("runner", "audio", "transfer", "host"), libraries=("aiohttp", "torch")),
    "service.schema": Rule(pack=("runner", "audio", "transfer", "host"), own=("service.schema",)),
    "service.engine": Rule(
        pack=("runner", "audio", "transfer", "host"),
        own=("service.engine", "service.schema", "service.settings"),
        libraries=("aiohttp", "torch"),
    ),
    "service.engine.usage": Rule(own=(), libraries=("pynvml", "torch")),
    "service.queue": Rule(
        pack=("runner", "audio", "transfer", "host"),
        own=("service.queue", "service.engine", "service.schema", "service.settings"),
    ),
    "service.http": Rule(
        pack=("runner", "audio", "transfer", "host"),
        own=("service.http", "service.queue", "service.engine", "service.schema", "service.settings"),
        libraries=("aiohttp",),
    ),
    "workflows": Rule(),
}


@dataclass(frozen=True)
class Module:
    """One source file of the pack; name is dotted, from the root."""

    name: str
    path: Path
    tree: ast.Module
    package: tuple[str, ...]

    def place(self, node: ast.AST) -> str:
        return f"{'/'.join((*self.package, self.path.name))}:{getattr(node, 'lineno', 1)}"


def modules_of(root: Path) -> dict[str, Module]:
    """Every Python file of the pack by its name."""
    found: dict[str, Module] = {}
    for place, folders, files in os.walk(root):
        if Path(place) == root:
            folders[:] = [name for name in folders if name not in NOT_THE_PACK and not name.endswith(".egg-info")]
        folders[:] = [
            name
            for name in folders
            if not name.startswith((".", "__")) and not (Path(place) / name / "pyvenv.cfg").exists()
        ]
        package = Path(place).relative_to(root).parts
        for file in files:
            if file.endswith(".py"):
                path = Path(place) / file
                parts = (*package, path.stem) if path.stem != "__init__" or not package else package
                found[".".join(parts)] = Module(".".join(parts), path, ast.parse(path.read_text("utf-8")), package)
    return found


def rule_for(name: str) -> Rule | None:
    parts = name.split(".")
    return next((RULES[key] for n in range(len(parts), 0, -1) if (key := ".".join(parts[:n])) in RULES), None)


def import_violations(root: Path) -> list[str]:
    """Every import that the rules do not allow, as `file:line: what is wrong`."""
    modules = modules_of(root)
    classes = node_classes(modules)
    return [found for module in modules.values() for found in _module_violations(module, modules, classes)]


def _module_violations(module: Module, modules: dict[str, Module], classes: set[str]) -> Iterator[str]:
    rule = rule_for(module.name)
    if rule is None:
        yield f"{module.place(module.tree)}: no rule covers {module.name}; add its folder to the design and to RULES"
        return
    for node in ast.walk(module.tree):
        where = module.place(node)
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            if any(alias.name == "*" for alias in node.names):
                yield f"{where}: star import"
            for target, inside in targets_of(module, node, modules):
                if problem := _problem(module, rule, target, inside):
                    yield f"{where}: {problem}"
        if isinstance(node, ast.Call) and ast.unparse(node.func).split(".")[-1] in ("import_module", "__import__"):
            yield f"{where}: imports by a name made at run time, which no rule can see"
    if module.package[:1] == ("nodes",) and module.name != "nodes.table":
        yield from _node_class_uses(module, modules, classes)


def targets_of(
    module: Module, node: ast.Import | ast.ImportFrom, modules: dict[str, Module]
) -> Iterator[tuple[str, bool]]:
    """(dotted name, whether it lies inside the pack); `from .. import x` means the module x where there is one."""
    if isinstance(node, ast.Import):
        yield from ((alias.name, False) for alias in node.names)
        return
    if node.level == 0:
        yield str(node.module), False
        return
    kept = len(module.package) - (node.level - 1)
    if kept < 0:
        yield "." * node.level + (node.module or ""), True
        return
    base = (*module.package[:kept], *(node.module.split(".") if node.module else ()))
    for alias in node.names:
        full = ".".join((*base, alias.name))
        yield (full if full in modules else ".".join(base)), True


def _problem(module: Module, rule: Rule, target: str, inside: bool) -> str | None:
    top = target.split(".")[0]
    own = module.package[0] if module.package else module.name
    if inside:
        if target.startswith("."):
            return f"{target} leaves the pack"
        siblings = (own,) if rule.own is None else rule.own
        if top == "parameters" or any(_within(target, allowed) for allowed in (*siblings, *rule.pack)):
            return None
        room = own if rule.own is None else ".".join(module.package)
        allowed = ", ".join((*(rule.own or ()), *rule.pack)) or "nothing else"
        return f"{room} may not import {target or 'the root package'}; allowed: {allowed}"
    if top == "acestep_xl":
        return f"imports {target}; inside the pack imports are relative, for ComfyUI loads it under another name"
    if top in sys.stdlib_module_names or top in rule.libraries:
        return None
    if top in COMFYUI:
        return f"imports ComfyUI's {target}; only host/comfy*.py may"
    return f"{own} may not import the library {top}; allowed: {', '.join(rule.libraries) or 'none'}"


def _within(name: str, folder: str) -> bool:
    return name == folder or name.startswith(folder + ".")


def node_classes(modules: dict[str, Module]) -> set[str]:
    """The node classes as `module.Class`, read from the table's dict of (class, display name)."""
    if "nodes.table" not in modules:
        return set()
    for node in ast.walk(modules["nodes.table"].tree):
        target = node.targets[0] if isinstance(node, ast.Assign) else getattr(node, "target", None)
        if isinstance(target, ast.Name) and target.id == "NODES":
            table = getattr(node, "value", None)
            assert isinstance(table, ast.Dict)
            return {ast.unparse(value.elts[0]) for value in table.values if isinstance(value, ast.Tuple)}
    return set()


def _node_class_uses(module: Module, modules: dict[str, Module], classes: set[str]) -> Iterator[str]:
    """Another node's class, imported or reached through its module."""
    names: dict[str, str] = {}  # local name -> sibling module
    for node in ast.walk(module.tree):
        if isinstance(node, ast.ImportFrom) and node.level:
            for alias in node.names:
                source = f"{node.module or ''}.{alias.name}".strip(".").removeprefix("nodes.")
                source = source.removeprefix("delivery.")
                if source in classes:
                    yield f"{module.place(node)}: imports the node class {source}; nodes share functions, not nodes"
                if f"nodes.{source}" in modules:
                    names[alias.asname or alias.name] = source
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id in names:
            used = f"{names[node.value.id]}.{node.attr}"
            if used in classes:
                yield f"{module.place(node)}: uses the node class {used}; nodes share functions, not nodes"


def circles(root: Path) -> list[list[str]]:
    """Every circle of modules that import each other, imports for type checkers left out."""
    modules = modules_of(root)
    graph = {name: _imported(module, modules) for name, module in modules.items()}
    reach = {name: _reachable(name, graph) for name in graph}
    rings = {frozenset(other for other in reach[name] if name in reach[other]) for name in graph if name in reach[name]}
    return sorted(sorted(ring) for ring in rings)


def _imported(module: Module, modules: dict[str, Module]) -> set[str]:
    type_only = {
        id(inner)
        for node in ast.walk(module.tree)
        if isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING")
        for inner in ast.walk(node)
    }
    return {
        target
        for node in ast.walk(module.tree)
        if isinstance(node, (ast.Import, ast.ImportFrom)) and id(node) not in type_only
        for target, inside in targets_of(module, node, modules)
        if inside and target in modules and target != module.name
    }


def _reachable(name: str, graph: dict[str, set[str]]) -> set[str]:
    seen: set[str] = set()
    waiting = list(graph[name])
    while waiting:
        current = waiting.pop()
        if current not in seen:
            seen.add(current)
            waiting += graph[current]
    return seen


def style_violations(root: Path) -> list[str]:
    """Full folders, long files and functions, catch-all arguments, and changes to other people's modules."""
    modules = modules_of(root)
    folders = Counter("/".join(module.package) for module in modules.values())
    full = [
        f"{folder or 'the root'}: {n} files, {FOLDER_FILES} are the limit; make rooms of it"
        for folder, n in folders.items()
        if n > FOLDER_FILES
    ]
    return full + [found for module in modules.values() for found in _style_of(module)]


def _style_of(module: Module) -> Iterator[str]:
    lines = len(module.path.read_text("utf-8").splitlines())
    if lines > FILE_LINES:
        yield f"{module.place(module.tree)}: {lines} lines, {FILE_LINES} are the limit"
    foreign = _foreign_names(module)
    for node in ast.walk(module.tree):
        where = module.place(node)
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            length = (node.end_lineno or node.lineno) - node.lineno + 1
            if length > FUNCTION_LINES:
                yield f"{where}: {node.name} has {length} lines, {FUNCTION_LINES} are the limit"
            if node.args.kwarg and (not node.name.startswith("_") or node.name.endswith("__")):
                yield f"{where}: {node.name} takes **{node.args.kwarg.arg}; name its arguments"
        for target in _assigned(node):
            if foreign & _roots(target):
                yield f"{where}: changes {ast.unparse(target)}, which belongs to another package"


def _foreign_names(module: Module) -> set[str]:
    """Names that stand for something outside the pack."""
    return {
        (alias.asname or alias.name).split(".")[0]
        for node in ast.walk(module.tree)
        if isinstance(node, ast.Import) or (isinstance(node, ast.ImportFrom) and node.level == 0)
        for alias in node.names
    }


def _assigned(node: ast.AST) -> list[ast.expr]:
    if isinstance(node, ast.Assign):
        return node.targets
    if isinstance(node, (ast.AugAssign, ast.AnnAssign)):
        return [node.target]
    if isinstance(node, ast.Call) and ast.unparse(node.func) == "setattr" and node.args:
        return [ast.Attribute(node.args[0], "...", ast.Store())]
    return []


def _roots(target: ast.expr) -> set[str]:
    """The name that an attribute or item hangs on; plain names are the module's own."""
    depth = 0
    while isinstance(target, (ast.Attribute, ast.Subscript)):
        target, depth = target.value, depth + 1
    return {target.id} if depth and isinstance(target, ast.Name) else set()
