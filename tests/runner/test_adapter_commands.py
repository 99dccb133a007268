"""The commands about adapters: what a file is, and checkpoints with some merged in."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from adapter_files import FILES, relative
from safetensors.torch import load_file

from acestep_xl.model.adapters.attach import Applied, attach
from acestep_xl.model.adapters.read import read
from acestep_xl.model.checkpoint import load_network
from acestep_xl.model.layouts import recognise
from acestep_xl.model.network import AceStep
from acestep_xl.runner.cli import main
from acestep_xl.runner.merge_command import parse_adapters

GOLDEN = FILES.parents[1]
BASE = GOLDEN / "xl_sft_tiny"
ADAPTERS = ("peft_lora", "lycoris_lokr_dora.safetensors", "comfy_diff.safetensors")
CPU = torch.device("cpu")
# The relative error of all large weights that a format may have; Q4_0 has blocks of 32 numbers in 4 bits.
ERRORS = {"bf16": 3e-3, "fp16": 3e-4, "fp32": 1e-7, "fp8": 0.035, "int8": 0.012, "gguf-q8_0": 0.01, "gguf-q4_0": 0.12}


@pytest.mark.parametrize("path", sorted(FILES.iterdir()), ids=lambda path: path.name)
def test_every_golden_adapter_is_described(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["adapter", str(path), "--json"]) == 0
    facts, adapter = json.loads(capsys.readouterr().out), read(path)
    assert facts["kinds"] == list(adapter.kinds) and facts["layout"] == adapter.layout
    assert facts["parameters"] == [entry.parameter for entry in adapter.entries]
    assert main(["adapter", str(path)]) == 0
    words = capsys.readouterr().out
    for part in (adapter.kinds[0], adapter.layout, adapter.alpha, f"updates {len(adapter.entries)} parameters"):
        assert part in words


def test_what_is_no_adapter_is_a_usage_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["adapter", str(tmp_path / "gone"), "--models", str(tmp_path)]) == 2
    assert "does not exist" in capsys.readouterr().err
    assert main(["adapter", str(BASE / "inputs.safetensors")]) == 2
    assert "ACE-Step 1.5" in capsys.readouterr().err
    (tmp_path / "loras").mkdir()
    (tmp_path / "loras" / "mine.safetensors").write_bytes((FILES / "bare_ab.safetensors").read_bytes())
    assert main(["adapter", "mine.safetensors", "--models", str(tmp_path)]) == 0


@pytest.fixture(scope="module")
def expected() -> AceStep:
    network = load_network(recognise(BASE), torch.float32, CPU)
    stack = [Applied(read(FILES / name), 0.5) for name in ADAPTERS]
    attach(network, stack, merged=True)
    return network


@pytest.mark.parametrize("form", ERRORS)
def test_a_merged_checkpoint_holds_the_merged_weights(tmp_path: Path, expected: AceStep, form: str) -> None:
    output = tmp_path / f"merged_sft.{'gguf' if form.startswith('gguf') else 'safetensors'}"
    adapters = [part for name in ADAPTERS for part in ("--adapter", f"{FILES / name}:0.5")]
    assert main(["merge", str(BASE), *adapters, "-o", str(output), "--as", form]) == 0
    layout = recognise(output)
    assert layout.training == "sft" and list(tmp_path.iterdir()) == [output]
    for name, value in expected.named_parameters():
        name = name.removesuffix(".base")
        if name in layout.network:
            error = relative(layout.network[name].float().reshape(value.shape), value)
            assert error < ERRORS[form], name
    assert set(layout.network) == {name for name in expected.state_dict() if not name.startswith("adapters.")}
    assert torch.isfinite(load_network(layout, torch.float32, CPU).decoder.proj_in["1"].weight).all()


def test_a_file_has_comfyuis_names_for_8_bits(tmp_path: Path) -> None:
    for form, kind in (("fp8", "float8_e4m3fn"), ("int8", "int8_tensorwise")):
        output = tmp_path / f"{form}_sft.safetensors"
        assert main(["merge", str(BASE), "-o", str(output), "--as", form]) == 0
        state, layer = load_file(output), "decoder.layers.0.self_attn.q_proj"
        assert json.loads(bytes(state[f"{layer}.comfy_quant"].tolist())) == {"format": kind}
        assert state[f"{layer}.weight"].itemsize == 1 and state[f"{layer}.weight_scale"].dtype == torch.float32
        assert state["decoder.condition_embedder.weight"].dtype == torch.bfloat16


def test_nothing_is_overwritten_and_all_problems_come_at_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "mine.safetensors"
    output.write_text("mine")
    assert main(["merge", str(BASE), "--adapter", "x:11", "-o", str(output)]) == 2
    message = capsys.readouterr().err
    assert "exists" in message and "-10 to 10" in message and output.read_text() == "mine"
    assert main(["merge", str(BASE), "-o", str(output), "--as", "q8"]) == 2
    assert "gguf-q8_0" in capsys.readouterr().err
    assert main(["merge", str(BASE), "-o", str(tmp_path / "x.gguf")]) == 2
    assert "must end in .safetensors" in capsys.readouterr().err
    other = GOLDEN / "sft_2b_tiny"
    arguments = ["--adapter", str(FILES / "peft_lora"), "-o", str(tmp_path / "new.safetensors")]
    assert main(["merge", str(other), *arguments]) == 2
    assert "don't fit" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == [output]


def test_a_strength_follows_the_last_colon() -> None:
    assert parse_adapters(["a.safetensors", "b:0.5", "C:\\loras\\c", "C:\\d:-2", "e:1e0"]) == (
        [("a.safetensors", 1.0), ("b", 0.5), ("C:\\loras\\c", 1.0), ("C:\\d", -2.0), ("e", 1.0)],
        [],
    )


def test_a_gguf_file_is_laid_out_as_acestep_cpp_does(tmp_path: Path) -> None:
    gguf = pytest.importorskip("gguf")
    output = tmp_path / "merged.gguf"
    assert main(["merge", str(BASE), "-o", str(output), "--as", "gguf-q8_0"]) == 0
    published = gguf.GGUFReader(GOLDEN / "quantised" / "acestep-v15-xl-sft-tiny-Q8_0.gguf")
    ours = gguf.GGUFReader(output)
    types = {tensor.name: (tensor.tensor_type.name, tensor.shape.tolist()) for tensor in published.tensors}
    assert {tensor.name: (tensor.tensor_type.name, tensor.shape.tolist()) for tensor in ours.tensors} == types
    for key, field in published.fields.items():
        if key.startswith("acestep") and key != "acestep.config_json":
            assert ours.fields[key].contents() == field.contents(), key
