"""Model names on disk: links, loops, names saved on Windows, and the official application's folders."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from acestep_xl.host.directory_walk import resolve, walk
from acestep_xl.host.headless import HeadlessHost
from acestep_xl.host.model_folders import folders_by_kind, list_models


@pytest.fixture
def models(tmp_path: Path) -> Path:
    folder = tmp_path / "models"
    for name in ("diffusion_models/xl.safetensors", "vae/v.safetensors", "checkpoints/sub/a.safetensors"):
        touch(folder / name)
    return folder


def touch(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()
    return path


def names(kind: str, *roots: Path) -> list[str]:
    return list_models(kind, folders_by_kind(roots)[kind])


@pytest.mark.parametrize("target", ["", "diffusion_models", "diffusion_models/loops"])
def test_links_back_to_a_parent_list_nothing_twice(target: str, models: Path) -> None:
    loops = models / "diffusion_models" / "loops"
    loops.mkdir()
    for number in range(8):
        (loops / f"loop{number}").symlink_to(models / target, target_is_directory=True)
        (models / "checkpoints" / f"loop{number}").symlink_to(models, target_is_directory=True)
    (loops / "itself").symlink_to(loops / "itself")
    assert names("diffusion_models", models) == ["xl.safetensors"]
    assert names("checkpoints", models) == ["sub/a.safetensors"]
    assert names("diffusers", models) == []


def test_linked_folders_are_followed_once(models: Path, tmp_path: Path) -> None:
    elsewhere = tmp_path / "big disk"
    touch(elsewhere / "music" / "b.safetensors")
    for name in ("first", "second"):
        (models / "diffusion_models" / name).symlink_to(elsewhere, target_is_directory=True)
    (elsewhere / "back").symlink_to(models / "diffusion_models", target_is_directory=True)
    assert names("diffusion_models", models) == ["first/music/b.safetensors", "xl.safetensors"]


def test_two_search_folders_that_are_one_list_each_name_once(models: Path) -> None:
    (models / "unet").symlink_to(models / "diffusion_models", target_is_directory=True)
    assert names("diffusion_models", models) == ["xl.safetensors"]


def test_a_search_folder_inside_another_keeps_its_own_names(models: Path) -> None:
    assert list_models("vae", [models, models / "vae"]) == [
        "checkpoints/sub/a.safetensors",
        "diffusion_models/xl.safetensors",
        "v.safetensors",
    ]


@pytest.mark.parametrize("number", [0, 7])
def test_drives_that_number_no_folders_are_walked_too(
    number: int, models: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Inode 0 on every folder, as some network drives report it."""
    if number == 0:
        stat = Path.stat

        def unnumbered(path: Path, **options: bool) -> object:
            values = list(stat(path, **options))
            values[1] = 0
            return type(stat(path))(values)

        monkeypatch.setattr(Path, "stat", unnumbered)
    (models / "checkpoints" / "loop").symlink_to(models, target_is_directory=True)
    assert names("checkpoints", models) == ["sub/a.safetensors"]


@pytest.mark.parametrize("name", ["sub\\a.safetensors", "sub/a.safetensors"])
def test_names_saved_on_windows_are_found(name: str, models: Path, tmp_path: Path) -> None:
    host = HeadlessHost([models], tmp_path, device="cpu")
    assert host.model_path("checkpoints", name) == models / "checkpoints" / "sub" / "a.safetensors"


def test_a_backslash_in_a_name_is_a_backslash_where_it_can_be(tmp_path: Path) -> None:
    touch(tmp_path / "a\\b.wav")
    assert resolve(tmp_path, "a\\b.wav") == tmp_path / "a\\b.wav"


@pytest.mark.parametrize(
    "name", ["", "..", "../x", "..\\x", "sub\\..\\..\\x", "/etc/passwd", "\\x", "C:\\x", "C:x", "\\\\server\\x"]
)
def test_no_name_leaves_its_folder(name: str, tmp_path: Path) -> None:
    touch(tmp_path / "x")
    touch(tmp_path / "in" / "sub" / "y")
    assert resolve(tmp_path / "in", name) is None


OFFICIAL = ("acestep-5Hz-lm-1.7B", "acestep-v15-xl-sft", "Qwen3-Embedding-0.6B", "vae")


def official(folder: Path) -> Path:
    for name in OFFICIAL:
        touch(folder / name / "config.json")
        weights = "diffusion_pytorch_model" if name == "vae" else "model"
        touch(folder / name / f"{weights}.safetensors")
    return folder


@pytest.mark.parametrize(
    ("build", "kind"),
    [
        (lambda root: official(root / "checkpoints"), "checkpoints"),
        (lambda root: official(root / "diffusers"), "diffusers"),
        (official, "diffusers"),
        (lambda root: official(root / "Ace-Step1.5"), "diffusers"),
        (lambda root: touch(official(root / "Ace-Step1.5") / "config.json"), "diffusers"),
        (lambda root: official(root / "ACE-Step-1.5" / "checkpoints"), "diffusers"),
    ],
)
def test_the_official_applications_folders_are_models_by_name(
    build: Callable[[Path], Path], kind: str, tmp_path: Path
) -> None:
    """Not their files, wherever the application or another pack put the tree."""
    build(tmp_path)
    assert names(kind, tmp_path) == sorted(OFFICIAL)


def test_shards_are_not_models_but_their_folder_is(models: Path) -> None:
    for number in (1, 2):
        touch(models / "diffusion_models" / "sft" / f"model-0000{number}-of-00002.safetensors")
    touch(models / "diffusion_models" / "sft" / "model.safetensors.index.json")
    assert names("diffusion_models", models) == ["sft", "xl.safetensors"]


def test_other_files_in_a_folder_with_a_config_are_listed(models: Path) -> None:
    for name in ("config.json", "my_merge.safetensors", "other.safetensors"):
        touch(models / "diffusion_models" / "mine" / name)
    expected = ["mine/my_merge.safetensors", "mine/other.safetensors", "xl.safetensors"]
    assert names("diffusion_models", models) == expected
    touch(models / "diffusion_models" / "mine" / "model.safetensors")
    assert names("diffusion_models", models) == ["mine", *expected]


def test_a_walk_gives_each_folder_with_its_name(models: Path) -> None:
    assert [(folder.name, sorted(folder.files)) for folder in walk([models / "checkpoints"])] == [
        ("", []),
        ("sub", ["a.safetensors"]),
    ]
