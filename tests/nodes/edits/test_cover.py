"""Cover: its length, and how long it follows its source."""

from __future__ import annotations

from pathlib import Path

import edit_graphs as edits
import pytest
import soundfile
import torch
from recorded_calls import record_calls

from acestep_xl.model.predictor import Predictor
from acestep_xl.nodes.load_audio import example


@pytest.mark.parametrize(("rate", "samples"), [(48000, 3 * 48000 + 777), (44100, 3 * 44100 + 1), (48000, 48000)])
@pytest.mark.parametrize("codes", [True, False])
def test_a_cover_is_as_long_as_its_source(tmp_path: Path, rate: int, samples: int, codes: bool) -> None:
    source = edits.audio(edits.white_noise(2, samples), rate)
    graph = edits.cover(edits.SOURCE, codes=codes)
    (file,) = edits.run(tmp_path, graph, objects={"s": source}).files
    assert soundfile.info(file).frames == -(-samples * 48000 // rate)


@pytest.mark.parametrize("codes", [True, False])
def test_a_cover_of_strength_zero_is_text_to_music(tmp_path: Path, codes: bool) -> None:
    plain = edits.latents(tmp_path, edits.text_to_music(8.0))
    without_source = edits.latents(tmp_path, edits.cover(edits.EXAMPLE, strength=0.0, codes=codes))
    torch.testing.assert_close(without_source, plain, rtol=0, atol=1e-6)
    with_source = edits.latents(tmp_path, edits.cover(edits.EXAMPLE, codes=codes))
    assert (with_source - plain).abs().max() > 0.01


def test_a_cover_of_full_strength_makes_only_one_predictor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    predictors = record_calls(monkeypatch, Predictor, "__init__")
    edits.latents(tmp_path, edits.cover(edits.EXAMPLE))
    assert len(predictors) == 1
    predictors.clear()
    edits.latents(tmp_path, edits.cover(edits.EXAMPLE, strength=0.5))
    assert len(predictors) == 2


@pytest.mark.parametrize(
    ("strength", "start", "with_source", "total"),
    # Official inference: int(steps x strength), counted in the steps that are left after source_start.
    [
        (0.0, 0.0, 0, 10),
        (0.29, 0.0, 2, 10),
        (0.58, 0.0, 5, 10),
        (0.99, 0.0, 9, 10),
        (1.0, 0.0, 10, 10),
        (0.5, 0.6, 2, 4),
        (1.0, 0.99, 1, 1),
    ],
)
def test_the_source_is_dropped_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, strength: float, start: float, with_source: int, total: int
) -> None:
    steps = record_calls(monkeypatch, Predictor, "__call__")
    graph = edits.cover(edits.EXAMPLE, strength=strength, source_start=start)
    edits.latents(tmp_path, graph, {"schedule.steps": 10, "schedule.shift": 1.0, "guider.scale": 1.0})
    predictors = [id(step["self"]) for step in steps]
    assert len(predictors) == total
    before, after = predictors[:with_source], predictors[with_source:]
    assert len(set(before)) <= 1 and len(set(after)) <= 1
    assert not set(before) & set(after)


def test_codes_carry_less_than_the_source_itself(tmp_path: Path) -> None:
    with_codes, without = (edits.latents(tmp_path, edits.cover(edits.EXAMPLE, codes=codes)) for codes in (True, False))
    assert (with_codes - without).abs().max() > 0.01


def test_a_run_that_starts_from_its_source_stays_closer_to_it(tmp_path: Path) -> None:
    source = edits.demo_networks()[2].encode(example())

    def correlation(source_start: float) -> float:
        graph = edits.cover(edits.EXAMPLE, source_start=source_start)
        song = edits.latents(tmp_path, graph, {"schedule.steps": 10, "schedule.shift": 1.0})
        return float(torch.corrcoef(torch.stack([song.flatten(), source.flatten()]))[0, 1])

    from_noise, half, close = correlation(0.0), correlation(0.5), correlation(0.9)
    assert from_noise < half < close and close > 0.8
