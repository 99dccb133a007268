"""Building the text encoder's network: configuration, keys, and what is refused."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from small_qwen3 import layouts, shapes_of

from acestep_xl.model.qwen3 import build_text_model, qwen3_config, text_state


def test_nothing_stays_on_the_meta_device(qwen3_folder: Path) -> None:
    tensors, config = layouts(qwen3_folder)["official"]
    model = build_text_model(qwen3_config(*shapes_of((tensors, config))))
    assert all(parameter.is_meta for parameter in model.parameters())
    model.load_state_dict(tensors, strict=True, assign=True)
    assert not any(tensor.is_meta for tensor in (*model.parameters(), *model.buffers()))
    assert not model.training and not any(parameter.requires_grad for parameter in model.parameters())


def test_importing_is_light() -> None:
    code = "import sys, acestep_xl.model.demo; sys.exit(bool({'transformers', 'tokenizers'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_inferred_config_equals_the_file(qwen3_folder: Path) -> None:
    ours, written = (qwen3_config(*shapes_of(layouts(qwen3_folder)[name])) for name in ("comfyui", "official"))
    names = (
        "vocab_size hidden_size intermediate_size num_hidden_layers num_attention_heads num_key_value_heads head_dim"
    )
    for name in [*names.split(), "rms_norm_eps"]:
        assert getattr(ours, name) == getattr(written, name), name


def test_official_size() -> None:
    """Qwen3-Embedding-0.6B: 595,776,512 parameters, 1,191,588,248 bytes in bf16 with the file's header."""
    shapes = {
        "model.embed_tokens.weight": (151669, 1024),
        "model.layers.0.self_attn.q_norm.weight": (128,),
        "model.layers.0.self_attn.q_proj.weight": (2048, 1024),
        "model.layers.0.self_attn.k_proj.weight": (1024, 1024),
        "model.layers.0.mlp.gate_proj.weight": (3072, 1024),
    } | {f"model.layers.{layer}.input_layernorm.weight": (1024,) for layer in range(28)}
    model = build_text_model(qwen3_config(shapes, None))
    assert sum(parameter.numel() for parameter in model.parameters()) == 595_776_512
    assert len(model.state_dict()) == 310


def test_unknown_keys_are_left_for_the_strict_load() -> None:
    state = text_state({"model.norm.weight": 1, "lm_head.weight": 2, "visual.x": 3})
    assert state == {"norm.weight": 1, "visual.x": 3}


def test_doubled_keys_are_refused() -> None:
    with pytest.raises(ValueError, match=r"norm\.weight twice"):
        text_state({"model.norm.weight": 1, "norm.weight": 2})


@pytest.mark.parametrize(
    ("shapes", "config", "message"),
    [
        ({"embed_tokens.weight": (217204, 1024)}, None, "5 Hz language model"),
        ({"decoder.x": (3, 4)}, None, r"needs embed_tokens\.weight.*decoder\.x \(3, 4\)"),
        ({"model.embed_tokens.weight": (300, 32)}, None, r"needs layers\.0\.self_attn\.q_norm\.weight"),
        ({"embed_tokens.weight": (300, 32)}, {"model_type": "bert"}, "'bert'.*'qwen3'"),
    ],
)
def test_other_models_are_refused(
    shapes: dict[str, tuple[int, ...]], config: dict[str, Any] | None, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        qwen3_config(shapes, config)


def test_scaled_positions_are_refused() -> None:
    config = {"model_type": "qwen3", "rope_scaling": {"rope_type": "yarn", "factor": 4.0}, "rope_theta": 1e6}
    with pytest.raises(ValueError, match="yarn"):
        build_text_model(qwen3_config({"embed_tokens.weight": (300, 32)}, config))
