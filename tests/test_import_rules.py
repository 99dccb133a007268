"""Who may import whom, and the other rules of the house that can be read off the source."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
NOT_THE_PACK = {"tests", "benchmarks", "docs", "training", "build", "dist", "web"}
FUNCTION_LINES, FILE_LINES = 60, 350

# The top-level modules of ComfyUI that other packs are known to import.
COMFYUI = tuple(
    "app api_server comfy comfy_api comfy_api_nodes comfy_config comfy_execution comfy_extras cuda_malloc execution "
    "folder_paths latent_preview main middleware node_helpers nodes protocol server utils".split()
)


@dataclass(frozen=True)
class Rule:
    """What a folder or file may import beside the standard library, `parameters` and its own folder."""

    pack: tuple[str, ...] = ()
    libraries: tuple[str, ...] = ()


# By folder or by module; the longest name that fits is the rule. A new library is a decision, made here.
RULES: dict[str, Rule] = {
    "__init__": Rule(pack=("nodes.table", "service.mount")),
    "__main__": Rule(pack=("runner", "service")),
    "parameters": Rule(),
    "model": Rule(libraries=("einops", "safetensors", "tokenizers", "torch", "transformers")),
    "sampler": Rule(libraries=("torch",)),
    "sampler.plot": Rule(libraries=("matplotlib", "numpy", "torch")),
    "audio": Rule(libraries=("av", "numpy", "torch", "torchaudio")),
    "audio.vorbis": Rule(libraries=("av", "imageio_ffmpeg", "numpy", "torch")),
    "host": Rule(libraries=("torch",)),
    "host.comfy": Rule(libraries=("torch", *COMFYUI)),
    "transfer": Rule(libraries=("aiohttp", "yarl")),
    "nodes": Rule(pack=("model", "sampler", "audio", "transfer", "host"), libraries=("torch",)),
    "nodes.plot": Rule(pack=("sampler", "audio", "host"), libraries=("PIL", "torch")),
    "nodes.preview": Rule(libraries=("PIL", "numpy", "torch")),
    "runner": Rule(pack=("nodes.table", "host"), libraries=("huggingface_hub", "torch", "tqdm")),
    "service": Rule(pack=("runner", "audio", "transfer", "host"), libraries=("aiohttp", "pydantic", "torch")),
    "service.cost": Rule(libraries=("pynvml", "torch")),
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
            for target, inside in _targets(module, node, modules):
                if problem := _problem(module, rule, target, inside):
                    yield f"{where}: {problem}"
        if isinstance(node, ast.Call) and ast.unparse(node.func).split(".")[-1] in ("import_module", "__import__"):
            yield f"{where}: imports by a name made at run time, which no rule can see"
    if module.package[:1] == ("nodes",) and module.name != "nodes.table":
        yield from _node_class_uses(module, modules, classes)


def _targets(
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
        if top in (own, "parameters") or any(_within(target, allowed) for allowed in rule.pack):
            return None
        return f"{own} may not import {target or 'the root package'}; allowed: {', '.join(rule.pack) or 'nothing else'}"
    if top == "acestep_xl":
        return f"imports {target}; inside the pack imports are relative, for ComfyUI loads it under another name"
    if top in sys.stdlib_module_names or top in rule.libraries:
        return None
    if top in COMFYUI:
        return f"imports ComfyUI's {target}; only host/comfy.py may"
    return f"{own} may not import the library {top}; allowed: {', '.join(rule.libraries) or 'none'}"


def _within(name: str, folder: str) -> bool:
    return name == folder or name.startswith(folder + ".")


def node_classes(modules: dict[str, Module]) -> set[str]:
    """The node classes as `module.Class`, read from the table's dict."""
    if "nodes.table" not in modules:
        return set()
    for node in ast.walk(modules["nodes.table"].tree):
        target = node.targets[0] if isinstance(node, ast.Assign) else getattr(node, "target", None)
        if isinstance(target, ast.Name) and target.id == "NODE_CLASS_MAPPINGS":
            table = getattr(node, "value", None)
            assert isinstance(table, ast.Dict)
            return {ast.unparse(value) for value in table.values}
    return set()


def _node_class_uses(module: Module, modules: dict[str, Module], classes: set[str]) -> Iterator[str]:
    """Another node's class, imported or reached through its module."""
    names: dict[str, str] = {}  # local name -> sibling module
    for node in ast.walk(module.tree):
        if isinstance(node, ast.ImportFrom) and node.level:
            for alias in node.names:
                source = f"{node.module or ''}.{alias.name}".strip(".").removeprefix("nodes.")
                if source in classes:
                    yield f"{module.place(node)}: imports the node class {source}; nodes share functions, not nodes"
                if f"nodes.{source}" in modules:
                    names[alias.asname or alias.name] = source
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id in names:
            used = f"{names[node.value.id]}.{node.attr}"
            if used in classes:
                yield f"{module.place(node)}: uses the node class {used}; nodes share functions, not nodes"


def style_violations(root: Path) -> list[str]:
    """Long files and functions, catch-all arguments, and changes to other people's modules."""
    return [found for module in modules_of(root).values() for found in _style_of(module)]


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


def test_the_tree_keeps_the_import_rules() -> None:
    assert import_violations(ROOT) == []


def test_the_tree_keeps_the_rules_of_style() -> None:
    assert style_violations(ROOT) == []


def test_the_walk_sees_the_whole_pack() -> None:
    names = set(modules_of(ROOT))
    assert {"__init__", "parameters", "model.network", "nodes.table", "host.comfy", "runner.cli"} <= names
    assert not {name for name in names if name.split(".")[0] in NOT_THE_PACK}
    assert len(node_classes(modules_of(ROOT))) >= 8


def test_contributing_states_the_same_rules() -> None:
    lines = (ROOT / "CONTRIBUTING.md").read_text("utf-8").splitlines()
    rows = [[cell.replace("`", "").strip() for cell in line.split("|")] for line in lines if line.startswith("|")]
    told = {row[1].strip("/"): row[2] for row in rows}
    for name in ("model", "sampler", "audio", "transfer", "host", "nodes", "runner", "service"):
        assert told[name] == (", ".join(RULES[name].pack) or "nothing"), name


MADE_UP = {
    "__init__.py": "",
    "parameters/__init__.py": "",
    "model/__init__.py": "",
    "model/net.py": "class Net: ...\n",
    "sampler/__init__.py": "",
    "sampler/loop.py": "",
    "host/__init__.py": "",
    "host/comfy.py": "import torch\nimport comfy.utils\nimport folder_paths\n",
    "nodes/__init__.py": "",
    "nodes/table.py": "from . import one, two\nNODE_CLASS_MAPPINGS = {'One': one.One, 'Two': two.Two}\n",
    "nodes/one.py": "from ..model.net import Net\nfrom .. import host, parameters\nclass One: ...\ndef helper(): ...\n",
    "nodes/two.py": "from .one import helper\nfrom . import one\none.helper()\nclass Two: ...\n",
    "runner/__init__.py": "",
    "runner/run.py": "from ..nodes import table\nfrom ..nodes.table import NODE_CLASS_MAPPINGS\nfrom .. import host\n",
    "tests/test_it.py": "import acestep_xl\nfrom acestep_xl.model import *\n",
}


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A small pack in which everything is allowed."""
    for name, text in MADE_UP.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    return tmp_path


def test_a_lawful_tree_passes(tree: Path) -> None:
    assert import_violations(tree) == []
    assert style_violations(tree) == []


@pytest.mark.parametrize(
    ("file", "line", "expected"),
    [
        ("sampler/loop.py", "from ..model.net import Net", "sampler may not import model.net"),
        ("sampler/loop.py", "from ..model import net", "sampler may not import model.net"),
        ("model/net.py", "from .. import sampler", "model may not import sampler"),
        ("model/net.py", "def f():\n    from ..host import comfy", "model may not import host.comfy"),
        ("model/net.py", "import requests", "may not import the library requests"),
        ("parameters/__init__.py", "import torch", "may not import the library torch"),
        ("parameters/__init__.py", "from ..model import net", "parameters may not import model.net"),
        ("host/__init__.py", "from ..nodes import table", "host may not import nodes.table"),
        ("host/__init__.py", "import comfy.utils", "only host/comfy.py may"),
        ("nodes/one.py", "import folder_paths", "only host/comfy.py may"),
        ("nodes/one.py", "from nodes import NODE_CLASS_MAPPINGS", "only host/comfy.py may"),
        ("nodes/one.py", "from ..runner import run", "nodes may not import runner.run"),
        ("nodes/two.py", "from .one import One", "imports the node class one.One"),
        ("nodes/two.py", "from ..nodes.one import One as Uno", "imports the node class one.One"),
        ("nodes/two.py", "from . import one as uno\nuno.One()", "uses the node class one.One"),
        ("runner/run.py", "from ..nodes.one import helper", "runner may not import nodes.one"),
        ("runner/run.py", "from ..model.net import Net", "runner may not import model.net"),
        ("runner/run.py", "from acestep_xl.host import use", "imports are relative"),
        ("runner/run.py", "import acestep_xl", "imports are relative"),
        ("runner/run.py", "from ... import model", "leaves the pack"),
        ("runner/run.py", "from .run import *", "star import"),
        ("runner/run.py", "import importlib\nimportlib.import_module('torch')", "at run time"),
        ("helpers/new.py", "", "no rule covers helpers.new"),
    ],
)
def test_each_kind_of_violation_is_seen(tree: Path, file: str, line: str, expected: str) -> None:
    path = tree / file
    path.parent.mkdir(exist_ok=True)
    before = path.read_text() if path.exists() else ""
    path.write_text(before + line + "\n")
    found = import_violations(tree)
    assert any(expected in problem for problem in found), found
    for problem in found:
        name, number, _ = problem.split(":", 2)
        assert name == file and int(number) > before.count("\n"), problem


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("def f():\n" + "    x = 1\n" * FUNCTION_LINES, "f has 61 lines"),
        ("x = 1\n" * (FILE_LINES + 1), "351 lines"),
        ("def f(**options): ...\n", "f takes **options"),
        ("class A:\n    def __init__(self, **options): ...\n", "__init__ takes **options"),
        ("import torch\ntorch.backends.cudnn.benchmark = True\n", "changes torch.backends.cudnn.benchmark"),
        ("import os\nos.environ['A'] = 'b'\n", "changes os.environ['A']"),
        ("from torch import nn\nsetattr(nn, 'Linear', None)\n", "changes nn"),
    ],
)
def test_each_fault_of_style_is_seen(tree: Path, text: str, expected: str) -> None:
    (tree / "model/net.py").write_text(text)
    found = style_violations(tree)
    assert len(found) == 1 and expected in found[0], found


LIGHT = """
import sys
import acestep_xl, acestep_xl.parameters, acestep_xl.host, acestep_xl.host.models, acestep_xl.runner.cli
slow = {"torch", "numpy", "transformers", "huggingface_hub", "av", "aiohttp", "tqdm"}
print(sorted(slow & sys.modules.keys()))
"""


def test_the_command_line_starts_without_the_heavy_libraries(tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, "-c", LIGHT], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


# Libraries first, so that what they do at import is not counted; then every module of the pack by itself.
CLEAN = """
import importlib, logging, os, signal, sys, warnings
for library in sys.argv[1].split(","):
    importlib.import_module(library)
import torch
FORBIDDEN = set(
    "socket.connect socket.bind socket.getaddrinfo os.mkdir os.remove os.rename os.rmdir os.putenv os.unsetenv "
    "os.chdir os.system os.exec os.posix_spawn subprocess.Popen tempfile.mkstemp tempfile.mkdtemp".split()
)
acted = []
def watch(event, arguments):
    code = event == "open" and str(arguments[0]).endswith((".py", ".pyc", ".so"))
    if event in FORBIDDEN or (event == "open" and not code):
        acted.append(f"{event} {arguments[0]!r}")
def state():
    root = logging.getLogger()
    return {
        "environment": dict(os.environ), "warning filters": list(warnings.filters), "sys.path": list(sys.path),
        "logging": (list(root.handlers), root.level), "signals": signal.getsignal(signal.SIGINT),
        "torch": (torch.get_default_dtype(), torch.is_grad_enabled(), torch.get_num_threads(), torch.initial_seed()),
        "CUDA": torch.cuda.is_initialized(),
    }
sys.addaudithook(watch)
for name in sys.argv[2].split(","):
    for loaded in [key for key in sys.modules if key.split(".")[0] == "acestep_xl"]:
        del sys.modules[loaded]
    before = state()
    acted.clear()
    importlib.import_module(name)
    after = state()
    for fault in acted + [f"changes {key}" for key in before if before[key] != after[key]]:
        print(f"{name}: {fault}")
"""


def acts_at_import(libraries: list[str], modules: list[str], folder: Path) -> list[str]:
    """What each module does beyond defining things when it is imported, seen in a fresh interpreter in `folder`."""
    command = [sys.executable, "-B", "-c", CLEAN, ",".join(libraries), ",".join(modules)]
    environment = {**os.environ, "HOME": str(folder), "PYTHONPATH": str(folder), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_importing_does_nothing_but_define(tmp_path: Path) -> None:
    modules = modules_of(ROOT)
    del modules["host.comfy"]  # needs ComfyUI
    names = ["acestep_xl" if name == "__init__" else f"acestep_xl.{name}" for name in sorted(modules)]
    libraries = {
        target.split(".")[0]
        for module in modules.values()
        for node in module.tree.body
        if isinstance(node, (ast.Import, ast.ImportFrom))
        for target, inside in _targets(module, node, modules)
        if not inside
    }
    assert len(names) > 40 and "torch" in libraries
    # A part of aiohttp that its own __init__ does not load; it reads the system's table of media types.
    assert acts_at_import(sorted({*libraries, "aiohttp.web"}), names, tmp_path) == []
    assert list(tmp_path.iterdir()) == []


ACTS = {
    "environment": "import os; os.environ['A'] = 'b'",
    "os.putenv": "import os; os.putenv('A', 'b')",
    "warning filters": "import warnings; warnings.simplefilter('ignore')",
    "os.mkdir": "import os; os.makedirs('made')",
    "open 'written.txt'": "open('written.txt', 'w').close()",
    "open '/dev/null'": "open('/dev/null').close()",
    "socket.connect": "import socket; socket.socket(socket.AF_UNIX).connect_ex('nobody')",
    "logging": "import logging; logging.basicConfig()",
    "torch": "import torch; torch.set_grad_enabled(False)",
    "sys.path": "import sys; sys.path.append('here')",
}


def test_each_act_at_import_is_seen(tmp_path: Path) -> None:
    for number, text in enumerate(ACTS.values()):
        (tmp_path / f"act{number}.py").write_text(text)
    (tmp_path / "innocent.py").write_text("import json\nA = json.dumps([1])\ndef f(): open('x', 'w')\n")
    found = acts_at_import(["torch"], [*(f"act{number}" for number in range(len(ACTS))), "innocent"], tmp_path)
    for number, expected in enumerate(ACTS):
        assert any(line.startswith(f"act{number}: ") and expected in line for line in found), (expected, found)
    assert not [line for line in found if line.startswith("innocent")]
