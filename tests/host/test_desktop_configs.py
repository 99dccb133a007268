"""Model folders of ComfyUI's desktop applications, and files of folders that are named like a models folder."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from acestep_xl.host import model_folders
from acestep_xl.runner.cli import main

# What the desktop application writes, and below it what a user adds by hand.
OLDER = """\
# ComfyUI extra_model_paths.yaml for win32
comfyui_desktop:
  is_default: "true"
  custom_nodes: custom_nodes/
  download_model_base: models
  base_path: {base}
desktop_extensions:
  custom_nodes: /opt/ComfyUI/custom_nodes
mine:
  base_path: {disk}
  unet: unets/
  clip: |
    te
    more te
"""
NEWER = """\
comfy.desktop_0:
  base_path: '{base}'
  is_default: true
  'diffusion_models': 'diffusion_models/'
  'text_encoders': 'text_encoders/'
  'vae': 'vae/'
  'clip': 'clip/'
  'unet': 'unet/'
"""
FOLDERS = {
    "win32": ("Roaming/ComfyUI", "Roaming/Comfy Desktop"),
    "darwin": ("Library/Application Support/ComfyUI", "Library/Application Support/Comfy Desktop"),
    "linux": (".config/ComfyUI", ".local/share/comfyui-desktop-2"),
}


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("COMFYUI_PATH", "ACESTEP_XL_MODELS", "XDG_CONFIG_HOME", "XDG_DATA_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    monkeypatch.setenv("APPDATA", str(tmp_path / "Roaming"))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


@pytest.mark.parametrize("platform", FOLDERS)
def test_the_older_application(platform: str, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", platform)
    base, disk = home / "Documents" / "ComfyUI", home / "disk"
    write(home / FOLDERS[platform][0] / "extra_models_config.yaml", OLDER.format(base=base, disk=disk))
    write(base / "models" / "vae" / "v.safetensors", "")
    write(disk / "more te" / "t.safetensors", "")
    folders = model_folders.folders_by_kind(model_folders.search_roots([]))
    assert folders["diffusion_models"][:3] == [
        *(base / "models" / name for name in ("diffusion_models", "unet")),
        disk / "unets",
    ]
    assert model_folders.list_models("vae", folders["vae"]) == ["v.safetensors"]
    assert model_folders.list_models("text_encoders", folders["text_encoders"]) == ["t.safetensors"]


@pytest.mark.parametrize("platform", FOLDERS)
def test_the_newer_application(platform: str, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", platform)
    base = home / "ComfyUI-Shared" / "models"
    write(home / FOLDERS[platform][1] / "shared_model_paths.yaml", NEWER.format(base=base))
    write(base / "unet" / "acestep.safetensors", "")
    folders = model_folders.folders_by_kind(model_folders.search_roots([]))["diffusion_models"]
    assert {base / "diffusion_models", base / "unet"} < set(folders)
    assert model_folders.list_models("diffusion_models", folders) == ["acestep.safetensors"]


def test_linux_folders_follow_their_variables(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(home / "c"))
    monkeypatch.setenv("XDG_DATA_HOME", str(home / "d"))
    configs = [
        write(home / "c" / "ComfyUI" / "extra_models_config.yaml", ""),
        write(home / "d" / "comfyui-desktop-2" / "shared_model_paths.yaml", ""),
    ]
    assert [root for root in model_folders.search_roots([]) if root.suffix] == configs


@pytest.mark.parametrize("how", ["option", "variable"])
def test_a_file_of_folders_is_taken_where_a_models_folder_is(
    how: str, home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """As ComfyUI takes it with --extra-model-paths-config; relative folders start at the file."""
    config = write(home / "etc" / "paths.yaml", "a:\n  base_path: ../disk\n  is_default: true\n  vae: v\n  clip: ''\n")
    write(home / "disk" / "v" / "mine.safetensors", "")
    command = ["models"]
    if how == "option":
        command += ["--models", "etc/paths.yaml"]
    else:
        monkeypatch.setenv("ACESTEP_XL_MODELS", os.pathsep.join(["/other", str(config)]))
    assert main(command) == 0
    printed = capsys.readouterr().out
    assert "  mine.safetensors\n" in printed and f"looked in {home / 'disk' / 'v'}\n" in printed
    assert f"read {config}\n" in printed and f"{config}/" not in printed


def test_a_file_that_is_missing_or_cannot_be_read_is_named(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for command in (["models"], ["plan", "text_to_music", "--demo"]):
        assert main([*command, "--models", str(home / "no.yaml")]) == 2
        assert f"cannot read {home / 'no.yaml'}: No such file or directory" in capsys.readouterr().err


def test_nothing_is_downloaded_into_a_file(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = write(home / "paths.yaml", "")
    assert main(["download", "xl-sft", "--models", str(config)]) == 2
    assert "is a list of folders; give --models the folder to download into" in capsys.readouterr().err
    assert config.read_text() == ""
