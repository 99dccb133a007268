"""One adapter under every producer's names, with alpha wherever producers keep it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from adapter_files import FILES, Write, relative
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file
from torch import Tensor

from acestep_xl.model.adapters.names import DIFFUSERS_WORDS, PREFIXES, aliases, resolve
from acestep_xl.model.adapters.read import read
from acestep_xl.model.adapters.scales import CONFIG, HEADER, NOWHERE, TENSOR
from acestep_xl.model.adapters.sizes import parameter_shapes, published_sizes

PATHS = ("layers.0.self_attn.q_proj", "layers.1.cross_attn.k_proj", "layers.2.mlp.down_proj", "condition_embedder")
RANK, ALPHA = 4, 6.0


def factors() -> dict[str, tuple[Tensor, Tensor]]:
    generator = torch.Generator().manual_seed(3)
    return {
        path: (torch.randn(RANK, 80, generator=generator), torch.randn(64, RANK, generator=generator)) for path in PATHS
    }


def diffusers(path: str) -> str:
    for official, word in DIFFUSERS_WORDS:
        path = path.replace(official, word)
    return path


# Name of a layout, how it writes a module and the ends of its two factors.
LAYOUTS: dict[str, tuple[Callable[[str], str], str, str]] = {
    "PEFT": (lambda path: f"base_model.model.{path}", ".lora_A.weight", ".lora_B.weight"),
    "PEFT raw": (lambda path: f"base_model.model.{path}", ".lora_A.default.weight", ".lora_B.default.weight"),
    "PEFT named": (lambda path: f"base_model.model.{path}", ".lora_A.my_style.weight", ".lora_B.my_style.weight"),
    "PEFT twice": (lambda path: f"base_model.model.base_model.model.{path}", ".lora_A.weight", ".lora_B.weight"),
    "PEFT of all": (lambda path: f"base_model.model.decoder.{path}", ".lora_A.weight", ".lora_B.weight"),
    "official fallback": (
        lambda path: f"decoder.base_model.model.{path}",
        ".lora_A.default.weight",
        ".lora_B.default.weight",
    ),
    "compiled": (lambda path: f"base_model.model._orig_mod.{path}", ".lora_A.weight", ".lora_B.weight"),
    "wrapped": (
        lambda path: (
            "base_model.model."
            + path.replace("self_attn.", "self_attn.original_self_attn.").replace("mlp.", "mlp.original_mlp.")
        ),
        ".lora_A.weight",
        ".lora_B.weight",
    ),
    "Side-Step native": (lambda path: f"base_model.model.{path}", ".lora_down.weight", ".lora_up.weight"),
    "ComfyUI": (lambda path: f"diffusion_model.decoder.{path}", ".lora_down.weight", ".lora_up.weight"),
    "checkpoint prefix": (lambda path: f"model.diffusion_model.decoder.{path}", ".lora_A.weight", ".lora_B.weight"),
    "no decoder": (lambda path: f"diffusion_model.{path}", ".lora_A.weight", ".lora_B.weight"),
    "bare": (lambda path: path, ".lora_A.weight", ".lora_B.weight"),
    "kohya": (lambda path: "lora_unet_decoder_" + path.replace(".", "_"), ".lora_down.weight", ".lora_up.weight"),
    "old musubi": (lambda path: "lora_unet_" + path.replace(".", "_"), ".lora_down.weight", ".lora_up.weight"),
    "LyCORIS": (lambda path: "lycoris_" + path.replace(".", "_"), ".lora_down.weight", ".lora_up.weight"),
    "ai-toolkit, old": (
        lambda path: "lycoris_decoder_" + path.replace(".", "_"),
        ".lora_down.weight",
        ".lora_up.weight",
    ),
    "diffusers": (lambda path: f"transformer.{diffusers(path)}", ".lora_A.weight", ".lora_B.weight"),
    "diffusers, old": (lambda path: f"transformer.{diffusers(path)}", ".lora.down.weight", ".lora.up.weight"),
    "diffusers, linear": (
        lambda path: f"transformer.{diffusers(path)}",
        ".lora_linear_layer.down.weight",
        ".lora_linear_layer.up.weight",
    ),
    "diffusers, flat": (
        lambda path: "lora_transformer_" + diffusers(path).replace(".", "_"),
        ".lora_down.weight",
        ".lora_up.weight",
    ),
    "diffusers, joined": (lambda path: f"transformer.{diffusers(path)}", "_lora.down.weight", "_lora.up.weight"),
}


def tensors_of(layout: str) -> dict[str, Tensor]:
    name, down, up = LAYOUTS[layout]
    tensors: dict[str, Tensor] = {}
    for path, (a, b) in factors().items():
        tensors |= {f"{name(path)}{down}": a, f"{name(path)}{up}": b}
    return tensors


def scales(path: Path) -> dict[str, float]:
    """The factor of every entry, measured on its change."""
    result = {}
    for entry in read(path).entries:
        change = entry.update.change(torch.zeros(64, 80))
        a, b = factors()[entry.parameter.removeprefix("decoder.").removesuffix(".weight")]
        result[entry.parameter] = float((change * (b @ a)).sum() / (b @ a).square().sum())
        assert relative(change, result[entry.parameter] * (b @ a)) < 1e-5
    return result


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_layout_is_read(write: Write, layout: str) -> None:
    assert scales(write(tensors_of(layout))) == pytest.approx({f"decoder.{path}.weight": 1.0 for path in PATHS})


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float8_e4m3fn])
@pytest.mark.parametrize("shape", [(), (1,)])
def test_alpha_is_a_tensor(write: Write, layout: str, dtype: torch.dtype, shape: tuple[int, ...]) -> None:
    name = LAYOUTS[layout][0]
    alphas = {f"{name(path)}.alpha": torch.full(shape, ALPHA, dtype=dtype) for path in PATHS}
    path = write(tensors_of(layout) | alphas)
    assert scales(path) == pytest.approx({f"decoder.{path}.weight": ALPHA / RANK for path in PATHS})
    assert read(path).alpha == TENSOR


@pytest.mark.parametrize("layout", ["PEFT", "PEFT raw", "PEFT twice", "PEFT of all", "wrapped", "bare"])
@pytest.mark.parametrize("rslora", [False, True])
def test_alpha_is_in_the_config_with_patterns(write: Write, layout: str, rslora: bool) -> None:
    config: dict[str, object] = {
        "peft_type": "LORA",
        "r": 16,
        "lora_alpha": ALPHA,
        "use_rslora": rslora,
        "alpha_pattern": {r"layers\.1\.cross_attn\.k_proj": 12, "q_proj": 3.0, "proj": 99},
        "rank_pattern": {"q_proj": 4},
    }
    path = write(tensors_of(layout), config=config)
    ranked = RANK**0.5 if rslora else RANK
    assert scales(path) == pytest.approx(
        {
            "decoder.layers.0.self_attn.q_proj.weight": 3 / ranked,
            "decoder.layers.1.cross_attn.k_proj.weight": 12 / ranked,
            "decoder.layers.2.mlp.down_proj.weight": ALPHA / ranked,
            "decoder.condition_embedder.weight": ALPHA / ranked,
        }
    )
    assert read(path).alpha == CONFIG


def test_alpha_is_in_the_header_of_diffusers(write: Write) -> None:
    values = {
        "transformer.r": RANK,
        "transformer.lora_alpha": ALPHA,
        "transformer.use_rslora": True,
        "transformer.alpha_pattern": {"layers.0.self_attn.to_q": 2},
    }
    path = write(tensors_of("diffusers"), header={"lora_adapter_metadata": json.dumps(values)})
    expected = {f"decoder.{path}.weight": ALPHA / 2 for path in PATHS} | {
        "decoder.layers.0.self_attn.q_proj.weight": 1.0
    }
    assert scales(path) == pytest.approx(expected)
    assert read(path).alpha == HEADER


def test_a_config_belongs_to_its_file_alone(write: Write) -> None:
    path = write(tensors_of("bare"), config={"lora_alpha": 8})
    write(tensors_of("bare"))
    assert read(path).alpha == CONFIG
    other = write(tensors_of("bare"), name="my/second.safetensors")
    assert read(other).alpha == NOWHERE


@pytest.mark.parametrize(
    "folder",
    [
        "",
        "adapter",
        "final",
        "best",
        "final/adapter",
        "checkpoints/epoch_12",
        "checkpoints/epoch_12/adapter",
        "checkpoint-40",
    ],
)
def test_folders_are_searched_as_trainers_save_them(tmp_path: Path, folder: str) -> None:
    shutil.copytree(FILES / "peft_lora", tmp_path / folder, dirs_exist_ok=True)
    (tmp_path / "checkpoints" / "epoch_3").mkdir(parents=True)
    (tmp_path / "training_state.pt").write_bytes(b"")
    shutil.copy(FILES / "peft_oft" / "adapter_model.safetensors", tmp_path / "checkpoints" / "epoch_3")
    adapter = read(tmp_path)
    assert adapter.path.parent == tmp_path / folder
    assert adapter.kinds == ("LoRA",) and adapter.alpha == CONFIG


@pytest.mark.parametrize("name", ["adapter_model.bin", "lora_weights.pt", "style.pth"])
@pytest.mark.parametrize("wrap", [lambda state: state, lambda state: {"epoch": 3, "state_dict": state}])
def test_pickled_files_are_read(tmp_path: Path, name: str, wrap: Callable) -> None:
    torch.save(wrap(tensors_of("official fallback")), tmp_path / name)
    assert scales(tmp_path) == pytest.approx({f"decoder.{path}.weight": 1.0 for path in PATHS})


def test_trained_biases_and_saved_modules_replace_what_they_name(tmp_path: Path) -> None:
    tensors = load_file(FILES / "peft_lora" / "adapter_model.safetensors")
    tensors["base_model.model.condition_embedder.base_layer.bias"] = torch.ones(80)
    tensors["base_model.model.time_embed.linear_2.modules_to_save.default.weight"] = torch.ones(80, 80)
    tensors["base_model.model.layers.0.self_attn.q_norm.weight"] = torch.ones(16)
    save_file(tensors, tmp_path / "adapter_model.safetensors")
    adapter = read(tmp_path)
    replaced = {entry.parameter for entry in adapter.entries if entry.update.kind == "set weight"}
    assert replaced == {
        "decoder.condition_embedder.bias",
        "decoder.time_embed.linear_2.weight",
        "decoder.layers.0.self_attn.q_norm.weight",
    }
    assert any("replaces 3 parameters" in hint for hint in adapter.hints)
    assert any("adapter_config.json" in hint for hint in adapter.hints)


MODULES = sorted(
    {name.rpartition(".")[0] for name in parameter_shapes(published_sizes()["XL"]) if name.endswith(".weight")}
)


@given(st.sampled_from(MODULES), st.sampled_from(PREFIXES), st.booleans(), st.booleans(), st.booleans())
def test_names_round_trip(module: str, prefix: str, flat: bool, decoder: bool, words: bool) -> None:
    name = module if decoder else module.removeprefix("decoder.")
    name = diffusers(name) if words else name
    if flat:
        name = name.replace(".", "_")
    assert resolve(name) == module
    assert resolve(prefix + name) == module
    assert resolve(f"{prefix}base_model.model.{name}") == module


def test_no_two_modules_share_a_name() -> None:
    meanings: dict[str, set[str]] = {}
    for alias, module in aliases().items():
        meanings.setdefault(alias.replace(".", "_"), set()).add(module)
    assert {alias: modules for alias, modules in meanings.items() if len(modules) > 1} == {}
