"""ComfyUI's extra_model_paths.yaml, and the ComfyUI that the pack is installed in."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from acestep_xl.host import comfyui_location, model_folders
from acestep_xl.host.headless import HeadlessHost
from acestep_xl.runner.cli import main


@pytest.fixture
def comfyui(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = fake_comfyui(tmp_path / "ComfyUI")
    monkeypatch.setenv("COMFYUI_PATH", str(folder))
    monkeypatch.chdir(tmp_path)
    return folder


def fake_comfyui(folder: Path) -> Path:
    for name in ("comfy", "models", "custom_nodes"):
        (folder / name).mkdir(parents=True)
    (folder / "folder_paths.py").touch()
    return folder


def folders(comfyui: Path, text: str) -> dict[str, list[Path]]:
    (comfyui / "extra_model_paths.yaml").write_text(text)
    return model_folders.folders_by_kind([comfyui / "models"])


def test_folders_are_added_by_comfyuis_rules(comfyui: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MUSIC_DISK", "/disk")
    found = folders(
        comfyui,
        """
        # a comment
        empty:
        mine:
            base_path: $MUSIC_DISK/models
            checkpoints: ckpt/
            text_encoders: |
                te
                clip/here
            unet: unets
            loras: loras
            custom_nodes: nodes
        relative:
            base_path: ../shared
            vae: vae
        no_base:
            vae: other/vae
            clip: /absolute/clip
        """,
    )
    own = comfyui / "models"
    assert found["checkpoints"] == [own / "checkpoints", Path("/disk/models/ckpt")]
    encoders = [Path("/disk/models/te"), Path("/disk/models/clip/here"), Path("/absolute/clip")]
    assert found["text_encoders"] == [own / "text_encoders", own / "clip", *encoders]
    assert found["diffusion_models"] == [own / "diffusion_models", own / "unet", Path("/disk/models/unets")]
    assert found["vae"] == [own / "vae", comfyui.parent / "shared" / "vae", comfyui / "other" / "vae"]


def test_default_folders_come_first_and_home_is_expanded(comfyui: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/me")
    found = folders(comfyui, "a:\n  base_path: ~/music\n  is_default: true\n  vae: v\nb:\n  vae: /w\n")
    assert found["vae"] == [Path("/home/me/music/v"), comfyui / "models" / "vae", Path("/w")]


def test_the_application_named_folder_of_another_pack_is_searched(comfyui: Path, tmp_path: Path) -> None:
    model = tmp_path / "disk" / "acestep-v15-xl-sft"
    model.mkdir(parents=True)
    (model / "config.json").touch()
    found = folders(comfyui, f"a:\n  Ace-Step1.5: {tmp_path / 'disk'}\n")
    assert model_folders.list_models("diffusers", found["diffusers"]) == ["acestep-v15-xl-sft"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: [", "is not valid YAML"),
        ("a:\n\tvae: x", "is not valid YAML"),
        ("- a", "holds a list, expected sections"),
        ("a: text", "section 'a' is 'text', expected folders"),
        ("a:\n  vae: 3", "vae of section 'a' is 3, expected one folder"),
    ],
)
def test_a_damaged_file_is_named(text: str, message: str, comfyui: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ValueError, match=rf"extra_model_paths.yaml.*{message}"):
        folders(comfyui, text)
    for command in (["models"], ["plan", "text_to_music", "--demo"]):
        assert main(command) == 2
        assert "extra_model_paths.yaml" in capsys.readouterr().err


def test_the_models_command_lists_them_and_names_the_file(comfyui: Path, capsys: pytest.CaptureFixture[str]) -> None:
    disk = comfyui.parent / "disk" / "dm"
    disk.mkdir(parents=True)
    (disk / "acestep.safetensors").touch()
    (comfyui / "extra_model_paths.yaml").write_text(f"mine:\n  diffusion_models: {disk}\n")
    assert main(["models"]) == 0
    printed = capsys.readouterr().out
    assert "  acestep.safetensors\n" in printed and f"looked in {disk}\n" in printed
    assert f"read {comfyui / 'extra_model_paths.yaml'}" in printed
    host = HeadlessHost(model_folders.search_roots([]), comfyui, device="cpu")
    assert host.model_path("diffusion_models", "acestep.safetensors") == disk / "acestep.safetensors"


@pytest.mark.parametrize("python", ["ComfyUI/venv", "venv", "python_embeded"])
def test_the_comfyui_of_the_python_is_searched(python: str, comfyui: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("COMFYUI_PATH")
    monkeypatch.setattr(sys, "prefix", str(comfyui.parent / python))
    assert comfyui / "models" in model_folders.search_roots([])


def test_the_comfyui_whose_custom_nodes_hold_the_pack_is_searched(
    comfyui: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("COMFYUI_PATH")
    monkeypatch.setattr(comfyui_location, "PACK", comfyui / "custom_nodes" / "acestep-xl")
    assert comfyui / "models" in model_folders.search_roots([])


def test_a_comfyui_given_as_models_folder_or_in_its_portable_folder_is_understood(
    comfyui: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COMFYUI_PATH", str(comfyui.parent))
    assert comfyui / "models" in model_folders.search_roots([])
    monkeypatch.delenv("COMFYUI_PATH")
    assert model_folders.search_roots([comfyui])[0] == comfyui / "models"
    monkeypatch.setenv("ACESTEP_XL_MODELS", os.pathsep.join(["/a", str(comfyui)]))
    assert model_folders.search_roots([])[:2] == [Path("/a"), comfyui / "models"]
