"""Who may import whom, checked against the source."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from source_modules import Module, import_targets, modules_of

# The top-level modules of ComfyUI that other packs are known to import.
COMFYUI = tuple(
    "app api_server comfy comfy_api comfy_api_nodes comfy_config comfy_execution comfy_extras cuda_malloc execution "
    "folder_paths latent_preview main middleware node_helpers nodes protocol server utils".split()
)


@dataclass(frozen=True)
class Rule:
    """What a folder or file may import beside the standard library and `parameters`.

    pack: other folders. own: parts of its own top-level folder; None for all of it. libraries: other packages.
    """

    pack: tuple[str, ...] = ()
    own: tuple[str, ...] | None = None
    libraries: tuple[str, ...] = ()


NODE_TABLES = ("nodes.table", "nodes.native.table")

# By folder or module; the longest matching name applies. Adding a library is a decision, made here.
_FLOOR = ("model", "sampler", "audio", "transfer", "host")
RULES: dict[str, Rule] = {
    "__init__": Rule(pack=("nodes.table", "service.http.comfy_routes")),
    "__main__": Rule(pack=("runner", "service.serve_command")),
    "parameters": Rule(),
    "model": Rule(libraries=("einops", "safetensors", "tokenizers", "torch", "transformers")),
    "model.export.gguf_writer": Rule(libraries=("gguf", "torch")),
    "model.formats": Rule(own=("model.formats",), libraries=("safetensors", "torch")),
    "model.formats.ggml_codecs": Rule(own=("model.formats",), libraries=("gguf", "torch")),
    "model.formats.gguf_file": Rule(own=("model.formats",), libraries=("gguf", "torch")),
    "model.adapters": Rule(
        own=("model.adapters", "model.config", "model.formats", "model.layers", "model.network"),
        libraries=("safetensors", "torch"),
    ),
    "model.planner": Rule(
        own=("model.planner", "model.formats"), libraries=("safetensors", "tokenizers", "torch", "transformers")
    ),
    "model.planner.prompts": Rule(own=("model.planner",), libraries=("yaml",)),
    "model.vae": Rule(own=("model.vae",), libraries=("torch",)),
    "sampler": Rule(libraries=("torch",)),
    "sampler.chart": Rule(libraries=("PIL", "numpy")),
    "sampler.native": Rule(
        own=("sampler.native", "sampler.schedules", "sampler.solvers"), libraries=("numpy", "scipy", "torch")
    ),
    "sampler.native.samplers.fresh_noise": Rule(own=("sampler.native",), libraries=("torch", "torchsde")),
    "sampler.plot": Rule(libraries=("numpy", "torch")),
    "sampler.schedules": Rule(own=("sampler.schedules",), libraries=("numpy", "scipy")),
    "sampler.solvers": Rule(own=("sampler.solvers", "sampler.noise"), libraries=("torch",)),
    "audio": Rule(libraries=("av", "numpy", "torch", "torchaudio")),
    "audio.vorbis": Rule(libraries=("av", "imageio_ffmpeg", "numpy", "torch")),
    "host": Rule(libraries=("torch",)),
    "host.comfy": Rule(libraries=("torch", *COMFYUI)),
    "host.comfy_clip": Rule(libraries=("torch", *COMFYUI)),
    "host.comfy_memory": Rule(libraries=("torch", *COMFYUI)),
    "host.comfy_model": Rule(libraries=("torch", *COMFYUI)),
    "host.comfy_server": Rule(libraries=COMFYUI),
    "host.comfy_sockets": Rule(libraries=("torch", *COMFYUI)),
    "host.extra_model_paths": Rule(libraries=("yaml",)),
    "host.offload": Rule(own=("host.offload",), libraries=("torch",)),
    "transfer": Rule(libraries=("aiohttp", "yarl")),
    "pipeline": Rule(pack=_FLOOR, libraries=("torch",)),
    "pipeline.preview": Rule(libraries=("PIL", "numpy", "torch")),
    "nodes": Rule(pack=("pipeline", *_FLOOR), libraries=("torch",)),
    "nodes.plot": Rule(pack=("pipeline", *_FLOOR), libraries=("PIL", "torch")),
    "runner": Rule(pack=("nodes.table", "nodes.native.table", "host"), libraries=("huggingface_hub", "torch", "tqdm")),
    "runner.workflow": Rule(own=("runner.workflow", "runner.graph", "runner.node_table", "runner.values")),
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


def rule_for(name: str) -> Rule | None:
    parts = name.split(".")
    return next((RULES[key] for n in range(len(parts), 0, -1) if (key := ".".join(parts[:n])) in RULES), None)


def import_violations(root: Path) -> list[str]:
    """Every import that the rules do not allow, as `file:line: problem`."""
    modules = modules_of(root)
    classes = node_classes(modules)
    return [violation for module in modules.values() for violation in _module_violations(module, modules, classes)]


def _module_violations(module: Module, modules: dict[str, Module], classes: set[str]) -> Iterator[str]:
    rule = rule_for(module.name)
    if rule is None:
        yield f"{module.location(module.tree)}: no rule covers {module.name}; add its folder to the design and to RULES"
        return
    for node in ast.walk(module.tree):
        location = module.location(node)
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            if any(alias.name == "*" for alias in node.names):
                yield f"{location}: star import"
            for target, inside in import_targets(module, node, modules):
                if problem := _problem(module, rule, target, inside):
                    yield f"{location}: {problem}"
        if isinstance(node, ast.Call) and ast.unparse(node.func).split(".")[-1] in ("import_module", "__import__"):
            yield f"{location}: imports a name computed at run time, which no rule can check"
    if module.package[:1] == ("nodes",) and module.name not in NODE_TABLES:
        yield from _node_class_uses(module, modules, classes)


def _problem(module: Module, rule: Rule, target: str, inside: bool) -> str | None:
    folder = module.package[0] if module.package else module.name
    if inside:
        return _inside_problem(module, rule, target, folder)
    top = target.split(".")[0]
    if top == "acestep_xl":
        return f"imports {target}; inside the pack imports are relative, since ComfyUI loads it under another name"
    if top in sys.stdlib_module_names or top in rule.libraries:
        return None
    if top in COMFYUI:
        return f"imports ComfyUI's {target}; only host/comfy*.py may"
    return f"{folder} may not import the library {top}; allowed: {', '.join(rule.libraries) or 'none'}"


def _inside_problem(module: Module, rule: Rule, target: str, folder: str) -> str | None:
    if target.startswith("."):
        return f"{target} leaves the pack"
    siblings = (folder,) if rule.own is None else rule.own
    if any(_is_within(target, allowed) for allowed in ("parameters", *siblings, *rule.pack)):
        return None
    importer = folder if rule.own is None else ".".join(module.package)
    allowed = ", ".join((*(rule.own or ()), *rule.pack)) or "nothing else"
    return f"{importer} may not import {target or 'the root package'}; allowed: {allowed}"


def _is_within(name: str, folder: str) -> bool:
    return name == folder or name.startswith(folder + ".")


def node_classes(modules: dict[str, Module]) -> set[str]:
    """The node classes as `module.Class`, read from the tables' dicts of (class, display name)."""
    return set().union(*(_listed_classes(modules[name]) for name in NODE_TABLES if name in modules))


def _listed_classes(table_module: Module) -> set[str]:
    for node in ast.walk(table_module.tree):
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
                source = source.removeprefix("delivery.").removeprefix("native.")
                if source in classes:
                    yield f"{module.location(node)}: imports the node class {source}; nodes share functions, not nodes"
                if any(f"nodes.{folder}{source}" in modules for folder in ("", "delivery.", "native.")):
                    names[alias.asname or alias.name] = source
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id in names:
            used = f"{names[node.value.id]}.{node.attr}"
            if used in classes:
                yield f"{module.location(node)}: uses the node class {used}; nodes share functions, not nodes"


def import_cycles(root: Path) -> list[list[str]]:
    """Every set of modules that import each other, not counting imports for type checkers."""
    modules = modules_of(root)
    graph = {name: _imported(module, modules) for name, module in modules.items()}
    reach = {name: _reachable(name, graph) for name in graph}
    cycles = {
        frozenset(other for other in reach[name] if name in reach[other]) for name in graph if name in reach[name]
    }
    return sorted(sorted(cycle) for cycle in cycles)


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
        for target, inside in import_targets(module, node, modules)
        if inside and target in modules and target != module.name
    }


def _reachable(name: str, graph: dict[str, set[str]]) -> set[str]:
    seen: set[str] = set()
    pending = list(graph[name])
    while pending:
        current = pending.pop()
        if current not in seen:
            seen.add(current)
            pending += graph[current]
    return seen
