"""Noise, schedulers and samplers of native graphs against ComfyUI's own. Runs if COMFYUI_PATH names a checkout."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import comfy_process
import pytest
import torch
import toy_song
from native_runs import ksampler
from torch import Tensor

from acestep_xl.sampler.native import curves, schedulers, sigmas
from acestep_xl.sampler.native.levels import FlowLevels
from acestep_xl.sampler.native.noise import prepare_noise
from acestep_xl.sampler.native.sampler_table import SAMPLERS
from acestep_xl.sampler.native.schedulers import SCHEDULERS, basic_scheduler, ksampler_sigmas

pytestmark = [
    pytest.mark.skipif("COMFYUI_PATH" not in os.environ, reason="COMFYUI_PATH does not name a ComfyUI checkout"),
    pytest.mark.slow,
]

STORED = Path(__file__).parents[1] / "sampler" / "native" / "comfyui_samples.json"
CODE = """
sys.path.insert(0, arguments[1])
import comfy.samplers
import core_sampling
import torch
torch.set_num_threads(1)
results = {
    "samples": core_sampling.all_samples(),
    "sigmas": core_sampling.all_sigmas(),
    "edits": core_sampling.all_edits(),
    "noise": core_sampling.all_noise(),
    "samplers": list(comfy.samplers.SAMPLER_NAMES),
    "schedulers": list(comfy.samplers.SCHEDULER_NAMES),
    "without_penultimate": sorted(comfy.samplers.KSampler.DISCARD_PENULTIMATE_SIGMA_SAMPLERS),
}
torch.save(results, arguments[0])
"""


@pytest.fixture(scope="module")
def core(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    path = tmp_path_factory.mktemp("comfyui") / "results.pt"
    comfy_process.run(CODE, str(path), str(Path(toy_song.__file__).parent))
    return torch.load(path)


def relative_difference(ours: Tensor, theirs: Tensor) -> float:
    return float((ours - theirs).abs().max() / theirs.abs().max())


def test_every_name_of_comfyui_is_known(core):
    assert list(SAMPLERS) == core["samplers"]
    assert list(SCHEDULERS) == core["schedulers"]
    assert sorted(schedulers.WITHOUT_PENULTIMATE) == core["without_penultimate"]


def test_samples_are_comfyuis(core):
    differences = {
        str(case): relative_difference(ksampler(*case), core["samples"][str(case)])
        for case in toy_song.cases(list(SAMPLERS))
    }
    assert {case: d for case, d in differences.items() if not d < 1e-5} == {}


def test_the_stored_samples_are_comfyuis(core, tmp_path):
    """tests/sampler/native reads them where there is no ComfyUI."""
    theirs = {
        name: toy_song.excerpt(core["samples"][str(case)])
        for name, case in toy_song.stored_cases(list(SAMPLERS)).items()
    }
    lines = ",\n".join(f" {json.dumps(name)}: {json.dumps(values)}" for name, values in theirs.items())
    (tmp_path / STORED.name).write_text(f"{{\n{lines}\n}}\n")
    stored = json.loads(STORED.read_text())
    assert stored.keys() == theirs.keys(), f"copy {tmp_path / STORED.name} to {STORED}"
    for name, values in theirs.items():
        assert stored[name] == pytest.approx(values, rel=1e-4, abs=1e-4), name


def test_noise_is_comfyuis_bit_for_bit(core):
    for shape, seed, places in toy_song.NOISE:
        assert torch.equal(prepare_noise(torch.zeros(shape), seed, places), core["noise"][str((shape, seed, places))])


def test_schedulers_are_comfyuis(core):
    for case in toy_song.level_cases(list(SCHEDULERS)):
        shift, scheduler, steps, denoise = case
        levels, key = FlowLevels(shift), " ".join(map(str, case))
        ours = {
            f"basic {key}": basic_scheduler(levels, scheduler, steps, denoise),
            f"euler {key}": ksampler_sigmas(levels, scheduler, "euler", steps, denoise),
            f"dpm_2 {key}": ksampler_sigmas(levels, scheduler, "dpm_2", steps, denoise),
        }
        for name, levels_of_case in ours.items():
            torch.testing.assert_close(levels_of_case, core["sigmas"][name], rtol=0, atol=2e-7, msg=name)


@pytest.mark.parametrize("shift", [1.0, 1.73, 3.0, 6.0])
def test_levels_are_comfyuis(core, shift):
    levels = FlowLevels(shift)
    assert torch.equal(levels.table(), core["sigmas"][f"table {shift}"])
    for percent in (0.0, 1e-4, 0.2, 0.77, 1.0):
        assert levels.percent_to_sigma(percent) == core["sigmas"][f"percent {shift} {percent}"]


def edits() -> dict[str, tuple[Tensor, ...]]:
    levels, given = FlowLevels(3.0), torch.tensor(toy_song.LEVELS)
    result: dict[str, Any] = {
        "karras": curves.karras(9, 0.02, 0.9, 5.0),
        "exponential": curves.exponential(9, 0.02, 0.9),
        "polyexponential": curves.polyexponential(9, 0.02, 0.9, 1.7),
        "laplace": curves.laplace(9, 0.02, 0.9, -0.5, 0.6),
        "variance_preserving": curves.variance_preserving(9, 3.0, 0.1, 0.01),
        "beta": schedulers.beta_sampling(levels, 20, 1.5, 0.8),
        "sd_turbo": schedulers.sd_turbo(levels, 3, 0.7),
        "split": sigmas.split(given, 2),
        "split far": sigmas.split(given, 50),
        "flip": sigmas.flip(given),
        "flip empty": sigmas.flip(torch.zeros(0)),
        "set_first": sigmas.set_first(given, 0.7),
        "parse": sigmas.parse("1, .75;0.5 -0.25 x 3"),
    }
    for denoise in (0.0, 0.3, 0.5, 1.0):
        result[f"split_denoise {denoise}"] = sigmas.split_denoise(given, denoise)
    for spacing in ("linear", "cosine", "sine"):
        for start in (-1.0, 0.8):
            result[f"extend {spacing} {start}"] = sigmas.extend(given, 3, start, 0.3, spacing)
    return {name: value if isinstance(value, tuple) else (value,) for name, value in result.items()}


def test_edits_of_sigmas_are_comfyuis(core):
    ours = edits()
    assert ours.keys() == core["edits"].keys()
    for name, parts in ours.items():
        torch.testing.assert_close(parts, tuple(core["edits"][name]), rtol=0, atol=2e-7, msg=name)
