"""The samplers of native graphs against numbers of ComfyUI 0.20.1, which tests/comfyui keeps up to date."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from native_runs import ksampler
from toy_song import excerpt, stored_cases

from acestep_xl.sampler.native.sampler_table import SAMPLERS

STORED = json.loads(Path(__file__).with_name("comfyui_samples.json").read_text())
CASES = stored_cases(list(SAMPLERS))
TOLERANCE = 1e-4
# Extrapolating six levels over steps as uneven as beta's multiplies rounding: one part in a million of the shift moves
# the samples by 2.5e-3, and another CPU's way to round a normal number by 1.9e-3.
ILL_CONDITIONED = {"lms order=6 run 6": 5e-3}


@pytest.mark.parametrize("name", CASES)
def test_samples_are_those_stored_from_comfyui(name: str) -> None:
    tolerance = ILL_CONDITIONED.get(name, TOLERANCE)
    assert excerpt(ksampler(*CASES[name])) == pytest.approx(STORED[name], rel=tolerance, abs=tolerance)


def test_every_stored_case_is_tested() -> None:
    assert STORED.keys() == CASES.keys()
