"""Loading: every layout gives the same modules, and the error for a damaged file says what is wrong with it."""

from __future__ import annotations

import json
import pickle
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import tiny
import torch
from safetensors.torch import load_file, save_file

from acestep_xl.model import random_network
from acestep_xl.model.checkpoint import give_silence, load_network, load_text_encoder, load_vae
from acestep_xl.model.config import Config, StackWidth, from_official, from_shapes, to_official, training_of
from acestep_xl.model.formats.tensors import CheckpointError
from acestep_xl.model.layouts import Layout, open_text_encoder, open_vae, recognise
from acestep_xl.model.network import AceStep, parameter_count

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The path of a checkpoint in each layout, each in its own models folder."""
    paths = {}
    for layout in tiny.LAYOUTS:
        root = tmp_path_factory.mktemp(layout)
        name = tiny.write(layout, root)
        (paths[layout],) = root.glob(f"*/{name}")
    return paths


@pytest.fixture
def split(models: dict[str, Path], tmp_path: Path) -> Path:
    """A private copy of the single-file layout, to be damaged."""
    copy = tmp_path / models["split"].name
    copy.write_bytes(models["split"].read_bytes())
    return copy


def load(path: Path) -> AceStep:
    return load_network(recognise(path), torch.float32, CPU)


@pytest.mark.parametrize("layout", tiny.LAYOUTS)
def test_every_layout_gives_the_same_modules(models: dict[str, Path], layout: str) -> None:
    checkpoint: Layout = recognise(models[layout])
    root = models[layout].parents[1]
    vae = load_vae(checkpoint.vae or open_vae(root / "vae" / "ace_1.5_vae.safetensors"), torch.float32, CPU)
    text_source = checkpoint.text or open_text_encoder(root / "text_encoders" / "qwen_0.6b_ace15.safetensors")
    tokenizer = next(root.rglob("tokenizer.json")).parent
    text = load_text_encoder(text_source, tokenizer, torch.float32, CPU)
    network = load_network(checkpoint, torch.float32, CPU)
    give_silence(network, vae)

    assert checkpoint.config == random_network.CONFIG
    assert checkpoint.training == "sft"
    for module, expected in ((network, tiny.network_state()), (text.model, tiny.text_state())):
        state = module.state_dict()
        assert state.keys() == expected.keys()
        assert all(torch.equal(state[name], tensor) for name, tensor in expected.items())
    torch.testing.assert_close(vae.state_dict(), tiny.vae().state_dict())
    assert torch.equal(network.silent(2000), tiny.silence()[0].T[:2000])


def test_silence_is_encoded_if_it_is_not_shipped() -> None:
    """A longer silence really encodes to the repeated last frame."""
    network, vae = random_network.network(), random_network.vae()
    give_silence(network, vae)
    encoded = vae.encode(torch.zeros(1, 2, 60 * vae.config.hop))[0].T
    torch.testing.assert_close(network.silent(50), encoded[:50], rtol=0, atol=1e-5)


def test_parameter_counts_are_the_published_ones() -> None:
    encoder = StackWidth(2048, 6144, 16, 8, 128)
    assert parameter_count(Config(StackWidth(2560, 9728, 32, 8, 128), encoder, 32, 8, 4, 2, 1024)) == 4_987_310_726
    assert parameter_count(Config(encoder, encoder, 24, 8, 4, 2, 1024)) == 2_393_872_518


def test_config_from_shapes_equals_the_config_file() -> None:
    for config in (
        random_network.CONFIG,
        Config(StackWidth(32, 48, 2, 1, 16), StackWidth(32, 48, 2, 1, 16), 3, 1, 2, 1, 24),
    ):
        with torch.device("meta"):
            shapes = {name: tuple(t.shape) for name, t in AceStep(config).state_dict().items()}
        assert from_shapes(shapes) == from_official(tiny.official_config(config)) == config


def test_official_config_needs_one_head_dim() -> None:
    config = random_network.CONFIG
    with pytest.raises(ValueError, match="one head_dim; the encoder's is 8 and the decoder's 16"):
        to_official(replace(config, encoder=replace(config.encoder, head_dim=8)))


@pytest.mark.parametrize(
    ("config", "name", "training"),
    [
        ({"is_turbo": True, "model_version": "turbo"}, "anything-sft", "turbo"),
        ({"is_turbo": False, "model_version": "turbo"}, "acestep-v15-xl-sft", "sft"),
        ({}, "acestep_v1.5_xl_sft_bf16", "sft"),
        ({}, "acestep_v1.5_base", "base"),
        ({}, "acestep_v1.5_turbo", "turbo"),
        ({"model_version": "sft"}, "mine", "sft"),
        ({}, "softbase", "unknown"),
        ({}, "merge_sft_turbo_ta_0.3", "unknown"),
        ({"is_turbo": False, "model_version": "turbo"}, "merge_sft_turbo_ta_0.3", "unknown"),
        ({"is_turbo": False, "model_version": "sft"}, "merge_sft_turbo_ta_0.3", "sft"),
        ({"is_turbo": True}, "merge_sft_turbo_ta_0.3", "turbo"),
        ({"is_turbo": False}, "acestep-v15-xl-turbo", "unknown"),
        ({"model_version": "base"}, "acestep-v15-xl-sft", "base"),
        ({}, "XL base+SFT (50-50)", "unknown"),
        ({}, "acestep-v15-xl-sftturbo50", "unknown"),
        ({}, "ACE-Step XL (SFT)", "sft"),
    ],
)
def test_training_kind(config: dict[str, object], name: str, training: str) -> None:
    assert training_of(config, name) == training


@pytest.mark.parametrize(("config", "training"), [({}, "unknown"), ({"model_version": "base"}, "base")])
def test_the_config_beside_a_single_file_decides_its_training(
    models: dict[str, Path], tmp_path: Path, config: dict[str, object], training: str
) -> None:
    folder = tmp_path / "merges"
    shutil.copytree(models["official"], folder)
    (folder / "model.safetensors").rename(folder / "merge_sft_turbo_ta_0.3.safetensors")
    (folder / "config.json").write_text(json.dumps(tiny.official_config(random_network.CONFIG, **config)))
    assert recognise(folder / "merge_sft_turbo_ta_0.3.safetensors").training == training
    (folder / "config.json").unlink()
    assert recognise(folder / "merge_sft_turbo_ta_0.3.safetensors").training == "unknown"


def test_a_file_of_an_official_folder_has_the_config_and_the_parts_beside_it(models: dict[str, Path]) -> None:
    layout, folder = recognise(models["official"] / "model.safetensors"), recognise(models["official"])
    assert layout.vae is not None and layout.text is not None
    assert (layout.training, layout.config, layout.silence) == (folder.training, folder.config, folder.silence)
    assert (layout.vae.path, layout.text.path) == (models["official"].parent / "vae", models["official"].parent /
                                                   "Qwen3-Embedding-0.6B")  # fmt: skip


def test_weights_are_aligned_for_the_cpu_and_mapped_for_a_gpu(split: Path) -> None:
    """A song must not depend on the offset of a tensor in its file."""
    save_file({**load_file(split)}, split, metadata={"padding": "x"})
    layout = recognise(split)
    mapped = [p.data_ptr() for p in load_network(layout, torch.float32, torch.device("meta")).parameters()]
    assert any(address % 64 for address in mapped)
    assert not any(p.data_ptr() % 64 for p in load_network(layout, torch.float32, CPU).parameters())


def test_truncated_file(split: Path) -> None:
    split.write_bytes(split.read_bytes()[:-1000])
    with pytest.raises(CheckpointError, match=r"not a complete safetensors file.*fetch the file again") as error:
        recognise(split)
    assert str(split) in str(error.value)


def test_file_that_is_not_safetensors(tmp_path: Path) -> None:
    page = tmp_path / "model.safetensors"
    page.write_text("<!doctype html><title>Sign in</title>" * 20)
    with pytest.raises(CheckpointError, match=r"not a safetensors file: it is a web page; .*'Sign in'"):
        recognise(page)


def test_another_model(tmp_path: Path) -> None:
    other = tmp_path / "sd15.safetensors"
    save_file({"model.diffusion_model.input_blocks.0.0.weight": torch.ones(1)}, other)
    with pytest.raises(CheckpointError, match=r"not an ACE-Step 1.5 model.*input_blocks.0.0.weight"):
        recognise(other)


def test_missing_unknown_and_misshapen_keys_are_named_together(split: Path) -> None:
    state = load_file(split)
    del state["decoder.norm_out.weight"]
    state["decoder.bonus"] = torch.ones(2)
    state["null_condition_emb"] = torch.ones(1, 1, 7)
    save_file(state, split)
    with pytest.raises(CheckpointError) as error:
        load(split)
    for part in ("1 missing: decoder.norm_out.weight", "1 unknown: decoder.bonus", "null_condition_emb (1, 1, 7)"):
        assert part in str(error.value)


def test_incomplete_folders(models: dict[str, Path], tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="does not exist"):
        recognise(tmp_path / "nowhere")
    with pytest.raises(CheckpointError, match="neither an official"):
        recognise(tmp_path)
    (tmp_path / "config.json").write_text('{"hidden_size": 1}')
    with pytest.raises(CheckpointError, match=r"has no weights: expected model.safetensors"):
        recognise(tmp_path)
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(CheckpointError, match="not valid JSON"):
        recognise(tmp_path)


def test_missing_shard(tmp_path: Path) -> None:
    name = tiny.write("shards", tmp_path)
    (tmp_path / "diffusers" / name / "model-00002-of-00002.safetensors").unlink()
    with pytest.raises(CheckpointError, match=r"not there: model-00002-of-00002.safetensors"):
        recognise(tmp_path / "diffusers" / name)


def test_config_without_a_field_and_with_other_layers(models: dict[str, Path], tmp_path: Path) -> None:
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "model.safetensors").write_bytes((models["official"] / "model.safetensors").read_bytes())
    config = tiny.official_config(random_network.CONFIG)
    del config["head_dim"]
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(CheckpointError, match="lacks 'head_dim'"):
        recognise(folder)
    config = tiny.official_config(random_network.CONFIG, layer_types=["full_attention"] * 4)
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(ValueError, match="alternating"):
        recognise(folder)


class Malicious:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return print, ("unpickled",)


@pytest.mark.parametrize("content", [b"", b"garbage", pickle.dumps(Malicious())])
def test_silence_latent_never_runs_code(split: Path, content: bytes, capsys: pytest.CaptureFixture[str]) -> None:
    (split.parent / "silence_latent.pt").write_bytes(content)
    with pytest.raises(CheckpointError, match=r"silence_latent.pt can't be read"):
        load(split)
    assert "unpickled" not in capsys.readouterr().out


def test_silence_latent_of_another_shape(split: Path) -> None:
    torch.save(torch.zeros(1, 8, 16, 100), split.parent / "silence_latent.pt")
    with pytest.raises(CheckpointError, match=r"does not hold a silence latent \[1 64 t\]"):
        load(split)


def test_wrong_text_encoder_and_vae(split: Path, models: dict[str, Path]) -> None:
    tokenizer = models["split"].parents[1] / "text_encoders" / "qwen_0.6b_ace15"
    with pytest.raises(CheckpointError, match="not the text encoder"):
        load_text_encoder(open_text_encoder(split), tokenizer, torch.float32, CPU)
    with pytest.raises(CheckpointError, match="not ACE-Step's VAE"):
        load_vae(open_vae(split), torch.float32, CPU)
