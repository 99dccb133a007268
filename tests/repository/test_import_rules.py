"""Who may import whom, style rules, and what an import may do."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest
from house_rules import RULES, import_cycles, import_violations, node_classes
from source_modules import NOT_THE_PACK, ROOT, import_targets, modules_of
from style_rules import MAX_FILE_LINES, MAX_FOLDER_FILES, MAX_FUNCTION_LINES, style_violations


def test_the_tree_follows_the_import_rules() -> None:
    assert import_violations(ROOT) == []


def test_there_are_no_import_cycles() -> None:
    assert import_cycles(ROOT) == []


def test_the_tree_follows_the_style_rules() -> None:
    assert style_violations(ROOT) == []


def test_the_walk_covers_the_pack() -> None:
    names = set(modules_of(ROOT))
    assert {"__init__", "parameters", "model.network", "nodes.table", "host.comfy", "runner.cli"} <= names
    assert not {name for name in names if name.split(".")[0] in NOT_THE_PACK}
    assert len(node_classes(modules_of(ROOT))) >= 8


def test_contributing_states_the_same_rules() -> None:
    lines = (ROOT / "CONTRIBUTING.md").read_text("utf-8").splitlines()
    rows = [[cell.replace("`", "").strip() for cell in line.split("|")] for line in lines if line.startswith("|")]
    stated = {row[1].strip("/"): row[2] for row in rows}
    for name in ("model", "sampler", "audio", "transfer", "host", "pipeline", "nodes", "runner", "service"):
        assert stated[name] == (", ".join(RULES[name].pack) or "nothing"), name


SAMPLE_TREE = {
    "__init__.py": "",
    "parameters/__init__.py": "",
    "model/__init__.py": "",
    "model/net.py": "class Net: ...\n",
    "sampler/__init__.py": "",
    "sampler/loop.py": "",
    "host/__init__.py": "",
    "host/comfy.py": "import torch\nimport comfy.utils\nimport folder_paths\n",
    "nodes/__init__.py": "",
    "nodes/table.py": "from . import one, two\nNODES = {'One': (one.One, 'One'), 'Two': (two.Two, 'Two')}\n",
    "nodes/one.py": "from ..model.net import Net\nfrom .. import host, parameters\nclass One: ...\ndef helper(): ...\n",
    "nodes/two.py": "from .one import helper\nfrom . import one\none.helper()\nclass Two: ...\n",
    "runner/__init__.py": "",
    "pipeline/__init__.py": "",
    "pipeline/guider.py": "from .. import host\nfrom ..model.net import Net\nfrom ..sampler import loop\n",
    "runner/run.py": "from ..nodes import table\nfrom ..nodes.table import NODES\nfrom .. import host\n",
    "service/__init__.py": "",
    "service/settings.py": "from .. import parameters\n",
    "service/schema/__init__.py": "",
    "service/schema/request.py": "from ...runner import run\n",
    "service/queue/__init__.py": "",
    "service/queue/jobs.py": "from ..schema.request import run\nfrom ..settings import parameters\n",
    "tests/test_it.py": "import acestep_xl\nfrom acestep_xl.model import *\n",
}


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A small pack in which everything is allowed."""
    for name, text in SAMPLE_TREE.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    return tmp_path


def test_a_valid_tree_passes(tree: Path) -> None:
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
        ("host/__init__.py", "import comfy.utils", "only host/comfy*.py may"),
        ("nodes/one.py", "import folder_paths", "only host/comfy*.py may"),
        ("nodes/one.py", "from nodes import NODE_CLASS_MAPPINGS", "only host/comfy*.py may"),
        ("nodes/one.py", "from ..runner import run", "nodes may not import runner.run"),
        ("nodes/two.py", "from .one import One", "imports the node class one.One"),
        ("nodes/two.py", "from ..nodes.one import One as Uno", "imports the node class one.One"),
        ("nodes/two.py", "from . import one as uno\nuno.One()", "uses the node class one.One"),
        ("pipeline/guider.py", "from ..nodes import one", "pipeline may not import nodes.one"),
        ("model/net.py", "from ..pipeline import guider", "model may not import pipeline.guider"),
        ("service/schema/request.py", "from ..queue import jobs", "service.schema may not import service.queue.jobs"),
        ("service/schema/request.py", "from ...pipeline import guider", "may not import pipeline.guider"),
        ("service/queue/jobs.py", "import aiohttp", "may not import the library aiohttp"),
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
def test_each_kind_of_violation_is_reported(tree: Path, file: str, line: str, expected: str) -> None:
    path = tree / file
    path.parent.mkdir(exist_ok=True)
    before = path.read_text() if path.exists() else ""
    path.write_text(before + line + "\n")
    violations = import_violations(tree)
    assert any(expected in violation for violation in violations), violations
    for violation in violations:
        name, line_number, _ = violation.split(":", 2)
        assert name == file and int(line_number) > before.count("\n"), violation


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("def f():\n" + "    x = 1\n" * MAX_FUNCTION_LINES, "f has 51 lines"),
        ("x = 1\n" * (MAX_FILE_LINES + 1), "321 lines"),
        ("def f(**options): ...\n", "f takes **options"),
        ("class A:\n    def __init__(self, **options): ...\n", "__init__ takes **options"),
        ("import torch\ntorch.backends.cudnn.benchmark = True\n", "changes torch.backends.cudnn.benchmark"),
        ("import os\nos.environ['A'] = 'b'\n", "changes os.environ['A']"),
        ("from torch import nn\nsetattr(nn, 'Linear', None)\n", "changes nn"),
    ],
)
def test_each_style_violation_is_reported(tree: Path, text: str, expected: str) -> None:
    (tree / "model/net.py").write_text(text)
    violations = style_violations(tree)
    assert len(violations) == 1 and expected in violations[0], violations


def test_an_import_cycle_is_reported(tree: Path) -> None:
    assert import_cycles(tree) == []
    (tree / "model/net.py").write_text("from . import layers\n")
    (tree / "model/layers.py").write_text("def f():\n    from .parts import g\n")
    (tree / "model/parts.py").write_text("from .net import Net\n")
    assert import_cycles(tree) == [["model.layers", "model.net", "model.parts"]]
    (tree / "model/layers.py").write_text("if TYPE_CHECKING:\n    from .parts import g\n")
    assert import_cycles(tree) == []


def test_a_full_folder_is_reported(tree: Path) -> None:
    for number in range(MAX_FOLDER_FILES):
        (tree / f"model/part{number}.py").write_text("")
    assert style_violations(tree) == [
        f"model: {MAX_FOLDER_FILES + 2} files, the limit is {MAX_FOLDER_FILES}; split it into folders"
    ]


IMPORT_CLI = """
import sys
import acestep_xl, acestep_xl.parameters, acestep_xl.host, acestep_xl.host.model_folders, acestep_xl.runner.cli
heavy = {"torch", "numpy", "transformers", "huggingface_hub", "av", "aiohttp", "tqdm"}
print(sorted(heavy & sys.modules.keys()))
"""


def test_the_command_line_starts_without_heavy_libraries(tmp_path: Path) -> None:
    result = subprocess.run(
        [sys.executable, "-c", IMPORT_CLI], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert result.stdout.strip() == "[]"


# Libraries first, so that their own effects are not counted; then every module of the pack.
IMPORT_EACH = """
import importlib, logging, os, signal, sys, warnings
for library in sys.argv[1].split(","):
    importlib.import_module(library)
import torch
FORBIDDEN = set(
    "socket.connect socket.bind socket.getaddrinfo os.mkdir os.remove os.rename os.rmdir os.putenv os.unsetenv "
    "os.chdir os.system os.exec os.posix_spawn subprocess.Popen tempfile.mkstemp tempfile.mkdtemp".split()
)
actions = []
def watch(event, arguments):
    code = event == "open" and str(arguments[0]).endswith((".py", ".pyc", ".so"))
    if event in FORBIDDEN or (event == "open" and not code):
        actions.append(f"{event} {arguments[0]!r}")
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
    before = state()
    actions.clear()
    importlib.import_module(name)
    after = state()
    for action in actions + [f"changes {key}" for key in before if before[key] != after[key]]:
        print(f"{name}: {action}")
"""


def import_effects(libraries: list[str], modules: list[str], folder: Path) -> list[str]:
    """The effects of importing each module in a fresh interpreter in `folder`, as `module: effect`."""
    command = [sys.executable, "-B", "-c", IMPORT_EACH, ",".join(libraries), ",".join(modules)]
    environment = {**os.environ, "HOME": str(folder), "PYTHONPATH": str(folder), "OMP_NUM_THREADS": "1"}
    result = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    return result.stdout.splitlines()


def test_imports_have_no_effects(tmp_path: Path) -> None:
    modules = modules_of(ROOT)
    for name in [name for name in modules if name.startswith("host.comfy") and name != "host.comfyui_location"]:
        del modules[name]  # needs ComfyUI
    names = ["acestep_xl" if name == "__init__" else f"acestep_xl.{name}" for name in sorted(modules)]
    libraries = {
        target
        for module in modules.values()
        for node in module.tree.body
        if isinstance(node, (ast.Import, ast.ImportFrom))
        for target, inside in import_targets(module, node, modules)
        if not inside
    }
    assert len(names) > 40 and "torch" in libraries
    # aiohttp.web, which aiohttp itself does not import, reads the system's table of media types.
    assert import_effects(sorted({*libraries, "aiohttp.web"}), names, tmp_path) == []
    assert list(tmp_path.iterdir()) == []


EFFECTS = {
    "environment": "import os; os.environ['A'] = 'b'",
    "os.putenv": "import os; os.putenv('A', 'b')",
    "warning filters": "import warnings; warnings.simplefilter('ignore')",
    "os.mkdir": "import os; os.makedirs('folder')",
    "open 'written.txt'": "open('written.txt', 'w').close()",
    "open '/dev/null'": "open('/dev/null').close()",
    "socket.connect": "import socket; socket.socket(socket.AF_UNIX).connect_ex('nobody')",
    "logging": "import logging; logging.basicConfig()",
    "torch": "import torch; torch.set_grad_enabled(False)",
    "sys.path": "import sys; sys.path.append('here')",
}


def test_each_import_effect_is_reported(tmp_path: Path) -> None:
    for number, text in enumerate(EFFECTS.values()):
        (tmp_path / f"effect{number}.py").write_text(text)
    (tmp_path / "harmless.py").write_text("import json\nA = json.dumps([1])\ndef f(): open('x', 'w')\n")
    effects = import_effects(["torch"], [*(f"effect{number}" for number in range(len(EFFECTS))), "harmless"], tmp_path)
    for number, expected in enumerate(EFFECTS):
        assert any(line.startswith(f"effect{number}: ") and expected in line for line in effects), (expected, effects)
    assert not [line for line in effects if line.startswith("harmless")]
