"""Adapters that can't be used: every problem is named at once, with what to do."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from adapter_files import FILES, Write
from safetensors.torch import load_file, save_file
from torch import Tensor

from acestep_xl.model.adapters.adapter import AdapterError
from acestep_xl.model.adapters.fit import training_hint
from acestep_xl.model.adapters.read import read

MODULE = "base_model.model.layers.0.self_attn.q_proj"


def lora(module: str = MODULE, rank: int = 4, rows: int = 64, columns: int = 80) -> dict[str, Tensor]:
    return {
        f"{module}.lora_A.weight": torch.randn(rank, columns),
        f"{module}.lora_B.weight": torch.randn(rows, rank),
    }


def message(path: Path) -> str:
    with pytest.raises(AdapterError) as error:
        read(path)
    assert path.name in str(error.value)
    return str(error.value)


FOREIGN = {
    "transformer_blocks.3.attn.to_q": "ACE-Step 1.0",
    "base_model.model.speaker_embedder": "ACE-Step 1.0",
    "transformer.single_transformer_blocks.4.attn.to_q": "image LoRA",
    "lora_unet_down_blocks_0_attentions_0_to_q": "image LoRA",
    "lora_unet_double_blocks_0_img_attn_qkv": "image LoRA",
    "diffusion_model.blocks.3.self_attn.q": "video LoRA",
    "lora_te1_text_model_encoder_layers_0_self_attn_q_proj": "text encoder",
    "base_model.model.model.layers.7.self_attn.q_proj": "language model",
    "base_model.model.nothing.known": "nothing.known",
}


@pytest.mark.parametrize("module", FOREIGN)
def test_adapters_of_other_models_are_named(write: Write, module: str) -> None:
    text = message(write(lora(module)))
    assert FOREIGN[module] in text and "none of its 1 modules" in text


@pytest.mark.parametrize("file", ["xl_sft_tiny/model.safetensors", "xl_sft_tiny/inputs.safetensors"])
def test_a_file_without_updates_is_no_adapter(file: str) -> None:
    assert "is no adapter" in message(FILES.parents[1] / file)


def test_all_problems_are_listed_at_once(write: Write) -> None:
    tensors = lora() | lora("layers.0.mlp.up_proj") | lora("layers.1.strange.q_proj")
    tensors["layers.0.mlp.up_proj.lora_B.weight"] = torch.randn(96, 6)
    tensors["layers.1.self_attn.q_proj.lora_A.weight"] = torch.randn(4, 80)
    tensors["layers.2.self_attn.q_proj.lokr_w1"] = torch.randn(4, 4)
    tensors["layers.0.self_attn.k_proj.lambda_layer"] = torch.randn(4)
    tensors |= lora("layers.2.mlp.down_proj") | {"layers.2.mlp.down_proj.alpha": torch.tensor(float("nan"))}
    tensors |= lora("layers.2.mlp.up_proj") | {"layers.2.mlp.up_proj.alpha": torch.tensor(0.0)}
    tensors |= lora("layers.2.mlp.gate_proj") | {"layers.2.mlp.gate_proj.lora_B.weight": torch.full((96, 4), torch.inf)}
    tensors |= {"lora_unet_layers_0_self_attn_q_proj.lora_up.weight": torch.randn(64, 4)}
    text = message(write(tensors, config={"peft_type": "VERA"}))
    for part in (
        "VERA; supported: LORA, LOHA, LOKR, OFT, IA3",
        "1 of 8 modules are not in ACE-Step 1.5: layers.1.strange.q_proj",
        "layers.0.mlp.up_proj has factors of ranks 4 and 6",
        "layers.1.self_attn.q_proj lacks up",
        "layers.2.self_attn.q_proj lacks lokr_w2 or lokr_w2_a",
        "layers.0.self_attn.k_proj.lambda_layer",
        "layers.2.mlp.down_proj has alpha nan",
        "layers.2.mlp.up_proj has alpha 0",
        "1 tensors hold NaN or infinity: layers.2.mlp.gate_proj.lora_B.weight",
        "1 tensors are there twice",
    ):
        assert part in text, part


def test_an_adapter_of_zeros_is_refused_and_some_zeros_are_mentioned(write: Write) -> None:
    half = lora() | {f"{MODULE}.lora_B.weight": torch.zeros(64, 4)}
    assert "every update is zero" in message(write(half))
    adapter = read(write(half | lora("layers.1.self_attn.q_proj")))
    assert any("1 of 2 updates are zero" in hint for hint in adapter.hints)


def test_a_dora_without_magnitudes_was_saved_in_part(write: Write) -> None:
    assert "no magnitudes" in message(write(lora(), config={"use_dora": True, "lora_alpha": 4, "r": 4}))
    wrong = lora() | {f"{MODULE}.lora_magnitude_vector": torch.ones(63)}
    assert "has 63 magnitudes for 64 rows" in message(write(wrong))


def test_a_bias_that_the_network_lacks_is_named(write: Write) -> None:
    tensors = lora() | {f"{MODULE}.diff_b": torch.ones(64)}
    assert "q_proj has a bias, which the network's module lacks" in message(write(tensors))


def test_files_of_other_kinds_are_named(tmp_path: Path, write: Write) -> None:
    (tmp_path / "page.safetensors").write_text("<html>not found</html>")
    (tmp_path / "page.pt").write_text("<html>not found</html>")
    for name in ("page.safetensors", "page.pt"):
        with pytest.raises(ValueError, match="web page"):
            read(tmp_path / name)
    with pytest.raises(AdapterError, match="holds several files: choose one of page"):
        read(tmp_path)
    (tmp_path / "empty").mkdir()
    with pytest.raises(AdapterError, match=r"holds no adapter: expected adapter_model\.safetensors"):
        read(tmp_path / "empty")
    with pytest.raises(AdapterError, match="does not exist"):
        read(tmp_path / "nowhere")


def test_a_pickle_that_would_run_code_is_refused(tmp_path: Path) -> None:
    class Opener:
        def __reduce__(self) -> tuple:
            return (open, (str(tmp_path / "ran"), "w"))

    torch.save({"weight": torch.ones(2), "other": Opener()}, tmp_path / "lora.pt")
    assert "could run code" in message(tmp_path / "lora.pt")
    assert not (tmp_path / "ran").exists()


def test_where_base_and_adapter_were_trained_differently_is_told(write: Write) -> None:
    path = write(lora(), config={"base_model_name_or_path": "ACE-Step/acestep-v15-turbo", "lora_alpha": 4, "r": 4})
    adapter = read(path)
    assert adapter.trained_on == "turbo"
    assert "trained on turbo and the model is sft" in training_hint(adapter, "sft")
    assert training_hint(adapter, "turbo") == training_hint(adapter, "unknown") == ""
    assert read(write(lora(), name="b/voice_base.safetensors")).trained_on == "base"


def test_what_it_is_says_kind_layout_rank_alpha_modules_and_sizes(tmp_path: Path) -> None:
    text = read(FILES / "peft_dora").describe()
    for part in (
        "DoRA of LoRA of rank 4",
        "PEFT",
        "alpha from adapter_config.json",
        "1 cross attention",
        "no published size",
    ):
        assert part in text
    wide = {f"{MODULE}.lora_A.weight": torch.ones(8, 2048), f"{MODULE}.lora_B.weight": torch.ones(2048, 8)}
    save_file(wide, tmp_path / "a.safetensors")
    assert read(tmp_path / "a.safetensors").sizes == ("2B",)
    encoder = "lora_unet_encoder_lyric_encoder_layers_0_self_attn_q_proj"
    save_file({key.replace(MODULE, encoder): value for key, value in wide.items()}, tmp_path / "b.safetensors")
    assert read(tmp_path / "b.safetensors").sizes == ("XL", "2B")
    assert len(load_file(tmp_path / "b.safetensors")) == 2
