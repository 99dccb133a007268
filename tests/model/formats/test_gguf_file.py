"""GGUF files of the network, the text encoder and the VAE load as their safetensors do; other files are told."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import gguf
import numpy as np
import pytest
import small_qwen3
import tiny
import torch
from quantised_files import write_gguf
from safetensors.torch import load_file

from acestep_xl.host.model_folders import list_models
from acestep_xl.model import random_network
from acestep_xl.model.checkpoint import load_network, load_text_encoder, load_vae
from acestep_xl.model.formats.tensors import CheckpointError
from acestep_xl.model.layouts import open_text_encoder, open_vae, recognise
from acestep_xl.model.text import TextEncoder
from acestep_xl.model.tokenizer import demo_tokenizer, find_tokenizer, load_tokenizer, save_tokenizer

CPU = torch.device("cpu")
STATE = tiny.network_state()
CONFIG = tiny.official_config(random_network.CONFIG, sliding_window=12)


def with_silence() -> dict[str, torch.Tensor]:
    return STATE | {"silence_latent": tiny.silence()[0].T[:600].contiguous()}


def tokens() -> tuple[list[str], list[str]]:
    """The demo's vocabulary, and merges that its tokenizer does not have."""
    vocabulary = demo_tokenizer().get_vocab(with_added_tokens=False)
    ordered = [token for token, number in sorted(vocabulary.items(), key=lambda pair: pair[1]) if number < 256]
    return [*ordered, "la"], ["l a"]


def test_config_silence_and_training_are_inside(tmp_path: Path) -> None:
    path = write_gguf(tmp_path / "anything.gguf", with_silence(), "F32", config=CONFIG | {"model_version": "base"})
    layout = recognise(path)
    assert (layout.training, layout.config.sliding_window) == ("base", 12)
    network = load_network(layout, torch.float32, CPU)
    assert torch.equal(network.silence, tiny.silence()[0].T[:600])


@pytest.mark.parametrize("architecture", ["acestep-dit", "pig", "flux"])
@pytest.mark.parametrize("prefix", ["", "model.diffusion_model."])
def test_the_names_of_tensors_tell_what_a_file_is(architecture: str, prefix: str, tmp_path: Path) -> None:
    state = {prefix + name: value for name, value in STATE.items()}
    path = write_gguf(tmp_path / "acestep-v15-xl-sft-F32.gguf", state, "F16", architecture)
    layout = recognise(path)
    assert (layout.training, layout.config) == ("sft", random_network.CONFIG)
    assert set(layout.network) == set(STATE)


def test_dimensions_of_one_that_ggml_drops_are_put_back(tmp_path: Path) -> None:
    state = {name: value.reshape([n for n in value.shape if n > 1] or [1]) for name, value in STATE.items()}
    network = load_network(recognise(write_gguf(tmp_path / "m.gguf", state, "F32", config=CONFIG)), torch.float32, CPU)
    assert {name: value.shape for name, value in network.state_dict().items()} == {
        name: value.shape for name, value in STATE.items()
    }


def test_everything_in_one_file(tmp_path: Path) -> None:
    state = {f"model.diffusion_model.{name}": value for name, value in STATE.items()}
    state |= {f"vae.{name}": value for name, value in tiny.vae_state().items()}
    state |= {f"text_encoders.qwen3_06b.transformer.model.{n}": value for n, value in tiny.text_state().items()}
    layout = recognise(write_gguf(tmp_path / "all.gguf", state, "Q8_0", config=CONFIG))
    assert layout.vae is not None and layout.text is not None and set(layout.network) == set(STATE)
    load_vae(layout.vae, torch.float32, CPU)


LLAMA = {"embed_tokens": "token_embd", "layers.": "blk.", "self_attn.q_proj": "attn_q", "self_attn.k_proj": "attn_k",
         "self_attn.v_proj": "attn_v", "self_attn.o_proj": "attn_output", "self_attn.q_norm": "attn_q_norm",
         "self_attn.k_norm": "attn_k_norm", "post_attention_layernorm": "ffn_norm", "input_layernorm": "attn_norm",
         "mlp.gate_proj": "ffn_gate", "mlp.up_proj": "ffn_up", "mlp.down_proj": "ffn_down"}  # fmt: skip


def llama_name(name: str) -> str:
    if name == "norm.weight":
        return "output_norm.weight"
    for official, theirs in LLAMA.items():
        name = name.replace(official, theirs)
    return name


@pytest.mark.parametrize("kind", ["F32", "Q8_0"])
@pytest.mark.parametrize("names", ["official", "model.", "llama.cpp"])
def test_text_encoders_with_their_tokenizer(names: str, kind: str, qwen3_folder: Path, tmp_path: Path) -> None:
    state = load_file(qwen3_folder / "model.safetensors")
    rename = {"official": str, "model.": "model.{}".format, "llama.cpp": llama_name}[names]
    config = json.loads((qwen3_folder / "config.json").read_text()) if names == "official" else None
    renamed = {rename(name): value for name, value in state.items()}
    path = write_gguf(tmp_path / "t.gguf", renamed, kind, "acestep-text-enc", config, tokens())
    assert find_tokenizer(path, []) == path
    encoder = load_text_encoder(open_text_encoder(path), path, torch.float32, CPU)
    reference = load_text_encoder(open_text_encoder(qwen3_folder), qwen3_folder, torch.float32, CPU)
    embeddings = encoder.model.get_parameter("embed_tokens.weight")
    torch.testing.assert_close(embeddings, state["embed_tokens.weight"], rtol=0, atol=0.01 if kind == "Q8_0" else 0)
    assert encoder.tokenizer.encode("lala", add_special_tokens=False).tokens == ["la", "la"]
    encoders = (TextEncoder(encoder.model, reference.tokenizer), reference)
    ours, expected = (each.encode([small_qwen3.prompt_of()]).caption for each in encoders)
    if kind == "F32":
        assert torch.equal(ours, expected)
    assert torch.nn.functional.cosine_similarity(ours.flatten(), expected.flatten(), dim=0) > 0.99


def test_a_tokenizer_from_the_usual_folders_where_the_file_has_none(tmp_path: Path) -> None:
    path = write_gguf(tmp_path / "t.gguf", tiny.text_state(), "F16", "acestep-text-enc")
    save_tokenizer(demo_tokenizer(), tmp_path / "t")
    assert find_tokenizer(path, []) == tmp_path / "t"
    stated = write_gguf(tmp_path / "padded.gguf", {"a": torch.ones(2)}, tokenizer=(
        [*tokens()[0], "<|endoftext|>", "<|im_start|>", "[PAD1]"], tokens()[1]))  # fmt: skip
    tokenizer = load_tokenizer(stated)
    assert tokenizer.token_to_id("<|endoftext|>") == 257 and tokenizer.token_to_id("[PAD1]") is None


def test_vaes(tmp_path: Path) -> None:
    path = write_gguf(tmp_path / "vae-F32.gguf", tiny.vae_state(), "F32", "acestep-vae")
    torch.testing.assert_close(load_vae(open_vae(path), torch.float32, CPU).state_dict(), tiny.vae().state_dict())


def test_files_are_listed(tmp_path: Path) -> None:
    write_gguf(tmp_path / "unet" / "a.gguf", {"x": torch.ones(2)})
    assert list_models("diffusion_models", [tmp_path / "unet"]) == ["a.gguf"]


OTHERS = {
    "an image model": ({"double_blocks.0.img_attn.qkv.weight": torch.ones(4, 4)}, "a model for pictures or video"),
    "the planner": (
        {"blk.0.attn_q_norm.weight": torch.ones(4), "token_embd.weight": torch.zeros(217204, 2)},
        "the 5 Hz language model",
    ),
    "a text encoder": (tiny.text_state(), "a Qwen3 text encoder"),
    "a VAE": (tiny.vae_state(), "a VAE for audio"),
    "something": ({"a.b": torch.ones(3)}, "an unknown model"),
}


@pytest.mark.parametrize("other", OTHERS)
def test_other_gguf_files_are_named(other: str, tmp_path: Path) -> None:
    state, name = OTHERS[other]
    with pytest.raises(CheckpointError, match=rf"is not an ACE-Step 1.5 model: it is {name}"):
        recognise(write_gguf(tmp_path / "m.gguf", state, "F16", "acestep-dit"))


@pytest.mark.parametrize("share", [0.001, 0.3, 0.99])
def test_an_incomplete_file_is_told(share: float, tmp_path: Path) -> None:
    path = write_gguf(tmp_path / "m.gguf", STATE, config=CONFIG)
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * share)])
    with pytest.raises(CheckpointError, match=r"m.gguf \([\d,]+ bytes\) is not a complete GGUF file: .*fetch the file"):
        recognise(path)


def test_a_file_that_only_has_the_name_is_told(tmp_path: Path) -> None:
    (tmp_path / "m.gguf").write_text("<!doctype html><title>Sign in</title>")
    with pytest.raises(CheckpointError, match=r"m.gguf .* is not a GGUF file: it is a web page"):
        recognise(tmp_path / "m.gguf")


def test_without_the_package_the_error_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_gguf(tmp_path / "m.gguf", STATE, config=CONFIG)
    monkeypatch.setitem(sys.modules, "gguf", None)
    with pytest.raises(
        CheckpointError, match=r"package gguf that reads them is missing: `pip install acestep-xl\[gguf"
    ):
        recognise(path)


def test_block_formats_that_can_not_be_unpacked_are_named(tmp_path: Path) -> None:
    path = tmp_path / "m.gguf"
    writer = gguf.GGUFWriter(path, "acestep-dit")
    for name, tensor in STATE.items():
        is_first = name == "decoder.layers.0.mlp.up_proj.weight"
        data = np.zeros((len(tensor), tensor.shape[1] // 32 * 40), np.uint8) if is_first else tensor.numpy()
        writer.add_tensor(name, data, raw_dtype=gguf.GGMLQuantizationType.Q8_1 if is_first else None)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    with pytest.raises(CheckpointError, match=r"in an unknown form: decoder.layers.0.mlp.up_proj.weight \(Q8_1\)"):
        recognise(path)


def test_a_file_with_another_name_is_told_to_be_renamed(tmp_path: Path) -> None:
    path = write_gguf(tmp_path / "m.gguf", STATE).rename(tmp_path / "m.safetensors")
    with pytest.raises(CheckpointError, match=r"it is a GGUF file; give it a name that ends in .gguf"):
        recognise(path)
