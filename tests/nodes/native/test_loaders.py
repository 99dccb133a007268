"""ComfyUI's loaders without ComfyUI: which files they take, what is refused before anything runs, adapters."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import tiny
import torch
from safetensors.torch import load_file, save_file

from acestep_xl import host
from acestep_xl.host.headless import HeadlessHost
from acestep_xl.model.adapters import attach, read
from acestep_xl.model.condition import Condition
from acestep_xl.model.linear.quantise import QuantisedLinear
from acestep_xl.model.network import AceStep, share
from acestep_xl.model.predictor import Predictor
from acestep_xl.model.silence import published_silence
from acestep_xl.nodes.native.table import NATIVE_CLASS_MAPPINGS as NATIVE

NETWORK, ENCODER, VAE = f"{tiny.NAME}.safetensors", "qwen_0.6b_ace15.safetensors", "ace_1.5_vae.safetensors"
ALL_IN_ONE, LORA, PLANNER = f"{tiny.NAME}_aio.safetensors", "style.safetensors", "qwen_1.7b_ace15.safetensors"
LAYER = "layers.1.mlp.down_proj"


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("models")
    tiny.write("split", root)
    tiny.write("all_in_one", root)
    encoder = load_file(root / "text_encoders" / ENCODER)
    rows, width = encoder["model.embed_tokens.weight"].shape
    wider = encoder | {"model.embed_tokens.weight": torch.zeros(rows + 5000, width)}
    save_file(wider, root / "text_encoders" / PLANNER)
    save_file(tiny.network_state(), root / "checkpoints" / "network alone.safetensors")
    (root / "loras").mkdir()
    n, k = tiny.network_state()[f"decoder.{LAYER}.weight"].shape
    generator = torch.Generator().manual_seed(0)
    stem = f"diffusion_model.decoder.{LAYER}"
    factors = {"lora_A": torch.randn(4, k, generator=generator), "lora_B": torch.randn(n, 4, generator=generator)}
    save_file({f"{stem}.{name}.weight": value for name, value in factors.items()}, root / "loras" / LORA)
    return root


@pytest.fixture(autouse=True)
def headless(models: Path, tmp_path: Path) -> Iterator[None]:
    with host.use(HeadlessHost([models], tmp_path, device="cpu")):
        yield


def call(name: str, **inputs: Any) -> tuple[Any, ...]:
    node = NATIVE[name]
    answer = node.VALIDATE_INPUTS(**{key: value for key, value in inputs.items() if key in _checked(node)})
    if answer is not True:
        raise ValueError(answer)
    return getattr(node(), node.FUNCTION)(**inputs)


def _checked(node: Any) -> tuple[str, ...]:
    code = node.VALIDATE_INPUTS.__func__.__code__
    return code.co_varnames[1 : code.co_argcount]


def unet(weight_dtype: str = "default") -> Any:
    return call("UNETLoader", unet_name=NETWORK, weight_dtype=weight_dtype)[0]


def velocity(network: AceStep) -> torch.Tensor:
    generator = torch.Generator().manual_seed(1)
    hidden = network.config.encoder.hidden
    states, context, x = (torch.randn(1, 20, n, generator=generator) for n in (hidden, 128, 64))
    return Predictor(network, Condition(states, None), context)(x, 0.6, unconditional=False)[0]


def test_a_network_reads_the_published_silence() -> None:
    assert torch.equal(unet().network.silence, published_silence())
    assert published_silence().shape == (5, 64)


@pytest.mark.parametrize(("weight_dtype", "dynamic"), [("fp8_e4m3fn", False), ("fp8_e4m3fn_fast", True)])
def test_weight_types_are_8_bits(weight_dtype: str, dynamic: bool) -> None:
    layer = unet(weight_dtype).network.get_submodule(f"decoder.{LAYER}")
    assert isinstance(layer, QuantisedLinear) and layer.weight.dtype == torch.float8_e4m3fn
    assert layer.dynamic == dynamic


@pytest.mark.parametrize("names", [(ENCODER, PLANNER), (PLANNER, ENCODER)])
def test_the_text_encoder_is_found_beside_a_planner_in_either_place(names: tuple[str, str]) -> None:
    (clip,) = call("DualCLIPLoader", clip_name1=names[0], clip_name2=names[1], type="ace")
    (alone,) = call("CLIPLoader", clip_name=ENCODER, type="ace")
    for name, value in alone.model.state_dict().items():
        assert torch.equal(clip.model.state_dict()[name], value), name


def test_one_file_gives_the_parts_of_three() -> None:
    model, clip, vae = call("CheckpointLoaderSimple", ckpt_name=ALL_IN_ONE)
    assert torch.equal(velocity(model.network), velocity(unet().network))
    (alone,) = call("CLIPLoader", clip_name=ENCODER, type="ace")
    assert clip.model.state_dict().keys() == alone.model.state_dict().keys()
    latents = torch.randn(1, 64, 5, generator=torch.Generator().manual_seed(0))
    assert torch.equal(vae.decode(latents), call("VAELoader", vae_name=VAE)[0].decode(latents))


@pytest.mark.parametrize(
    ("name", "inputs", "words"),
    [
        ("UNETLoader", {"unet_name": "nothing.safetensors", "weight_dtype": "default"}, "no 'nothing.safetensors'"),
        ("CLIPLoader", {"clip_name": ENCODER, "type": "wan"}, "type is wan: ACE-Step 1.5 needs type ace"),
        ("VAELoader", {"vae_name": "nothing"}, "no 'nothing'"),
        ("CheckpointLoaderSimple", {"ckpt_name": "network alone.safetensors"}, "holds no text encoder and no VAE"),
        ("LoraLoaderModelOnly", {"model": None, "lora_name": "x", "strength_model": 1.0}, "no 'x' among the loras"),
    ],
)
def test_what_cannot_be_loaded_is_refused_before_the_run(name: str, inputs: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        call(name, **inputs)


def test_a_file_of_another_kind_is_refused_before_the_run(models: Path) -> None:
    for name, inputs in (
        ("UNETLoader", {"unet_name": "vae.safetensors", "weight_dtype": "default"}),
        ("CLIPLoader", {"clip_name": "vae.safetensors", "type": "ace"}),
        ("LoraLoaderModelOnly", {"model": None, "lora_name": "vae.safetensors", "strength_model": 1.0}),
    ):
        folder = {"UNETLoader": "diffusion_models", "CLIPLoader": "text_encoders"}.get(name, "loras")
        (models / folder / "vae.safetensors").write_bytes((models / "vae" / VAE).read_bytes())
        with pytest.raises(ValueError, match=r"vae\.safetensors"):
            call(name, **inputs)


def test_an_adapter_is_added_at_its_strength_and_the_model_before_it_stays(models: Path) -> None:
    model = unet()
    plain = velocity(model.network)
    (adapted,) = call("LoraLoaderModelOnly", model=model, lora_name=LORA, strength_model=0.5)
    expected = share(model.network)
    attach.attach(expected, [attach.Applied(read.read(models / "loras" / LORA), 0.5)])
    assert torch.equal(velocity(adapted.network), velocity(expected))
    assert not torch.allclose(velocity(adapted.network), plain, atol=1e-3)
    assert torch.equal(velocity(model.network), plain)
    (twice,) = call("LoraLoaderModelOnly", model=adapted, lora_name=LORA, strength_model=0.25)
    (once,) = call("LoraLoaderModelOnly", model=model, lora_name=LORA, strength_model=0.75)
    torch.testing.assert_close(velocity(twice.network), velocity(once.network), rtol=1e-4, atol=1e-4)
    assert call("LoraLoaderModelOnly", model=model, lora_name=LORA, strength_model=0.0)[0] is model
    both = call("LoraLoader", model=model, clip="clip", lora_name=LORA, strength_model=0.5, strength_clip=1.0)
    assert both[1] == "clip" and torch.equal(velocity(both[0].network), velocity(adapted.network))
