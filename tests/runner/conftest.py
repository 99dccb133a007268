"""A small graph as ComfyUI saves it with its nodes, and model folders for the command line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from saved_workflows import Polish, SaveFile, Source, node, saved_file, slot
from toy_nodes import Sample

from acestep_xl.runner.node_table import NodeTable


@pytest.fixture
def table() -> NodeTable:
    classes = {"Source": Source, "Sample": Sample, "Polish": Polish, "Save": SaveFile}
    return NodeTable(classes, {"Source": "Load It", "Sample": "Sample It"})


@pytest.fixture
def simple() -> dict[str, Any]:
    """Loader 1 -> sampler 2 -> save 3."""
    return saved_file(
        [
            node(1, "Source", [slot("name", "COMBO", None, True), slot("precision", "COMBO", None, True)],
                 [("MODEL", [10]), ("VAE", [11])], ["b.safetensors", "y"]),
            node(2, "Sample", [slot("model", "MODEL", 10), slot("fed", "FLOAT"), slot("seed", "INT", None, True),
                               slot("steps", "INT", None, True)],
                 [("LATENT", [12])], [123456789012345678, "randomize", 8, 4.5, "a\nsong", False], title="My sampler"),
            node(3, "Save", [slot("latent", "LATENT", 12), slot("vae", "VAE", 11),
                             slot("prefix", "STRING", None, True)], [], ["audio/x"]),
        ],
        [[10, 1, 0, 2, 0, "MODEL"], [11, 1, 1, 3, 1, "VAE"], [12, 2, 0, 3, 0, "LATENT"]],
    )  # fmt: skip


@pytest.fixture
def no_models_from_this_machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """An empty working directory, and no model folders from the environment."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    for name in ("ACESTEP_XL_MODELS", "COMFYUI_PATH"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def models(tmp_path: Path) -> Path:
    """A model folder with one diffusion model, xl.safetensors."""
    file = tmp_path / "mine" / "diffusion_models" / "xl.safetensors"
    file.parent.mkdir(parents=True)
    file.touch()
    return tmp_path / "mine"
