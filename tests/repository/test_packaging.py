"""What pip installs: all packages and data files, and dependencies that leave a ComfyUI installation unchanged."""

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
PYPI_NAMES = {"PIL": "pillow", "pynvml": "nvidia-ml-py", "yaml": "pyyaml"}  # where they differ from the import names
COMFYUI_MODULES = {"comfy", "comfy-execution", "folder-paths", "server", "nodes", "execution", "app"}

# The requirements.txt of ComfyUI 0.20 without its own comfyui-* packages and those that only single features need, plus
# what transformers requires.
COMFYUI_REQUIREMENTS = set(
    "torch torchsde torchvision torchaudio numpy einops transformers tokenizers sentencepiece safetensors aiohttp yarl "
    "pyyaml pillow scipy tqdm psutil alembic sqlalchemy filelock av requests simpleeval blake3 pydantic".split()
) | {"huggingface-hub"}


@pytest.fixture(scope="module")
def pyproject() -> dict[str, Any]:
    return tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))


def normalise(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def by_name(requirements: list[str]) -> dict[str, Requirement]:
    return {normalise(entry.name): entry for entry in map(Requirement, requirements)}


def source_files(suffix: str) -> list[Path]:
    """Files of the pack, relative to the root, outside hidden folders and virtual environments."""
    paths = []
    for parent, folders, files in os.walk(ROOT):
        folder = Path(parent).relative_to(ROOT)
        skipped = NOT_SHIPPED if Path(parent) == ROOT else set()
        folders[:] = [
            name
            for name in folders
            if name not in skipped
            and not name.startswith((".", "__"))
            and not name.endswith(".egg-info")
            and not (Path(parent) / name / "pyvenv.cfg").exists()
        ]
        paths += [folder / name for name in files if name.endswith(suffix)]
    return paths


def test_every_folder_with_python_files_is_a_package(pyproject: dict[str, Any]) -> None:
    folders = {path.parent for path in source_files(".py")}
    expected = {".".join(("acestep_xl", *folder.parts)) for folder in folders}
    assert set(pyproject["tool"]["setuptools"]["packages"]) == expected
    assert [str(folder) for folder in folders if not (ROOT / folder / "__init__.py").is_file()] == []


def test_dependencies_are_requirements_of_comfyui(pyproject: dict[str, Any]) -> None:
    dependencies = by_name(pyproject["project"]["dependencies"])
    assert set(dependencies) <= COMFYUI_REQUIREMENTS
    assert not {"torch", "torchaudio", "torchvision"} & set(dependencies), "ComfyUI brings the build for the card"
    operators = {clause.operator for entry in dependencies.values() for clause in entry.specifier}
    assert not operators & {"==", "<", "<=", "~="}, "an upper bound would make pip change a ComfyUI installation"


def test_dependencies_are_imported_and_imports_are_dependencies(pyproject: dict[str, Any]) -> None:
    imported = {PYPI_NAMES.get(name, name) for path in source_files(".py") for name in imports_of(ROOT / path)}
    imported = {normalise(name) for name in imported}
    extras = pyproject["project"]["optional-dependencies"]
    core, standalone = set(by_name(pyproject["project"]["dependencies"])), set(by_name(extras["standalone"]))
    assert core | standalone <= imported
    optional = {name for extra in ("gguf", "ogg", "energy", "sde") for name in by_name(extras[extra])}
    third_party = imported - {normalise(name) for name in sys.stdlib_module_names} - COMFYUI_MODULES
    assert third_party == core | standalone | optional


def imports_of(path: Path) -> set[str]:
    """The top-level modules that a file imports from outside the pack."""
    modules: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            modules |= {alias.name.split(".")[0] for alias in node.names}
        if isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            modules.add(node.module.split(".")[0])
    return modules


def test_standalone_pins_a_torch_and_a_torchaudio_that_load_together(pyproject: dict[str, Any]) -> None:
    pair = by_name(pyproject["project"]["optional-dependencies"]["standalone"])
    assert set(pair) == {"torch", "torchaudio"}
    assert pair["torch"].specifier == pair["torchaudio"].specifier
    (pin,) = pair["torch"].specifier
    assert pin.operator == "==" and pin.version.endswith(".*"), "any patch release of one minor version"
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
    assert list(tree.glob("tests/**/test_*.py")), "the copy needs tests that the wheel could wrongly include"
    build = f"from setuptools import build_meta; build_meta.build_wheel({str(out)!r})"
    result = subprocess.run([sys.executable, "-c", build], cwd=tree, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    (built,) = out.glob("*.whl")
    return built


@pytest.mark.slow
def test_the_wheel_holds_only_the_pack(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    packed = {name.removeprefix("acestep_xl/") for name in names if name.startswith("acestep_xl/")}
    sources = {path.as_posix() for path in source_files(".py")}
    data = {
        path.relative_to(ROOT).as_posix()
        for folder in DATA_FOLDERS
        for path in (ROOT / folder).rglob("*")
        if path.is_file() and path.suffix not in (".py", ".pyc")
    }
    assert "workflows/01 Text to music.json" in data
    assert packed == sources | data
    assert {name.split("/")[0] for name in names} - {"acestep_xl"} == {f"{wheel.name.rsplit('-', 3)[0]}.dist-info"}


@pytest.mark.slow
def test_the_wheel_runs_from_where_it_is_unpacked(wheel: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path)
    script = (
        "import acestep_xl.runner.cli as cli, sys; print(cli.__file__); sys.exit(cli.main(['run', 'no-such-workflow']))"
    )
    command, environment = [sys.executable, "-c", script], {**os.environ, "PYTHONPATH": str(tmp_path)}
    result = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert Path(result.stdout.strip()).is_relative_to(tmp_path)
    assert "text_to_music" in result.stderr, "the message lists the shipped workflows"


def test_the_metadata_meets_the_rules_of_the_registry(pyproject: dict[str, Any]) -> None:
    project, comfy = pyproject["project"], pyproject["tool"]["comfy"]
    assert re.fullmatch(r"[a-z][a-z0-9-]{2,99}", project["name"]) and "comfyui" not in project["name"]
    assert Version(project["version"]).release == tuple(map(int, project["version"].split(".")))
    assert comfy["DisplayName"] and re.fullmatch(r">=\d+\.\d+\.\d+", comfy["requires-comfyui"])
    for name, wide, high in (("icon", 1, 1), ("banner", 21, 9)):
        with Image.open(ROOT / f"docs/images/{name}.png") as picture:
            assert picture.width * high == picture.height * wide, name
            assert name != "icon" or picture.width <= 400


def test_addresses_are_real_or_listed_as_missing(pyproject: dict[str, Any]) -> None:
    """Either all of them are filled in and fit together, or the note about publishing names each one."""
    urls, comfy = pyproject["project"].get("urls", {}), pyproject["tool"]["comfy"]
    addresses = {
        **{key: urls.get(key) for key in ("Repository", "Documentation", "Bug Tracker")},
        **{key: comfy.get(key) for key in ("PublisherId", "Icon", "Banner")},
    }
    if any(addresses.values()):
        assert all(addresses.values()), addresses
        assert comfy["Icon"].endswith("/docs/images/icon.png") and comfy["Banner"].endswith("/docs/images/banner.png")
        assert urls["Documentation"].startswith(urls["Repository"])
    else:
        note = (ROOT / "pyproject.toml").read_text("utf-8").split("# Before publishing: ")[1].split("\n[")[0]
        assert [key for key in addresses if key not in note] == []


def test_the_published_pack_holds_only_what_runs() -> None:
    lines = (ROOT / ".comfyignore").read_text("utf-8").splitlines()
    entries = [line for line in lines if line and not line.startswith("#")]
    assert [line for line in entries if line.endswith("/") and not line.startswith("/")] == [], (
        "docs/ is also web/docs/"
    )
    ignored = {line.strip("/") for line in entries}
    assert {"tests", "benchmarks", "docs", "training"} <= ignored
    assert not ignored & {folder.parts[0] for folder in map(Path, source_files(".py")) if len(folder.parts) > 1}
    assert not ignored & {"web", "locales", "workflows", "pyproject.toml", "README.md", "LICENSE"}
