"""Which files the loader's choices stand for, and what is said before anything is loaded."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import tiny
import torch
from quantised_files import write_gguf
from safetensors.torch import load_file, save_file

from acestep_xl.host.headless import HeadlessHost
from acestep_xl.model import random_network
from acestep_xl.model.formats.contents import PLANNER_VOCABULARY
from acestep_xl.parameters import AUTO
from acestep_xl.pipeline.model_files import find, part_names, problem
from acestep_xl.runner.cli import main

NAME = f"{tiny.NAME}.safetensors"


@pytest.fixture
def models(tmp_path: Path) -> Path:
    tiny.write("split", tmp_path / "models")
    return tmp_path / "models"


def host(models: Path) -> HeadlessHost:
    return HeadlessHost([models], models.parent / "output", device="cpu")


def official_tree(folder: Path, root: Path) -> str:
    """The official application's checkpoints, with a language model; returns the checkpoint's name."""
    name = tiny.write("official", root)
    (root / "diffusers").rename(folder)
    planner = folder / "acestep-5Hz-lm-1.7B"
    planner.mkdir()
    (planner / "config.json").write_text(json.dumps({"model_type": "qwen3", "vocab_size": PLANNER_VOCABULARY}))
    save_file({"a": torch.ones(1)}, planner / "model.safetensors")
    return name


@pytest.mark.parametrize("place", ["checkpoints", "Ace-Step1.5", "diffusers", "ACE-Step-1.5/checkpoints"])
def test_the_official_applications_tree_lists_its_checkpoint_alone_and_finds_the_parts(
    place: str, tmp_path: Path
) -> None:
    (tmp_path / "models" / place).parent.mkdir(parents=True, exist_ok=True)
    name = official_tree(tmp_path / "models" / place, tmp_path / "built")
    computer = host(tmp_path / "models")
    assert part_names(computer, "model") == [name]
    assert part_names(computer, "text_encoder") == ["Qwen3-Embedding-0.6B"]
    assert part_names(computer, "vae") == ["vae"]
    assert problem(computer, name, AUTO, AUTO) == ""
    assert problem(computer, name, "Qwen3-Embedding-0.6B", "vae") == ""
    if place == "checkpoints":  # as ComfyUI's own list names it
        assert problem(computer, f"{name}/model.safetensors", AUTO, AUTO) == ""


def test_the_models_command_lists_the_checkpoint_first_and_says_what_the_others_are(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "models").mkdir()
    name = official_tree(tmp_path / "models" / "checkpoints", tmp_path / "built")
    assert main(["models", "--models", str(tmp_path / "models")]) == 0
    lines = [line.strip() for line in capsys.readouterr().out.splitlines()]
    first = lines.index("checkpoints:") + 1
    assert lines[first : first + 4] == [
        name,
        "Qwen3-Embedding-0.6B (a text encoder)",
        "acestep-5Hz-lm-1.7B (a language model, not supported yet)",
        "vae (a VAE)",
    ]


def test_the_checkpoints_folder_itself_may_be_the_models_folder(tmp_path: Path) -> None:
    name = official_tree(tmp_path / "acestep-v15", tmp_path / "built")
    (tmp_path / "acestep-v15" / name).rename(tmp_path / "acestep-v15" / "acestep-v15-xl-sft")
    computer = host(tmp_path / "acestep-v15")
    assert part_names(computer, "model") == ["acestep-v15-xl-sft"]
    assert problem(computer, "acestep-v15-xl-sft", AUTO, AUTO) == ""


def test_likely_models_come_first(models: Path) -> None:
    for name in ("acestep-5Hz-lm-4B", "a_picture_model", "ace_step_v1_3.5b", "acestep_v1.5_xl_turbo", "ace_1.5_vae"):
        (models / "diffusion_models" / f"{name}.safetensors").touch()
    names = [name.removesuffix(".safetensors") for name in part_names(host(models), "model")]
    assert names[:3] == [tiny.NAME, "acestep_v1.5_xl_turbo", "ace_step_v1_3.5b"]
    assert names[-1] == "a_picture_model"


def test_folders_of_other_models_are_no_choices(models: Path) -> None:
    configs = {"llm": {"model_type": "llama"}, "sd": {"_class_name": "AutoencoderKL"}, "mystery": {}}
    for name, config in configs.items():
        folder = models / "diffusers" / name
        folder.mkdir(parents=True)
        (folder / "config.json").write_text(json.dumps(config))
    assert part_names(host(models), "model") == [NAME, "mystery"]
    assert part_names(host(models), "vae") == ["ace_1.5_vae.safetensors"]


def test_names_saved_on_windows_are_found(models: Path) -> None:
    for kind, name in (("diffusion_models", NAME), ("vae", "ace_1.5_vae.safetensors")):
        (models / kind / "ACE15").mkdir()
        (models / kind / name).rename(models / kind / "ACE15" / name)
    assert problem(host(models), f"ACE15\\{NAME}", AUTO, "ACE15\\ace_1.5_vae.safetensors") == ""
    assert find(host(models), f"ACE15\\{NAME}", AUTO, AUTO)[0].path == models / "diffusion_models" / "ACE15" / NAME


def test_all_names_that_are_not_there_are_told_together_with_the_remedy(models: Path) -> None:
    message = problem(host(models), "acestep_v1.5_xl_sft_tinny.safetensors", "gone.safetensors", "..\\vae")
    lines = message.splitlines()
    assert [line.split(":")[0] for line in lines] == ["model", "text_encoder", "vae"]
    assert f"Did you mean '{NAME}'?" in lines[0] and str(models / "diffusion_models") in lines[0]
    assert all("acestep-xl download xl-sft" in line for line in lines)


def damage(path: Path, name: str) -> None:
    state = load_file(path)
    del state[name]
    state["bonus"] = torch.ones(1)
    save_file(state, path)


def test_every_file_that_does_not_fit_is_told_before_any_is_loaded(models: Path) -> None:
    damage(models / "diffusion_models" / NAME, "decoder.norm_out.weight")
    damage(models / "text_encoders" / "qwen_0.6b_ace15.safetensors", "model.norm.weight")
    damage(models / "vae" / "ace_1.5_vae.safetensors", "decoder.layers.0.bias")
    message = problem(host(models), NAME, AUTO, AUTO)
    assert "1 missing: decoder.norm_out.weight; 1 unknown: bonus" in message
    assert "1 missing: norm.weight; 1 unknown: bonus" in message
    assert "ace_1.5_vae.safetensors is not ACE-Step's VAE: VAE checkpoint key 'bonus'" in message


def test_a_damaged_silence_latent_and_a_missing_tokenizer_are_told_before_loading(models: Path) -> None:
    silence = models / "diffusion_models" / "silence_latent.pt"
    silence.write_bytes(b"version https://git-lfs.github.com/spec/v1\n")
    assert "a Git LFS pointer" in problem(host(models), NAME, AUTO, AUTO)
    silence.unlink()
    (models / "text_encoders" / "qwen_0.6b_ace15" / "tokenizer.json").unlink()
    assert "no tokenizer for" in problem(host(models), NAME, AUTO, AUTO)


def test_the_demo_network_and_the_config_of_a_folder_agree(models: Path) -> None:
    assert find(host(models), NAME, AUTO, AUTO)[0].config == random_network.CONFIG


def test_auto_takes_the_vae_of_acestep_cpp_where_none_has_the_official_name(models: Path) -> None:
    official = next((models / "vae").iterdir())
    other = models / "vae" / "vae-BF16.gguf"
    write_gguf(other, load_file(official), "BF16", "acestep-vae")
    assert find(host(models), NAME, AUTO, AUTO)[2].path == official
    official.unlink()
    assert find(host(models), NAME, AUTO, AUTO)[2].path == other
