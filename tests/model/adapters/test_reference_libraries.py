"""The libraries that adapters are trained with, as independent references; and where they or ComfyUI differ."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from adapter_files import relative
from safetensors.torch import save_file
from torch import Tensor, nn

from acestep_xl.model.adapters.adapter import AdapterError
from acestep_xl.model.adapters.read import read
from acestep_xl.model.adapters.updates.update import Update, merge

peft = pytest.importorskip("peft", reason="pip install peft")
lycoris = pytest.importorskip("lycoris", reason="pip install lycoris-lora")

ROWS, COLUMNS = 48, 32


class Tiny(nn.Module):
    """One projection, where ACE-Step has it."""

    def __init__(self) -> None:
        super().__init__()
        projection = nn.Module()
        projection.q_proj = nn.Linear(COLUMNS, ROWS, bias=False)
        layer = nn.Module()
        layer.self_attn = projection
        self.layers = nn.ModuleList([layer])

    @property
    def projection(self) -> nn.Linear:
        return self.get_submodule("layers.0.self_attn.q_proj")  # pyright: ignore[reportReturnType]

    def forward(self, x: Tensor) -> Tensor:
        return self.projection(x)


def randomise(module: nn.Module, size: float) -> None:
    """Give everything trainable random values, as training would."""
    generator = torch.Generator().manual_seed(8)
    for parameter in module.parameters():
        if parameter.requires_grad:
            parameter.data += size * torch.randn(parameter.shape, generator=generator)


CONFIGS: dict[str, Any] = {
    "LoRA": lambda: peft.LoraConfig(r=4, lora_alpha=6),
    "rs-LoRA": lambda: peft.LoraConfig(r=4, lora_alpha=6, use_rslora=True),
    "patterns": lambda: peft.LoraConfig(
        r=8, lora_alpha=6, rank_pattern={"q_proj": 2}, alpha_pattern={"self_attn.q_proj": 5}
    ),
    "DoRA": lambda: peft.LoraConfig(r=4, lora_alpha=6, use_dora=True),
    "LoHa": lambda: peft.LoHaConfig(r=4, alpha=6),
    "LoKr": lambda: peft.LoKrConfig(r=2, alpha=6, decompose_factor=4),
    "LoKr, whole": lambda: peft.LoKrConfig(r=64, alpha=96, decompose_factor=4),
    "LoKr, both split": lambda: peft.LoKrConfig(r=2, alpha=6, decompose_both=True, decompose_factor=8),
    "OFT": lambda: peft.OFTConfig(oft_block_size=8),
    "OFT, exact": lambda: peft.OFTConfig(oft_block_size=8, use_cayley_neumann=False),
    "OFT, shared": lambda: peft.OFTConfig(oft_block_size=8, block_share=True),
    "OFT, 2 terms": lambda: peft.OFTConfig(oft_block_size=8, num_cayley_neumann_terms=2),
    "OFT, 3 terms": lambda: peft.OFTConfig(oft_block_size=8, num_cayley_neumann_terms=3),
    "OFT, 7 terms": lambda: peft.OFTConfig(oft_block_size=8, num_cayley_neumann_terms=7),
    "IA3": lambda: peft.IA3Config(feedforward_modules=[]),
    "IA3 on inputs": lambda: peft.IA3Config(feedforward_modules=["q_proj"]),
}


def only_update(path: Path) -> Update:
    (entry,) = read(path).entries
    assert entry.parameter == "decoder.layers.0.self_attn.q_proj.weight"
    return entry.update


@pytest.mark.parametrize("name", CONFIGS)
def test_peft_computes_the_same(tmp_path: Path, name: str) -> None:
    torch.manual_seed(1)
    model, config = Tiny(), CONFIGS[name]()
    weight = model.projection.weight.detach().clone()
    config.target_modules = ["q_proj"]
    trained = peft.get_peft_model(model, config)
    randomise(trained, 0.1)
    trained.save_pretrained(tmp_path)
    trained.merge_and_unload()
    expected = model.projection.weight.detach()
    merged = merge(weight, [(only_update(tmp_path), 1.0)])
    assert relative(merged - weight, expected - weight) < 1e-5


class Patches(nn.Module):
    """The convolution at the network's input, smaller."""

    def __init__(self) -> None:
        super().__init__()
        self.proj_in = nn.ModuleDict({"1": nn.Conv1d(12, ROWS, 2, 2)})

    def forward(self, x: Tensor) -> Tensor:
        return self.convolution(x)

    @property
    def convolution(self) -> nn.Module:
        return self.get_submodule("proj_in.1")


CONVOLUTIONS: dict[str, Any] = {
    "LoRA": lambda: peft.LoraConfig(r=4, lora_alpha=6),
    "DoRA": lambda: peft.LoraConfig(r=4, lora_alpha=6, use_dora=True),
    "LoHa": lambda: peft.LoHaConfig(r=4, alpha=6),
    "LoHa, tucker": lambda: peft.LoHaConfig(r=4, alpha=6, use_effective_conv2d=True),
    "LoKr": lambda: peft.LoKrConfig(r=2, alpha=6, decompose_factor=4),
    "LoKr, tucker": lambda: peft.LoKrConfig(r=2, alpha=6, decompose_factor=4, use_effective_conv2d=True),
}


@pytest.mark.parametrize("name", CONVOLUTIONS)
def test_peft_adapts_convolutions_the_same(tmp_path: Path, name: str) -> None:
    torch.manual_seed(1)
    model, config = Patches(), CONVOLUTIONS[name]()
    weight = model.get_parameter("proj_in.1.weight").detach().clone()
    config.target_modules = ["proj_in.1"]
    trained = peft.get_peft_model(model, config)
    randomise(trained, 0.1)
    trained.save_pretrained(tmp_path)
    trained.merge_and_unload()
    expected = model.get_parameter("proj_in.1.weight").detach()
    (entry,) = read(tmp_path).entries
    assert entry.parameter == "decoder.proj_in.1.weight"
    assert relative(merge(weight, [(entry.update, 1.0)]) - weight, expected - weight) < 1e-5


def test_peft_multiplies_whole_factors_of_a_convolution_along_other_axes(tmp_path: Path) -> None:
    """So such a file is refused: the layer it was trained with is no Kronecker product."""
    config = peft.LoKrConfig(r=64, alpha=96, decompose_factor=4, target_modules=["proj_in.1"])
    trained = peft.get_peft_model(Patches(), config)
    randomise(trained, 0.1)
    trained.save_pretrained(tmp_path)
    with pytest.raises(AdapterError, match=r"PEFT multiplies .*proj_in\.1"):
        read(tmp_path)


ALGORITHMS: dict[str, dict[str, Any]] = {
    "lora": {"algo": "lora"},
    "lora, DoRA": {"algo": "lora", "weight_decompose": True},
    "lora, DoRA of columns": {"algo": "lora", "weight_decompose": True, "wd_on_out": False},
    "lokr": {"algo": "lokr", "factor": 4},
    "lokr, DoRA": {"algo": "lokr", "factor": 4, "weight_decompose": True},
    "loha": {"algo": "loha"},
    "loha, DoRA": {"algo": "loha", "weight_decompose": True},
    "full": {"algo": "full"},
    "oft": {"algo": "diag-oft"},
    "oft, rescaled": {"algo": "diag-oft", "rescaled": True, "constraint": 0.002},
    "boft": {"algo": "boft"},
    "glora": {"algo": "glora"},
    "ia3": {"algo": "ia3"},
    "ia3 on inputs": {"algo": "ia3", "train_on_input": True},
}


def train_with_lycoris(name: str) -> tuple[Tensor, Tensor, dict[str, Tensor], Any]:
    """The weight, the one that LyCORIS' own forward has at strength 1, its state dict and its network."""
    torch.manual_seed(2)
    model, options = Tiny(), dict(ALGORITHMS[name])
    weight = model.projection.weight.detach().clone()
    lycoris.LycorisNetwork.apply_preset({"target_module": ["Tiny"], "target_name": []})
    rank = 8 if "oft" in name else 4
    network = lycoris.create_lycoris(model, 1.0, linear_dim=rank, linear_alpha=2, **options)
    network.apply_to()
    randomise(network, 0.1)
    state = {key: value.detach().clone() for key, value in network.state_dict().items()}
    with torch.no_grad():
        effective = model(torch.eye(COLUMNS)).T
    return weight, effective, state, network


@pytest.mark.parametrize("name", ALGORITHMS)
def test_lycoris_computes_the_same(tmp_path: Path, name: str) -> None:
    weight, effective, state, _ = train_with_lycoris(name)
    save_file(state, tmp_path / "lycoris.safetensors")
    merged = merge(weight, [(only_update(tmp_path / "lycoris.safetensors"), 1.0)])
    assert relative(merged - weight, effective - weight) < 1e-5


def test_lycoris_merges_lokr_with_its_factor_squared(tmp_path: Path) -> None:
    """Its forward, which is what was trained, has it once."""
    weight, effective, state, network = train_with_lycoris("lokr")
    save_file(state, tmp_path / "lycoris.safetensors")
    ours = merge(weight, [(only_update(tmp_path / "lycoris.safetensors"), 1.0)]) - weight
    assert relative(ours, effective - weight) < 1e-5
    network.restore()
    network.merge_to(1.0)
    (module,) = network.loras
    merged = module.org_module[0].weight.detach() - weight
    assert relative(merged, 0.5 * ours) < 1e-4


@pytest.mark.parametrize("rslora", [False, True])
def test_peft_files_without_their_config_are_weaker_than_trained(tmp_path: Path, rslora: bool) -> None:
    """What programs do that read the tensors alone, ComfyUI among them: half the strength at alpha = 2 rank."""
    model = Tiny()
    config = peft.LoraConfig(r=4, lora_alpha=8, use_rslora=rslora, target_modules=["q_proj"])
    trained = peft.get_peft_model(model, config)
    randomise(trained, 0.1)
    trained.save_pretrained(tmp_path)
    whole = only_update(tmp_path).change(torch.zeros(ROWS, COLUMNS))
    (tmp_path / "adapter_config.json").unlink()
    alone = read(tmp_path)
    assert relative(alone.entries[0].update.change(torch.zeros(ROWS, COLUMNS)), whole / (4 if rslora else 2)) < 1e-6
    assert any("adapter_config.json" in hint for hint in alone.hints)
