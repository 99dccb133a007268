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


@pytest.mark.parametrize("name", CASES)
def test_samples_are_those_stored_from_comfyui(name: str) -> None:
    assert excerpt(ksampler(*CASES[name])) == pytest.approx(STORED[name], rel=1e-4, abs=1e-4)


def test_every_stored_case_is_tested() -> None:
    assert STORED.keys() == CASES.keys()
