"""Memory estimates against the measured peak of the real architecture, tensor by tensor."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from full_size import RUNS, SMALL, XL, execute
from measure import build, fake, gpu_attention, peak_bytes
from runs import make_run

from acestep_xl.model.network import AceStep
from acestep_xl.model.qwen3 import build_text_model
from acestep_xl.model.text import CAPTION_LIMIT, LYRIC_LIMIT
from acestep_xl.model.vae.config import VAEConfig
from acestep_xl.model.vae.oobleck import Oobleck
from acestep_xl.pipeline.memory import estimate as memory_estimate

# The estimate is never below the peak, and not far above it.
MAX_RATIO, MAX_RATIO_VAE = 1.5, 1.7


@pytest.mark.parametrize("device", ["cpu", "cuda"])
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32])
@pytest.mark.parametrize("name", RUNS)
def test_the_estimate_of_a_run_is_just_above_its_peak(
    name: str, dtype: torch.dtype, device: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if device == "cuda":
        monkeypatch.setattr("torch.nn.functional.scaled_dot_product_attention", gpu_attention)
    with fake():
        network = build(lambda: AceStep(XL), dtype, device)
        peak = peak_bytes(network, lambda: execute(network, RUNS[name], device))
        estimate = memory_estimate.sampling(network, RUNS[name], torch.device(device))
    assert peak <= estimate <= MAX_RATIO * peak, (peak, estimate)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32])
@pytest.mark.parametrize("chunk", [128, 512])
def test_the_estimate_of_the_vae_is_just_above_its_peak(chunk: int, dtype: torch.dtype) -> None:
    frames = 3 * chunk // 2
    with fake():
        vae = build(lambda: Oobleck(VAEConfig()), dtype, "cpu")
        # Waveform and latents stay in main memory, outside the estimate of a chunk.
        in_main_memory = 4 * frames * (2 * 1920 + 64)
        decoding = peak_bytes(vae, lambda: vae.decode(torch.empty(1, 64, frames), chunk)) - in_main_memory
        encoding = peak_bytes(vae, lambda: vae.encode(torch.empty(1, 2, frames * 1920), chunk)) - in_main_memory
        estimate = memory_estimate.vae(vae, chunk)
    peaks = (decoding, encoding)
    assert max(peaks) <= estimate <= MAX_RATIO_VAE * min(peaks), (peaks, estimate)


def test_the_estimate_of_the_text_encoder_is_above_its_peak() -> None:
    from transformers import Qwen3Config

    sizes = {"hidden_size": 1024, "intermediate_size": 3072, "num_attention_heads": 16, "num_key_value_heads": 8}
    config = Qwen3Config.from_dict({**sizes, "vocab_size": 151669, "num_hidden_layers": 2, "head_dim": 128})
    with fake():
        model = build_text_model(config)
        weights = {name: torch.empty(value.shape) for name, value in model.state_dict().items()}
        model.load_state_dict(weights, assign=True)

        def work() -> None:
            model(input_ids=torch.zeros(1, CAPTION_LIMIT, dtype=torch.int64), use_cache=False)
            model.get_submodule("embed_tokens")(torch.zeros(1, LYRIC_LIMIT, dtype=torch.int64))

        peak = peak_bytes(model, work)
        estimate = memory_estimate.text(model)
    assert peak <= estimate <= 4 * peak, (peak, estimate)


def test_a_larger_run_needs_more_memory() -> None:
    with torch.device("meta"):
        small, large = AceStep(SMALL).bfloat16(), AceStep(XL).bfloat16()
        wide = AceStep(XL).float()
    card, run = torch.device("cuda"), make_run()
    base = memory_estimate.sampling(large, run, card)
    larger = (
        make_run(frames=3000),
        make_run(songs=2),
        make_run(lyrics=2048),
        make_run(references=4),
        make_run(has_negative=True),
    )
    for larger_run in larger:
        assert memory_estimate.sampling(large, larger_run, card) > base, larger_run
    assert memory_estimate.sampling(large, make_run(scale=1.0), card) < base
    assert memory_estimate.sampling(small, run, card) < base < memory_estimate.sampling(wide, run, card)
    fp16 = memory_estimate.sampling(large.half(), run, card)
    assert fp16 == memory_estimate.sampling(wide, run, card), "fp16 computes much in float32"


def test_the_documentation_shows_these_numbers() -> None:
    page = (Path(__file__).parents[2] / "docs/in-comfyui.md").read_text("utf-8")
    rows = re.findall(r"^\| (.+) \| ([\d.]+) GiB \| ([\d.]+) GiB \| ([\d.]+) GiB \|$", page, re.MULTILINE)
    sizes = {
        "1 minute": (1, 1500, 1, 400, 150),
        "4 minutes": (1, 6000, 1, 1200, 200),
        "10 minutes": (1, 15000, 1, 2048, 256),
        "4 songs of 1 minute": (4, 1500, 1, 400, 150),
    }
    published = replace(XL, decoder_layers=32, lyric_layers=8, timbre_layers=4)
    with torch.device("meta"):
        bf16, fp32 = AceStep(published).bfloat16(), AceStep(published).float()
    card, cpu = torch.device("cuda"), torch.device("cpu")
    expected = []
    for name, run_size in sizes.items():
        memory = (
            memory_estimate.sampling(bf16, make_run(*run_size), card),
            memory_estimate.sampling(bf16, make_run(*run_size, scale=1.0), card),
            memory_estimate.sampling(fp32, make_run(*run_size), cpu),
        )
        expected.append((name, *(f"{size / 2**30:.1f}" for size in memory)))
    assert rows == expected
