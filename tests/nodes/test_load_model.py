"""The loader: every checkpoint layout, damaged weights and missing parts."""

from __future__ import annotations

from pathlib import Path

import graphs
import pytest
import soundfile
import tiny
import torch
from safetensors.torch import load_file, save_file

from acestep_xl.runner.cli import main
from acestep_xl.runner.execute import NodeError


@pytest.fixture
def split_models(tmp_path: Path) -> Path:
    """A models folder with one file for each part."""
    models = tmp_path / "models"
    tiny.write("split", models)
    return models


def test_every_layout_gives_the_same_bytes_of_audio(tmp_path: Path) -> None:
    songs = {}
    for layout in tiny.LAYOUTS:
        models = tmp_path / layout
        (song,) = graphs.run(
            tmp_path / f"out-{layout}", {"load.model": tiny.write(layout, models)}, models=models
        ).files
        songs[layout], _ = soundfile.read(song, dtype="int32")
    reference = songs["official"]
    assert reference.shape == (2 * 48000, 2)
    assert abs(reference).max() > 2**29
    for layout, samples in songs.items():
        assert (samples == reference).all(), layout


@pytest.mark.parametrize("name", ["decoder.layers.1.mlp.up_proj.weight", "encoder.text_projector.weight"])
def test_nan_in_the_weights_names_the_tensor_and_writes_nothing(tmp_path: Path, split_models: Path, name: str) -> None:
    (file,) = (split_models / "diffusion_models").iterdir()
    state = load_file(file)
    state[name].view(-1)[3] = torch.nan
    save_file(state, file)
    with pytest.raises(NodeError, match=f"checkpoint is damaged: {name} holds NaN"):
        graphs.run(tmp_path / "out", {"load.model": file.name}, models=split_models)
    assert not list(tmp_path.glob("out/**/*.wav"))


def test_nan_in_the_vae_writes_nothing(tmp_path: Path, split_models: Path) -> None:
    (file,) = (split_models / "vae").iterdir()
    state = load_file(file)
    state["decoder.layers.0.bias"][0] = torch.nan
    save_file(state, file)
    with pytest.raises(NodeError, match=r"NaN"):
        graphs.run(tmp_path / "out", {"load.model": f"{tiny.NAME}.safetensors"}, models=split_models)
    assert not list(tmp_path.glob("out/**/*.wav"))


def test_missing_parts_name_the_remedy(tmp_path: Path, split_models: Path) -> None:
    """Before any node runs."""
    (split_models / "vae" / "ace_1.5_vae.safetensors").rename(split_models / "vae" / "other.safetensors")
    settings = {"load.model": f"{tiny.NAME}.safetensors"}
    with pytest.raises(ValueError, match=r"vae = auto.*0 files.*acestep-xl download"):
        graphs.run(tmp_path, settings, models=split_models)
    for file in (split_models / "text_encoders" / "qwen_0.6b_ace15").iterdir():
        file.unlink()
    with pytest.raises(ValueError, match=r"no tokenizer for .*tokenizer.json of Qwen/Qwen3-Embedding-0.6B"):
        graphs.run(tmp_path, {**settings, "load.vae": "other.safetensors"}, models=split_models)


def test_a_merge_of_unknown_training_says_so_once_and_gets_no_advice_that_presumes_one(
    tmp_path: Path, split_models: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (file,) = (split_models / "diffusion_models").iterdir()
    file.rename(file.with_name("merge_sft_turbo_ta_0.3.safetensors"))
    settings = {"load.model": "merge_sft_turbo_ta_0.3.safetensors"}
    graphs.run(tmp_path / "out", settings, models=split_models)
    hints = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert [hint for hint in hints if "merge_sft_turbo" in hint] == [hint for hint in hints if "SFT, base or" in hint]
    assert sum("SFT, base or turbo" in hint for hint in hints) == 1
    assert not any("was trained to run without guidance" in hint or "are usual" in hint for hint in hints)


def test_a_model_without_tokenizer_is_refused_in_words_by_the_commands(
    tmp_path: Path, split_models: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (file,) = (split_models / "diffusion_models").iterdir()
    state = {name: tensor for name, tensor in load_file(file).items() if "tokenizer." not in name}
    save_file(state, file)
    for command in (["plan"], ["run", "--output", str(tmp_path / "out")]):
        arguments = [command[0], "text_to_music", *command[1:], "--models", str(split_models)]
        assert main([*arguments, "--set", f"AceStepXLLoader.model={file.name}", "--device", "cpu"]) == 2
        printed = capsys.readouterr().err
        assert "it has no audio tokenizer (tokenizer.*), no audio detokenizer" in printed and "KeyError" not in printed
    assert not (tmp_path / "out").exists()


def test_the_vae_of_another_loader_may_decode(tmp_path: Path, split_models: Path) -> None:
    (file,) = (split_models / "diffusion_models").iterdir()
    graph = graphs.text_to_music()
    graph["other"] = {"class_type": "AceStepXLLoader", "inputs": {**graph["load"]["inputs"], "model": file.name}}
    graph["decode"]["inputs"]["vae"] = ["other", 2]
    assert len(graphs.run(tmp_path, graph=graph, models=split_models).files) == 1
