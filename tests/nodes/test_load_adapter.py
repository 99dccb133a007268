"""The adapter node: chains, strengths over the run and the song, and what it refuses before anything runs."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import graphs
import pytest
import tiny
import torch
from safetensors.torch import save_file
from torch import Tensor

from acestep_xl import host
from acestep_xl.host.headless import HeadlessHost
from acestep_xl.model.adapters.attach import attached
from acestep_xl.nodes.load_adapter import LoadAdapter
from acestep_xl.pipeline.adapters import files
from acestep_xl.pipeline.adapters.strength import StrengthCurve, mask_factors, region_factors
from acestep_xl.pipeline.model_socket import network_of

STYLE, WIDE, LAYERS = "style.safetensors", "wide.safetensors", ("layers.1.mlp.down_proj", "layers.0.self_attn.q_proj")


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("models")
    tiny.write("split", root)
    (root / "loras").mkdir()
    state, generator, tensors = tiny.network_state(), torch.Generator().manual_seed(0), dict[str, Tensor]()
    for layer in LAYERS:
        n, k = state[f"decoder.{layer}.weight"].shape
        tensors[f"diffusion_model.decoder.{layer}.lora_down.weight"] = torch.randn(4, k, generator=generator)
        tensors[f"diffusion_model.decoder.{layer}.lora_up.weight"] = torch.randn(n, 4, generator=generator)
    save_file(tensors, root / "loras" / STYLE)
    key = "diffusion_model.decoder.layers.0.self_attn.q_proj"
    wide = {f"{key}.lora_down.weight": torch.ones(4, 2560), f"{key}.lora_up.weight": torch.ones(4096, 4)}
    save_file(wide, root / "loras" / WIDE)
    return root


@pytest.fixture
def headless(models: Path, tmp_path: Path) -> Iterator[HeadlessHost]:
    with host.use(HeadlessHost([models], tmp_path, device="cpu")) as current:
        yield current or host.current_host()  # pyright: ignore[reportReturnType]


def song(models: Path, output: Path, *settings: dict[str, Any]) -> Tensor:
    """The latent of text_to_music, with a chain of adapter nodes between loader and guider."""
    graph = graphs.text_to_music()
    for i, entry in enumerate(settings):
        inputs = {"model": graph["guider"]["inputs"]["model"], "adapter": STYLE, "strength": 1.0, **entry}
        graph[f"adapter{i}"] = {"class_type": "AceStepXLLoadAdapter", "inputs": inputs}
        graph["guider"]["inputs"]["model"] = [f"adapter{i}", 0]
    choices = {"load.model": f"{tiny.NAME}.safetensors", "schedule.steps": 4}
    return graphs.run(output, choices, models=models, probes=("sample",), graph=graph).outputs["sample"]["samples"]


@pytest.fixture(scope="module")
def plain(models: Path, tmp_path_factory: pytest.TempPathFactory) -> Tensor:
    return song(models, tmp_path_factory.mktemp("plain"))


@pytest.fixture(scope="module")
def adapted(models: Path, tmp_path_factory: pytest.TempPathFactory) -> Tensor:
    return song(models, tmp_path_factory.mktemp("adapted"), {})


@pytest.mark.parametrize(
    "settings",
    [
        {"adapter": "none"},
        {"strength": 0.0},
        {"self_attention": 0.0, "mlp": 0.0},
        {"start": 0.999, "end": 1.0},
        {"regions": "200-end"},
        {"curve": "linear", "strength": 0.0, "end_strength": 0.0},
    ],
)
def test_an_adapter_that_acts_nowhere_leaves_the_song_alone(models, tmp_path, plain, settings) -> None:
    assert torch.equal(song(models, tmp_path, settings), plain)


@pytest.mark.parametrize(
    "settings",
    [
        {"strength": 0.5},
        {"mlp": 0.0},
        {"end": 0.2},
        {"regions": "0-1"},
        {"curve": "cosine", "end_strength": 0.0},
    ],
)
def test_every_setting_gives_another_song(models, tmp_path, plain, adapted, settings) -> None:
    changed = song(models, tmp_path, settings)
    assert torch.isfinite(changed).all()
    assert not torch.allclose(changed, plain, atol=1e-4) and not torch.allclose(changed, adapted, atol=1e-4)


def test_a_chain_adds_up(models, tmp_path, adapted) -> None:
    torch.testing.assert_close(song(models, tmp_path, {"strength": 0.75}, {"strength": 0.25}), adapted)


def test_the_model_before_the_node_is_unchanged_and_shares_its_weights(headless, models) -> None:
    from acestep_xl.nodes.load_model import Loader

    model = Loader().load(f"{tiny.NAME}.safetensors", "auto", "auto", "fp32")[0]
    first = LoadAdapter().load(model, STYLE, 1.0)[0]
    second = LoadAdapter().load(first, STYLE, -0.5)[0]
    stacks = [attached(network_of(socket)) for socket in (model, first, second)]
    assert stacks[0] is None and [len(state.stack) for state in stacks[1:] if state is not None] == [1, 2]
    pointers = [network_of(socket).decoder.norm_out.weight.data_ptr() for socket in (model, first, second)]
    assert len(set(pointers)) == 1
    with pytest.raises(ValueError, match=r"wide\.safetensors is for XL, and the model is"):
        LoadAdapter().load(model, WIDE, 1.0)


def test_another_strength_reads_no_file_again_until_it_changes(headless, models, monkeypatch) -> None:
    reads = []
    monkeypatch.setattr(files, "read", lambda path, read=files.read: (reads.append(path), read(path))[1])
    first = files.read_adapter(STYLE)
    assert files.read_adapter(STYLE) is first and len(reads) == 1
    state = LoadAdapter.IS_CHANGED(STYLE)
    path = models / "loras" / STYLE
    path.write_bytes(path.read_bytes())
    assert LoadAdapter.IS_CHANGED(STYLE) != state
    assert files.read_adapter(STYLE) is not first


def test_what_cannot_be_is_refused_before_the_run(headless, models) -> None:
    (models / "loras" / "broken.safetensors").write_bytes(b"no tensors")
    validate = LoadAdapter.VALIDATE_INPUTS
    assert validate("none", 1.0) is True and validate(None, None, None, None, None, None, None) is True
    assert "gone.safetensors" in str(validate("gone.safetensors", 1.0))
    assert "broken.safetensors" in str(validate("broken.safetensors", 1.0))
    problems = str(validate(STYLE, 11.0, "square", 1.0, 0.9, 0.1, "5-2"))
    for part in ("11", "square", "swap them", "5-2"):
        assert part in problems
    assert validate(STYLE, 1.0, regions="nonsense", mask=None) is True, "the mask replaces the text"


def test_a_curve_begins_and_ends_at_its_strengths() -> None:
    curve = StrengthCurve(1.0, "linear", -1.0, 0.25, 0.75)
    assert [curve(p) for p in (0.0, 0.25, 0.5, 0.75, 1.0)] == [0.0, 1.0, 0.0, -1.0, 0.0]
    assert not curve.is_constant and not curve.is_zero
    assert StrengthCurve(1.0, "constant", 0.0, 0.0, 1.0).is_constant


def test_regions_and_masks_cover_the_frames_they_name() -> None:
    from acestep_xl.audio.region_text import parse_regions

    factors = region_factors(parse_regions("0.4-0.8, 1.6-end"))(50)
    assert [i for i, value in enumerate(factors.tolist()) if value] == [*range(10, 20), *range(40, 50)]
    mask = torch.zeros(1, 8, 4)
    mask[0, 3, 2:] = 1
    stretched = mask_factors(mask)(100)
    assert stretched[:30].sum() == 0 and bool((stretched[70:] == 1).all()) and len(stretched) == 100
