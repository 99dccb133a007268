"""Text to music, from the prompt to the file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import graphs
import pytest
import soundfile
import torch
from edit_graphs import copy_node
from measure import batch_tolerance


def sample(tmp_path: Path, settings: dict[str, Any], graph: dict[str, Any] | None = None) -> torch.Tensor:
    """The sampled latents ``[b 64 t]``."""
    return graphs.run(tmp_path, settings, graph=graph, probes=("sample",)).outputs["sample"]["samples"]


def test_a_seed_is_a_song(tmp_path: Path) -> None:
    def song(seed: int) -> bytes:
        return sample(tmp_path, {"sample.seed": seed}).numpy().tobytes()

    assert song(7) == song(7) != song(8)


def test_a_batch_is_its_single_runs(tmp_path: Path) -> None:
    settings = {"sample.seed": 40, "schedule.steps": 6}
    batch = graphs.run(tmp_path, {**settings, "empty.batch_size": 3}, probes=("sample",))
    assert len(batch.files) == 3
    latents = batch.outputs["sample"]["samples"]
    for i in range(3):
        single = sample(tmp_path, {**settings, "sample.seed": 40 + i})
        torch.testing.assert_close(latents[i : i + 1], single, rtol=0, atol=batch_tolerance(single))


class ZeroConditioning:
    """As core's ConditioningZeroOut."""

    FUNCTION = "zero"
    RETURN_TYPES = ("CONDITIONING",)

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        return {"required": {"conditioning": ("CONDITIONING",)}}

    def zero(self, conditioning: Any) -> Any:
        return ([[torch.zeros_like(text), {**extra}] for text, extra in conditioning],)


def test_negative_prompts_of_another_length_and_zeroed_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    classes = {**graphs.shipped_classes(), "Zero": ZeroConditioning}
    monkeypatch.setattr(graphs, "shipped_classes", lambda: classes)

    def song(**guider: Any) -> torch.Tensor:
        graph = graphs.text_to_music()
        graph["negative"] = copy_node(graph, "text", caption="noise, hiss, wrong notes " * 10)
        if guider.get("negative") == ["zero", 0]:
            graph["zero"] = {"class_type": "Zero", "inputs": {"conditioning": ["text", 0]}}
        graph["guider"]["inputs"] |= guider
        return sample(tmp_path, {}, graph)

    plain, steered = song(), song(negative=["negative", 0])
    assert (plain - steered).abs().max() > 1e-2
    assert torch.equal(song(scale=1.0), song(scale=1.0, negative=["negative", 0]))
    assert torch.equal(plain, song(negative=["zero", 0]))


@pytest.mark.parametrize("seconds", [1.0, 1.1, 5.12, 7.3])
def test_the_length_is_rounded_down_to_full_frames(tmp_path: Path, seconds: float) -> None:
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
    sigmas = graphs.run(tmp_path, settings, probes=("schedule",)).outputs["schedule"]
    torch.testing.assert_close(sigmas, torch.tensor([1, 0.6, 0.2, 0]))


def test_empty_caption_and_no_metadata(tmp_path: Path) -> None:
    settings = {"text.caption": "", "text.lyrics": "", "text.bpm": 0, "text.key_scale": "auto"}
    assert len(graphs.run(tmp_path, {**settings, "text.time_signature": "auto", "text.duration": 0.0}).files) == 1


def test_lyrics_that_are_too_long_are_cut_with_a_warning(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    words = " ".join(f"word{i}" for i in range(2500))
    assert len(words) > 20_000
    assert len(graphs.run(tmp_path, {"text.lyrics": words}).files) == 1
    messages = [record.getMessage() for record in caplog.records]
    (warning,) = (message for message in messages if message.startswith("lyrics:"))
    assert "no longer" in warning or "cut" in warning
