"""What pip installs: the right packages and data, and dependencies that leave a ComfyUI install as it is."""

from __future__ import annotations

import ast
import os
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.version import Version
from PIL import Image

if sys.version_info >= (3, 11):
    import tomllib
else:  # pytest brings it where Python does not
    import tomli as tomllib

ROOT = Path(__file__).parents[2]
NOT_SHIPPED = {"tests", "benchmarks", "docs", "training", "build", "dist"}
DATA_FOLDERS = ("model", "workflows", "web", "locales", "service/page")
IMPORT_NAMES = {"PIL": "pillow", "pynvml": "nvidia-ml-py"}  # where they are not the names on PyPI
COMFYUI_ITSELF = {"comfy", "comfy-execution", "folder-paths", "server", "nodes", "execution", "app"}

# The requirements.txt of ComfyUI 0.20, without its own comfyui-* packages and those that only single features need, and
# with what transformers itself requires of these.
COMFYUI_BRINGS = set(
    "torch torchsde torchvision torchaudio numpy einops transformers tokenizers sentencepiece safetensors aiohttp yarl "
    "pyyaml pillow scipy tqdm psutil alembic sqlalchemy filelock av requests simpleeval blake3 pydantic".split()
) | {"huggingface-hub"}


@pytest.fixture(scope="module")
def pyproject() -> dict[str, Any]:
    return tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))


def normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def named(requirements: list[str]) -> dict[str, Requirement]:
    return {normal(entry.name): entry for entry in map(Requirement, requirements)}


def source_files(suffix: str) -> list[Path]:
    """Files of the pack below the root, relative to it; folders that begin with a dot or hold a venv are not."""
    found = []
    for place, folders, files in os.walk(ROOT):
        inside = Path(place).relative_to(ROOT)
        skipped = NOT_SHIPPED if Path(place) == ROOT else set()
        folders[:] = [
            name
            for name in folders
            if name not in skipped
            and not name.startswith((".", "__"))
            and not name.endswith(".egg-info")
            and not (Path(place) / name / "pyvenv.cfg").exists()
        ]
        found += [inside / name for name in files if name.endswith(suffix)]
    return found


def test_every_folder_with_python_files_is_a_package(pyproject: dict[str, Any]) -> None:
    folders = {path.parent for path in source_files(".py")}
    expected = {".".join(("acestep_xl", *folder.parts)) for folder in folders}
    assert set(pyproject["tool"]["setuptools"]["packages"]) == expected
    assert [str(folder) for folder in folders if not (ROOT / folder / "__init__.py").is_file()] == []


def test_dependencies_are_what_comfyui_brings_anyway(pyproject: dict[str, Any]) -> None:
    wanted = named(pyproject["project"]["dependencies"])
    assert set(wanted) <= COMFYUI_BRINGS
    assert not {"torch", "torchaudio", "torchvision"} & set(wanted), "ComfyUI brings the build that fits the card"
    capped = [
        str(entry) for entry in wanted.values() if any(s.operator in ("==", "<", "<=", "~=") for s in entry.specifier)
    ]
    assert capped == [], "an upper bound would make pip change a ComfyUI install"


def test_dependencies_are_imported_and_imports_are_dependencies(pyproject: dict[str, Any]) -> None:
    imported = {IMPORT_NAMES.get(name, name) for path in source_files(".py") for name in imports_of(ROOT / path)}
    imported = {normal(name) for name in imported}
    extras = pyproject["project"]["optional-dependencies"]
    core, standalone = set(named(pyproject["project"]["dependencies"])), set(named(extras["standalone"]))
    assert core | standalone <= imported
    optional = {name for extra in ("pictures", "ogg", "energy") for name in named(extras[extra])}
    third_party = imported - {normal(name) for name in sys.stdlib_module_names} - COMFYUI_ITSELF
    assert third_party == core | standalone | optional


def imports_of(path: Path) -> set[str]:
    """The top-level names of what a file imports from outside the pack."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name.split(".")[0] for alias in node.names}
        if isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            found.add(node.module.split(".")[0])
    return found


def test_standalone_pins_a_torch_and_a_torchaudio_that_load_together(pyproject: dict[str, Any]) -> None:
    pair = named(pyproject["project"]["optional-dependencies"]["standalone"])
    assert set(pair) == {"torch", "torchaudio"}
    assert pair["torch"].specifier == pair["torchaudio"].specifier
    (pin,) = pair["torch"].specifier
    assert pin.operator == "==" and pin.version.endswith(".*"), "a whole minor version, so that fixes arrive"
    assert len(Version(pin.version.removesuffix(".*")).release) == 2


def test_the_command_is_declared(pyproject: dict[str, Any]) -> None:
    assert pyproject["project"]["scripts"] == {"acestep-xl": "acestep_xl.__main__:main"}
    assert pyproject["project"]["requires-python"] == ">=3.10"


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tree's wheel, built in a copy so that the tree gets no build folder."""
    tree, out = tmp_path_factory.mktemp("tree") / "pack", tmp_path_factory.mktemp("wheel")

    def skip(folder: str, names: list[str]) -> set[str]:
        heavy = {n for n in names if n.startswith(".") or n.endswith(".egg-info") or n in ("golden", "build", "dist")}
        return heavy | {name for name in names if (Path(folder) / name / "pyvenv.cfg").exists()}

    shutil.copytree(ROOT, tree, ignore=skip)
    assert list(tree.glob("tests/**/test_*.py")), "the check for tests in the wheel would see nothing"
    build = f"from setuptools import build_meta; build_meta.build_wheel({str(out)!r})"
    done = subprocess.run([sys.executable, "-c", build], cwd=tree, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    (built,) = out.glob("*.whl")
    return built


@pytest.mark.slow
def test_the_wheel_holds_the_pack_and_nothing_else(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    inside = {name.removeprefix("acestep_xl/") for name in names if name.startswith("acestep_xl/")}
    sources = {path.as_posix() for path in source_files(".py")}
    data = {
        path.relative_to(ROOT).as_posix()
        for folder in DATA_FOLDERS
        for path in (ROOT / folder).rglob("*")
        if path.is_file() and path.suffix not in (".py", ".pyc")
    }
    assert "workflows/text_to_music.json" in data
    assert inside == sources | data
    assert {name.split("/")[0] for name in names} - {"acestep_xl"} == {f"{wheel.name.rsplit('-', 3)[0]}.dist-info"}


@pytest.mark.slow
def test_the_wheel_runs_from_where_it_is_unpacked(wheel: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path)
    script = (
        "import acestep_xl.runner.cli as cli, sys; print(cli.__file__); sys.exit(cli.main(['run', 'no-such-workflow']))"
    )
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", script], cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert Path(done.stdout.strip()).is_relative_to(tmp_path)
    assert "text_to_music" in done.stderr, "the message lists the shipped workflows"


def test_the_registry_gets_what_it_asks_for(pyproject: dict[str, Any]) -> None:
    project, comfy = pyproject["project"], pyproject["tool"]["comfy"]
    assert re.fullmatch(r"[a-z][a-z0-9-]{2,99}", project["name"]) and "comfyui" not in project["name"]
    assert Version(project["version"]).release == tuple(map(int, project["version"].split(".")))
    assert comfy["PublisherId"] and comfy["DisplayName"] and project["urls"]["Repository"]
    assert re.fullmatch(r">=\d+\.\d+\.\d+", comfy["requires-comfyui"])
    for key, wide, high in (("Icon", 1, 1), ("Banner", 21, 9)):
        repository, branch = project["urls"]["Repository"], "main"
        base = repository.replace("github.com", "raw.githubusercontent.com")
        path = ROOT / comfy[key].removeprefix(f"{base}/{branch}/")
        with Image.open(path) as picture:
            assert picture.width * high == picture.height * wide, key
            assert key != "Icon" or picture.width <= 400


def test_the_published_pack_holds_what_runs_and_nothing_else() -> None:
    lines = (ROOT / ".comfyignore").read_text("utf-8").splitlines()
    entries = [line for line in lines if line and not line.startswith("#")]
    assert [line for line in entries if line.endswith("/") and not line.startswith("/")] == [], (
        "docs/ is also web/docs/"
    )
    ignored = {line.strip("/") for line in entries}
    assert {"tests", "benchmarks", "docs", "training"} <= ignored
    assert not ignored & {folder.parts[0] for folder in map(Path, source_files(".py")) if len(folder.parts) > 1}
    assert not ignored & {"web", "locales", "workflows", "pyproject.toml", "README.md", "LICENSE"}
