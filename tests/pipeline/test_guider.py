"""From a checkpoint and a prompt to a file: what a user gets, and what they are told when they get nothing."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import graphs
import pytest
import soundfile
import tiny
import torch
from measure import batch_tolerance
from safetensors.torch import load_file, save_file

from acestep_xl import host as hosts
from acestep_xl.host.headless import HeadlessHost, Interrupted
from acestep_xl.model import random_network
from acestep_xl.model.predictor import Predictor
from acestep_xl.model.prompt import Metadata, Prompt, instruction
from acestep_xl.nodes.guidance import GuiderNode
from acestep_xl.nodes.sampler import Sampler
from acestep_xl.pipeline import conditioning
from acestep_xl.runner.execute import NodeError


@pytest.fixture
def split(tmp_path: Path) -> Path:
    """A models folder with the single-file layout."""
    models = tmp_path / "models"
    tiny.write("split", models)
    return models


def use_model(name: str) -> dict[str, Any]:
    return {"load.model": name}


def test_every_layout_gives_the_same_bytes_of_audio(tmp_path: Path) -> None:
    songs = {}
    for layout in tiny.LAYOUTS:
        models = tmp_path / layout
        (song,) = graphs.run(tmp_path / f"out-{layout}", use_model(tiny.write(layout, models)), models=models).files
        songs[layout], _ = soundfile.read(song, dtype="int32")
    reference = songs["official"]
    assert reference.shape == (2 * 48000, 2)
    assert abs(reference).max() > 2**29
    for layout, samples in songs.items():
        assert (samples == reference).all(), layout


def test_a_seed_is_a_song(tmp_path: Path) -> None:
    def song(seed: int) -> bytes:
        return (
            graphs.run(tmp_path, {"sample.seed": seed}, probes=("sample",)).kept["sample"]["samples"].numpy().tobytes()
        )

    assert song(7) == song(7) != song(8)


def test_a_batch_is_its_single_runs(tmp_path: Path) -> None:
    settings = {"sample.seed": 40, "schedule.steps": 6}
    batch = graphs.run(tmp_path, {**settings, "empty.batch_size": 3}, probes=("sample",))
    assert len(batch.files) == 3
    together = batch.kept["sample"]["samples"]
    for i in range(3):
        single = graphs.run(tmp_path, {**settings, "sample.seed": 40 + i}, probes=("sample",)).kept["sample"]["samples"]
        torch.testing.assert_close(together[i : i + 1], single, rtol=0, atol=batch_tolerance(single))


PROMPTS = (
    ("a", "[Instrumental]", "unknown"),
    (
        "loud distorted guitars, double bass drum, a choir of a hundred voices",
        "[Verse]\n" + "oh my darling\n" * 60,
        "en",
    ),
    ("chill beats", "[Chorus]\nhey", "en"),
)


@pytest.mark.parametrize("guidance", ["apg", "cfg", "adg"])
def test_a_batch_of_different_prompts_is_its_single_runs(guidance: str) -> None:
    """Whatever the lengths of captions and lyrics: padding is never attended to."""
    network, encoder, _ = random_network.load()
    prompts = [Prompt(c, y, language, Metadata(duration=6.0), instruction("text2music")) for c, y, language in PROMPTS]

    def song(batch_prompts: Sequence[Prompt], seed: int, batch: int) -> torch.Tensor:
        positive = conditioning.write(encoder.encode(batch_prompts), "text2music", batch_prompts)
        (guider,) = GuiderNode().make(network, positive, guidance, 5.0, 0.0, 1.0, -0.75, 2.5, 0.0, 0.5, "standard", 1.0)
        latent = {"samples": torch.zeros(batch, 64, 150)}
        with hosts.use(HeadlessHost([], Path("unused"), device="cpu")):
            return Sampler().sample(guider, torch.linspace(1, 0, 7), latent, seed)[0]["samples"]

    together = song(prompts, 11, 3)
    for i, prompt in enumerate(prompts):
        single = song([prompt], 11 + i, 1)
        torch.testing.assert_close(together[i : i + 1], single, rtol=0, atol=batch_tolerance(single))
    assert (together[0] - together[1]).abs().max() > 0.1


def test_negative_prompt_of_another_length_and_zeroed_one(tmp_path: Path) -> None:
    graph = graphs.text_to_music()
    graph["negative"] = json.loads(json.dumps(graph["text"]))
    graph["negative"]["inputs"]["caption"] = "noise, hiss, wrong notes " * 10

    def song(**settings: Any) -> torch.Tensor:
        changed = {place.replace("_", ".", 1): value for place, value in settings.items()}
        copy = json.loads(json.dumps(graph))
        return graphs.run(tmp_path, changed, graph=copy, probes=("sample",)).kept["sample"]["samples"]

    plain, steered = song(), song(guider_negative=["negative", 0])
    assert (plain - steered).abs().max() > 1e-2
    assert torch.equal(song(guider_scale=1.0), song(guider_scale=1.0, guider_negative=["negative", 0]))

    class Zero:
        FUNCTION = "zero"
        RETURN_TYPES = ("CONDITIONING",)

        @classmethod
        def INPUT_TYPES(cls) -> dict[str, Any]:
            return {"required": {"conditioning": ("CONDITIONING",)}}

        def zero(self, conditioning: Any) -> Any:
            return ([[torch.zeros_like(t), {**d}] for t, d in conditioning],)

    original = graphs.shipped_classes
    graphs.shipped_classes = lambda: {**original(), "Zero": Zero}
    try:
        graph["zero"] = {"class_type": "Zero", "inputs": {"conditioning": ["text", 0]}}
        assert torch.equal(plain, song(guider_negative=["zero", 0]))
    finally:
        graphs.shipped_classes = original


def test_the_unconditional_half_runs_only_in_the_interval(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[bool] = []
    original = Predictor.__call__

    def watch(self: Any, x: torch.Tensor, t: float, *, unconditional: bool) -> Any:
        asked.append(unconditional)
        return original(self, x, t, unconditional=unconditional)

    monkeypatch.setattr(Predictor, "__call__", watch)
    graphs.run(tmp_path, {"schedule.steps": 4, "schedule.shift": 1.0, "guider.start": 0.25, "guider.end": 0.5})
    assert asked == [False, True, True, False]


@pytest.mark.parametrize("seconds", [1.0, 1.1, 5.12, 7.3])
def test_the_length_is_what_was_asked(tmp_path: Path, seconds: float) -> None:
    (song,) = graphs.run(tmp_path, {"empty.seconds": seconds, "schedule.steps": 1}).files
    info = soundfile.info(song)
    assert info.frames == int(seconds * 48000) // 1920 * 1920
    assert (info.samplerate, info.channels, info.subtype) == (48000, 2, "PCM_24")


@pytest.mark.slow
def test_ten_minutes(tmp_path: Path) -> None:
    settings = {"empty.seconds": 600.0, "schedule.steps": 1, "guider.scale": 1.0, "save.format": "flac"}
    (song,) = graphs.run(tmp_path, settings).files
    assert soundfile.info(song).frames == 600 * 48000


def test_custom_sigmas_replace_the_steps(tmp_path: Path) -> None:
    settings = {"schedule.custom_sigmas": "1, 0.6, 0.2, 0"}
    sigmas = graphs.run(tmp_path, settings, probes=("schedule",)).kept["schedule"]
    torch.testing.assert_close(sigmas, torch.tensor([1, 0.6, 0.2, 0]))


def test_empty_caption_and_no_metadata(tmp_path: Path) -> None:
    settings = {"text.caption": "", "text.lyrics": "", "text.bpm": 0, "text.key_scale": "auto"}
    assert len(graphs.run(tmp_path, {**settings, "text.time_signature": "auto", "text.duration": 0.0}).files) == 1


def test_lyrics_that_do_not_fit_are_cut_and_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    words = " ".join(f"word{i}" for i in range(2500))
    assert len(words) > 20_000
    assert len(graphs.run(tmp_path, {"text.lyrics": words}).files) == 1
    (warning,) = (said for record in caplog.records if (said := record.getMessage()).startswith("lyrics:"))
    assert "no longer" in warning or "cut" in warning


@pytest.mark.parametrize("name", ["decoder.layers.1.mlp.up_proj.weight", "encoder.text_projector.weight"])
def test_nan_in_the_weights_is_named_and_writes_nothing(tmp_path: Path, split: Path, name: str) -> None:
    (file,) = (split / "diffusion_models").iterdir()
    state = load_file(file)
    state[name].view(-1)[3] = torch.nan
    save_file(state, file)
    with pytest.raises(NodeError, match=f"checkpoint is damaged: {name} holds NaN"):
        graphs.run(tmp_path / "out", use_model(file.name), models=split)
    assert not list(tmp_path.glob("out/**/*.wav"))


def test_nan_in_the_vae_writes_nothing(tmp_path: Path, split: Path) -> None:
    (file,) = (split / "vae").iterdir()
    state = load_file(file)
    state["decoder.layers.0.bias"][0] = torch.nan
    save_file(state, file)
    with pytest.raises(NodeError, match=r"NaN"):
        graphs.run(tmp_path / "out", use_model(f"{tiny.NAME}.safetensors"), models=split)
    assert not list(tmp_path.glob("out/**/*.wav"))


def test_parts_that_are_not_there_say_what_to_do(tmp_path: Path, split: Path) -> None:
    (split / "vae" / "ace_1.5_vae.safetensors").rename(split / "vae" / "other.safetensors")
    with pytest.raises(NodeError, match=r"vae = auto.*0 files.*acestep-xl download"):
        graphs.run(tmp_path, use_model(f"{tiny.NAME}.safetensors"), models=split)
    for file in (split / "text_encoders" / "qwen_0.6b_ace15").iterdir():
        file.unlink()
    with pytest.raises(NodeError, match=r"no tokenizer for .*tokenizer.json of Qwen/Qwen3-Embedding-0.6B"):
        graphs.run(tmp_path, {**use_model(f"{tiny.NAME}.safetensors"), "load.vae": "other.safetensors"}, models=split)


def test_parts_of_different_models(tmp_path: Path, split: Path) -> None:
    (file,) = (split / "diffusion_models").iterdir()
    graph = graphs.text_to_music()
    graph["other"] = {"class_type": "AceStepXLLoader", "inputs": {**graph["load"]["inputs"], "model": file.name}}
    graph["decode"]["inputs"]["vae"] = ["other", 2]
    assert len(graphs.run(tmp_path, graph=graph, models=split).files) == 1  # same latents, another VAE: allowed
    stranger = {"samples": torch.zeros(1, 8, 16, 100)}
    with pytest.raises(ValueError, match=r"latent has shape \[1, 8, 16, 100\], expected \[songs 64 frames\]"):
        Sampler().sample(_guider(), torch.tensor([1.0, 0.0]), stranger, 0)
    with pytest.raises(ValueError, match="guider is a dict"):
        Sampler().sample({}, torch.tensor([1.0, 0.0]), {"samples": torch.zeros(1, 64, 9)}, 0)  # type: ignore[arg-type]


def test_conditioning_of_other_nodes() -> None:
    network, encoder, _ = random_network.load()
    prompt = Prompt("a", "b", "en", Metadata(), instruction("cover"))
    encoded = conditioning.write(encoder.encode([prompt]), "cover", [prompt])
    with pytest.raises(ValueError, match="positive has 2 entries"):
        conditioning.read(encoded * 2, "positive")
    with pytest.raises(ValueError, match="positive has no lyrics"):
        conditioning.read([[encoded[0][0], {}]], "positive")
    wide = conditioning.read([[torch.zeros(1, 4, 1024), {"conditioning_lyrics": torch.zeros(1, 4, 1024)}]], "positive")
    with pytest.raises(ValueError, match="1024 channels, this network reads 32"):
        conditioning.encode(network, wide, torch.device("cpu"))

    coded = conditioning.read([[encoded[0][0], {**encoded[0][1], "audio_codes": [[5, 63999, 0]]}]], "positive")
    context = conditioning.source_context(network, coded, 20)
    told = network.detokenizer(network.tokenizer.quantizer.lookup(torch.tensor([[[5], [63999], [0]]])))
    assert torch.equal(context[0, :15, :64], told[0])
    assert torch.equal(context[0, 15:, :64], network.silent(5))
    with pytest.raises(ValueError, match="audio codes must be 0 to 63999, got 64000"):
        conditioning.source_context(network, replace(coded, codes=((64000,),)), 20)


@pytest.mark.parametrize("length", [3, 750, 751, 5000])
def test_timbre_reference_is_brought_to_the_trained_length(length: int) -> None:
    network = random_network.network()
    ramp = torch.arange(length, dtype=torch.float32).expand(1, 64, -1)
    frames = conditioning.reference(network, ramp)[0, :, 0].tolist()
    assert len(frames) == 750
    if length <= 750:
        assert frames == [float(i % length) for i in range(750)]
    else:
        assert frames[:250] == list(range(250))
        assert frames[-250:] == list(range(length - 250, length))
        assert frames[250:500] == list(range((length - 250) // 2, (length - 250) // 2 + 250))


def test_a_run_stops_within_one_step(tmp_path: Path) -> None:
    host = HeadlessHost([], tmp_path, _interrupting_bar, device="cpu")
    _interrupting_bar.host = host  # type: ignore[attr-defined]
    with pytest.raises(Interrupted):
        graphs.run(tmp_path, {"schedule.steps": 50}, host=host)
    assert _Bar.seen == [1, 2]
    assert not list(tmp_path.rglob("*.wav"))


class _Bar:
    seen: list[int] = []  # noqa: RUF012 - one run

    def update(self, value: int, preview: object = None) -> None:
        self.seen.append(value)
        if value == 2:
            _interrupting_bar.host.interrupt()  # type: ignore[attr-defined]

    def close(self) -> None: ...

    def __enter__(self) -> _Bar:
        return self

    def __exit__(self, *_: object) -> None: ...


def _interrupting_bar(total: int) -> _Bar:
    return _Bar()


def _guider() -> Any:
    network, encoder, _ = random_network.load()
    prompt = Prompt("a", "b", "en", Metadata(), instruction("text2music"))
    positive = conditioning.write(encoder.encode([prompt]), "text2music", [prompt])
    return GuiderNode().make(network, positive, "apg", 7.0, 0.0, 1.0, -0.75, 2.5, 0.0, 0.5, "standard", 1.0)[0]


def test_guidance_on_a_turbo_checkpoint_is_said(caplog: pytest.LogCaptureFixture) -> None:
    network, encoder, _ = random_network.load()
    prompt = Prompt("a", "b", "en", Metadata(), instruction("text2music"))
    positive = conditioning.write(encoder.encode([prompt]), "text2music", [prompt])
    for kind, scale, said in (("sft", 7.0, False), ("turbo", 1.0, False), ("turbo", 7.0, True)):
        caplog.clear()
        network.training_kind = kind
        GuiderNode().make(network, positive, "apg", scale, 0.0, 1.0, -0.75, 2.5, 0.0, 0.5, "standard", 1.0)
        assert any("without guidance" in record.getMessage() for record in caplog.records) == said


def test_noise_of_another_node(tmp_path: Path) -> None:
    class Noise:
        seed = 5

        def generate_noise(self, latent: dict[str, Any]) -> torch.Tensor:
            return torch.ones_like(latent["samples"])

    latent = {"samples": torch.zeros(1, 64, 200)}
    with hosts.use(HeadlessHost([], tmp_path, device="cpu")):
        first = Sampler().sample(_guider(), torch.tensor([1.0, 0.5]), latent, 1, Noise())[0]["samples"]
        again = Sampler().sample(_guider(), torch.tensor([1.0, 0.5]), latent, 2, Noise())[0]["samples"]
    assert torch.equal(first, again)


def test_the_batch_index_of_a_latent_picks_the_song(tmp_path: Path) -> None:
    latent = {"samples": torch.zeros(1, 64, 200), "mine": "kept"}
    with hosts.use(HeadlessHost([], tmp_path, device="cpu")):
        third = Sampler().sample(_guider(), torch.tensor([1.0, 0.0]), {**latent, "batch_index": [2]}, 5)[0]
        seven = Sampler().sample(_guider(), torch.tensor([1.0, 0.0]), latent, 7)[0]
    assert torch.equal(third["samples"], seven["samples"])
    assert third["mine"] == "kept"
