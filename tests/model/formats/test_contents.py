"""What a file holds is told from its tensors: names that mean the same network are read, others are told by name."""

from __future__ import annotations

from pathlib import Path

import pytest
import tiny
import torch
from safetensors.torch import save_file
from torch import Tensor

from acestep_xl.model.checkpoint import load_network, load_text_encoder, load_vae
from acestep_xl.model.formats.contents import PLANNER_VOCABULARY
from acestep_xl.model.formats.tensors import CheckpointError
from acestep_xl.model.layouts import open_text_encoder, open_vae, recognise

CPU = torch.device("cpu")
STATE = tiny.network_state()
Q_PROJ = "decoder.layers.0.self_attn.q_proj"


def saved(state: dict[str, Tensor], folder: Path, name: str = "model_under_test") -> Path:
    path = folder / f"{name}.safetensors"
    save_file({key: tensor.contiguous() for key, tensor in state.items()}, path)
    return path


def prefixed(prefix: str, state: dict[str, Tensor] = STATE) -> dict[str, Tensor]:
    return {prefix + name: tensor for name, tensor in state.items()}


@pytest.mark.parametrize(
    "prefix",
    [
        "_orig_mod.",
        "module.",
        "model.",
        "model.diffusion_model.",
        "diffusion_model.",
        "module._orig_mod.",
        "_orig_mod.module.model.",
        "_fsdp_wrapped_module.",
        "state_dict.model.",
    ],
)
def test_prefixes_that_mean_the_same_network_are_read(prefix: str, tmp_path: Path) -> None:
    network = load_network(recognise(saved(prefixed(prefix), tmp_path)), torch.float32, CPU)
    assert all(torch.equal(tensor, STATE[name]) for name, tensor in network.state_dict().items())


def test_wrappers_inside_names_are_read(tmp_path: Path) -> None:
    state = {name.replace("layers.1.", "layers.1._orig_mod."): tensor for name, tensor in STATE.items()}
    network = load_network(recognise(saved(state, tmp_path)), torch.float32, CPU)
    assert all(torch.equal(tensor, STATE[name]) for name, tensor in network.state_dict().items())


def test_an_official_folder_with_wrapped_names_is_read(tmp_path: Path) -> None:
    folder = tmp_path / "diffusers" / tiny.write("official", tmp_path)
    saved(prefixed("module."), folder, "model")
    network = load_network(recognise(folder), torch.float32, CPU)
    assert torch.equal(network.state_dict()[f"{Q_PROJ}.weight"], STATE[f"{Q_PROJ}.weight"])


@pytest.mark.parametrize("prefix", ["_orig_mod.", "module.", "model.", "module.model."])
def test_wrapped_text_encoders_and_vaes_are_read(prefix: str, tmp_path: Path) -> None:
    tiny.write("split", tmp_path)
    text = open_text_encoder(saved(prefixed(prefix, tiny.text_state()), tmp_path, "text"))
    encoder = load_text_encoder(text, tmp_path / "text_encoders" / "qwen_0.6b_ace15", torch.float32, CPU)
    assert all(torch.equal(value, tiny.text_state()[name]) for name, value in encoder.model.state_dict().items())
    vae = load_vae(open_vae(saved(prefixed(prefix, tiny.vae_state()), tmp_path, "vae")), torch.float32, CPU)
    torch.testing.assert_close(vae.state_dict(), tiny.vae().state_dict())


def test_what_else_lies_beside_wrapped_names_is_named(tmp_path: Path) -> None:
    path = saved(prefixed("model.") | {"global_step": torch.ones(1)}, tmp_path)
    with pytest.raises(CheckpointError, match="does not fit the network: 1 unknown: global_step"):
        load_network(recognise(path), torch.float32, CPU)


def test_a_name_with_and_without_prefix_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="twice, with and without a prefix"):
        recognise(saved({**STATE, f"module.{Q_PROJ}.weight": torch.ones(2)}, tmp_path))


def test_an_unknown_prefix_is_named(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"names that start with 'ema\.', which is no known prefix"):
        recognise(saved(prefixed("ema."), tmp_path))


def lora(a: str, b: str, prefix: str = "base_model.model.layers.0.self_attn.q_proj") -> dict[str, Tensor]:
    return {f"{prefix}.{a}": torch.ones(2, 8), f"{prefix}.{b}": torch.ones(8, 2)}


def part(*prefixes: str) -> dict[str, Tensor]:
    return {name: tensor for name, tensor in STATE.items() if name.startswith(prefixes)}


def planner() -> dict[str, Tensor]:
    state = {f"model.{name}": tensor for name, tensor in tiny.text_state().items()}
    return state | {"model.embed_tokens.weight": torch.ones(PLANNER_VOCABULARY, 2)}


OTHERS = {
    "LoRA of PEFT": (lora("lora_A.weight", "lora_B.weight"), "a LoRA .*models/loras: .* with the node Load Adapter"),
    "LoRA of kohya": (lora("lora_down.weight", "lora_up.weight", "lora_unet_decoder_layers_0_mlp_up_proj"), "a LoRA "),
    "LoRA of diffusers": (lora("lora_A.default.weight", "lora_B.default.weight", "transformer.layers.0.x"), "a LoRA "),
    "LoKr": (lora("lokr_w1", "lokr_w2", "lycoris_layers_0_self_attn_q_proj"), "a LoKr .*models/loras"),
    "LoHa": (lora("hada_w1_a", "hada_w1_b", "lycoris_layers_0_self_attn_q_proj"), "a LoHa .*models/loras"),
    "DoRA": (lora("lora_A.weight", "lora_B.weight") | {"x.lora_magnitude_vector": torch.ones(3)}, "a DoRA .*loras"),
    "OFT": (lora("oft_R.weight", "alpha"), "an OFT adapter .*models/loras"),
    "decoder": (part("decoder."), "only the diffusion transformer .*choose the complete model"),
    "decoder without prefix": (
        {name.removeprefix("decoder."): tensor for name, tensor in part("decoder.").items()},
        "only the diffusion transformer ",
    ),
    "planner": (planner(), "the 5 Hz language model .*models/text_encoders; it is not supported yet"),
    "text encoder": (tiny.text_state(), "Qwen3 text encoder .*models/text_encoders; choose it in .*text_encoder"),
    "VAE": (tiny.vae_state(), "a VAE for audio .*models/vae"),
    "VAE of ComfyUI": (tiny.stable_audio_names(tiny.vae_state()), "a VAE for audio .*models/vae"),
    "ACE-Step 1.0": (
        {"genre_embedder.weight": torch.ones(2), "lyric_embs.weight": torch.ones(2)},
        "ACE-Step 1.0 .*1.5",
    ),
    "tokenizer": (part("tokenizer."), "only the audio tokenizer"),
    "pictures": ({"model.diffusion_model.input_blocks.0.0.weight": torch.ones(1)}, "a model for pictures"),
    "anything": ({"a.b": torch.ones(1)}, r"an unknown model \(its first tensors: a.b\)"),
}


@pytest.mark.parametrize("kind", OTHERS)
def test_another_file_chosen_as_model_is_told_by_name_with_its_place(kind: str, tmp_path: Path) -> None:
    state, message = OTHERS[kind]
    with pytest.raises(CheckpointError, match=f"is not an ACE-Step 1.5 model: it is .*{message}"):
        recognise(saved(state, tmp_path))


@pytest.mark.parametrize("kind", ["LoRA of PEFT", "VAE", "planner", "decoder"])
def test_another_file_chosen_as_text_encoder_is_told_by_name(kind: str, tmp_path: Path) -> None:
    state, message = OTHERS[kind]
    with pytest.raises(CheckpointError, match=f"is not the text encoder Qwen3-Embedding: it is .*{message}"):
        open_text_encoder(saved(state, tmp_path))


@pytest.mark.parametrize("kind", ["LoKr", "text encoder", "planner", "decoder", "pictures"])
def test_another_file_chosen_as_vae_is_told_by_name(kind: str, tmp_path: Path) -> None:
    state, message = OTHERS[kind]
    with pytest.raises(CheckpointError, match=f"is not ACE-Step's VAE: it is .*{message}"):
        open_vae(saved(state, tmp_path))


def test_a_model_chosen_as_vae_is_told_by_name(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"it is a model of ACE-Step 1.5 .*models/diffusion_models"):
        open_vae(saved(STATE, tmp_path))


@pytest.mark.parametrize("with_adapter", [True, False])
def test_an_unmerged_peft_save_is_told_before_it_is_loaded(with_adapter: bool, tmp_path: Path) -> None:
    state = {name.replace("q_proj.weight", "q_proj.base_layer.weight"): tensor for name, tensor in STATE.items()}
    state |= lora("lora_A.default.weight", "lora_B.default.weight", Q_PROJ) if with_adapter else {}
    with pytest.raises(CheckpointError, match=r"a PEFT save with unmerged adapters .*merge_and_unload"):
        recognise(saved(state, tmp_path))


@pytest.mark.parametrize(
    ("absent", "message"),
    [
        (
            ("tokenizer.", "detokenizer."),
            r"no audio tokenizer \(tokenizer.\*\), no audio detokenizer \(detokenizer.\*\)",
        ),
        (("detokenizer.",), "no audio detokenizer"),
        (("decoder.",), "no diffusion transformer"),
        (("null_condition_emb",), "no null condition"),
    ],
)
def test_missing_parts_are_named(absent: tuple[str, ...], message: str, tmp_path: Path) -> None:
    state = {name: tensor for name, tensor in STATE.items() if not name.startswith(absent)}
    with pytest.raises(CheckpointError, match=f"not a complete ACE-Step 1.5 model: it has {message}.*Choose"):
        recognise(saved(state, tmp_path))


@pytest.mark.parametrize(
    "name",
    [
        f"{Q_PROJ}.weight",
        "decoder.layers.0.self_attn.q_norm.weight",
        "decoder.proj_in.1.weight",
        "encoder.text_projector.weight",
        "detokenizer.special_tokens",
        "encoder.lyric_encoder.layers.0.mlp.gate_proj.weight",
    ],
)
def test_a_missing_tensor_that_tells_the_sizes_is_named(name: str, tmp_path: Path) -> None:
    state = {key: tensor for key, tensor in STATE.items() if key != name}
    with pytest.raises(CheckpointError, match=rf"lacks tensors that determine the sizes .*{name.split('.')[-2]}"):
        recognise(saved(state, tmp_path))
    state[name] = torch.ones(())
    with pytest.raises(CheckpointError):
        recognise(saved(state, tmp_path))


def test_a_shard_chosen_as_model_names_its_folder(tmp_path: Path) -> None:
    folder = tmp_path / "diffusers" / tiny.write("shards", tmp_path)
    with pytest.raises(CheckpointError, match=f"one of several shards of a model: choose its folder, {folder.name}"):
        recognise(folder / "model-00001-of-00002.safetensors")


def test_a_folder_without_config_is_read_from_its_shapes(tmp_path: Path) -> None:
    folder = tmp_path / "diffusers" / tiny.write("shards", tmp_path)
    (folder / "config.json").unlink()
    assert recognise(folder).config == recognise(saved(STATE, tmp_path)).config
