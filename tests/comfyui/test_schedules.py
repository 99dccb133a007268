"""Schedules against ComfyUI's of the same names. Runs if COMFYUI_PATH names a checkout.

COMFYUI_PYTHON names the interpreter with ComfyUI's requirements; the default is the one that runs the tests.
"""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
from typing import Any

import pytest

from acestep_xl.sampler.schedule import get_schedule, linear, truncate

pytestmark = pytest.mark.skipif(
    "COMFYUI_PATH" not in os.environ, reason="COMFYUI_PATH does not name a ComfyUI checkout"
)

SHIFT = 3.0
STEPS = (1, 2, 3, 8, 10, 27, 50, 300)
MULTIPLIERS = (1.0, 1000.0)  # 1: ACE-Step 1.5 in ComfyUI; 1000: most flow models
ROUNDING = 5e-6  # ComfyUI computes in float32, where karras takes a seventh power

COMFYUI_RUN = """
import json
import sys
import comfy.cli_args
comfy.cli_args.args.cpu = True
from comfy.k_diffusion import sampling
from comfy.model_sampling import ModelSamplingDiscreteFlow
from comfy.samplers import SCHEDULER_NAMES, beta_scheduler, calculate_sigmas, linear_quadratic_schedule
from comfy_extras.nodes_custom_sampler import BasicScheduler

shift, all_steps, multipliers = json.loads(sys.argv[2])
sigmas = {}


class Model:
    def __init__(self, flow):
        self.flow = flow

    def get_model_object(self, name):
        return self.flow


for multiplier in multipliers:
    flow = ModelSamplingDiscreteFlow()
    flow.set_parameters(shift=shift, multiplier=multiplier)
    for steps in all_steps:
        for name in SCHEDULER_NAMES:
            if name != "ddim_uniform" or steps <= 50:
                sigmas[f"{name} {multiplier} {steps}"] = calculate_sigmas(flow, name, steps).tolist()
    sigmas[f"minimum {multiplier}"] = float(flow.sigma_min)
    for denoise in (0.07, 0.3, 0.5, 0.99):
        output = BasicScheduler.execute(Model(flow), "sgm_uniform", 7, denoise)
        sigmas[f"denoise {multiplier} {denoise}"] = output.args[0].tolist()
for steps in all_steps:
    sigmas[f"karras options {steps}"] = sampling.get_sigmas_karras(steps, 0.02, 0.8, rho=3.5).tolist()
    sigmas[f"exponential options {steps}"] = sampling.get_sigmas_exponential(steps, 0.02, 0.8).tolist()
    sigmas[f"linear_quadratic options {steps}"] = linear_quadratic_schedule(flow, steps, threshold_noise=0.1).tolist()
sigmas["beta options 20"] = beta_scheduler(flow, 20, alpha=1.5, beta=0.8).tolist()
with open(sys.argv[1], "w") as file:
    json.dump(sigmas, file)
"""


@pytest.fixture(scope="module")
def comfy(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp("comfyui")
    environment = os.environ | {"PYTHONPATH": os.environ["COMFYUI_PATH"]}
    python = os.environ.get("COMFYUI_PYTHON", sys.executable)
    arguments = [str(folder / "sigmas.json"), json.dumps([SHIFT, STEPS, MULTIPLIERS])]
    subprocess.run([python, "-c", COMFYUI_RUN, *arguments], env=environment, cwd=folder, check=True)
    return json.loads((folder / "sigmas.json").read_text())


@pytest.mark.parametrize("steps", STEPS)
@pytest.mark.parametrize("multiplier", MULTIPLIERS)
def test_equal_where_comfyui_uses_no_table(comfy: dict[str, Any], multiplier: float, steps: int) -> None:
    lowest = comfy[f"minimum {multiplier}"]
    assert lowest == pytest.approx(0.003, abs=1e-5)
    ours = {
        "sgm_uniform": get_schedule("sgm_uniform")(steps, shift=SHIFT, terminal=lowest, start=1.0),
        "karras": get_schedule("karras")(steps, rho=7.0, terminal=lowest, start=1.0),
        "exponential": get_schedule("exponential")(steps, terminal=lowest, start=1.0),
        "linear_quadratic": get_schedule("linear_quadratic")(steps, threshold=0.025, start=1.0),
        "kl_optimal": get_schedule("kl_optimal")(steps, terminal=lowest, start=1.0),
    }
    if steps == 1:  # ComfyUI divides by zero
        assert math.isnan(comfy[f"kl_optimal {multiplier} 1"][0])
        assert ours.pop("kl_optimal") == [1.0, 0.0]
    for name, levels in ours.items():
        assert levels == pytest.approx(comfy[f"{name} {multiplier} {steps}"], abs=ROUNDING), name


@pytest.mark.parametrize("steps", STEPS)
def test_options(comfy: dict[str, Any], steps: int) -> None:
    ours = {
        "karras": get_schedule("karras")(steps, rho=3.5, terminal=0.02, start=0.8),
        "exponential": get_schedule("exponential")(steps, terminal=0.02, start=0.8),
        "linear_quadratic": get_schedule("linear_quadratic")(steps, threshold=0.1, start=1.0),
    }
    for name, levels in ours.items():
        assert levels == pytest.approx(comfy[f"{name} options {steps}"], abs=ROUNDING), name


@pytest.mark.parametrize("steps", STEPS)
def test_linear_is_simple_up_to_the_rounding_of_its_table(comfy: dict[str, Any], steps: int) -> None:
    theirs = comfy[f"simple 1.0 {steps}"]
    if 1000 % steps == 0:
        assert linear(steps, SHIFT) == pytest.approx(theirs, abs=ROUNDING)
    # simple takes the table entry at or above the time
    assert [before_shift(t) - before_shift(u) for t, u in zip(theirs, linear(steps, SHIFT), strict=True)] == (
        pytest.approx([0.0005] * (steps + 1), abs=0.0005 + ROUNDING)
    )


@pytest.mark.parametrize("steps", [1, 2, 3, 8, 10, 27, 50])
def test_beta_is_rounded_to_comfyuis_table(comfy: dict[str, Any], steps: int) -> None:
    """The quantile u is rounded to an index 0 .. 999, whose entry is (index + 1) / 1000: -0.0005 to 0.0015 off."""
    check_beta(get_schedule("beta")(steps, alpha=0.6, beta=0.6, shift=SHIFT, start=1.0), comfy[f"beta 1.0 {steps}"])
    if steps == 50:
        ours = get_schedule("beta")(20, alpha=1.5, beta=0.8, shift=SHIFT, start=1.0)
        check_beta(ours, comfy["beta options 20"])


def check_beta(ours: list[float], theirs: list[float]) -> None:
    errors = [before_shift(t) - before_shift(u) for t, u in zip(theirs, ours, strict=True)]
    assert max(errors) <= 0.0015 + ROUNDING and min(errors) >= -0.0005 - ROUNDING
    indices = [max(round(before_shift(u) * 999), 0) + 1 for u in ours[:-1]]
    assert theirs[:-1] == pytest.approx([after_shift(index / 1000) for index in indices], abs=ROUNDING)


def test_comfyuis_beta_drops_levels_when_its_table_is_too_coarse(comfy: dict[str, Any]) -> None:
    assert (
        len(comfy["beta 1.0 300"]) < 301 == len(get_schedule("beta")(300, alpha=0.6, beta=0.6, shift=SHIFT, start=1.0))
    )


@pytest.mark.parametrize("denoise", [0.07, 0.3, 0.5, 0.99])
@pytest.mark.parametrize("multiplier", MULTIPLIERS)
def test_denoise_takes_the_same_tail(comfy: dict[str, Any], multiplier: float, denoise: float) -> None:
    lowest = comfy[f"minimum {multiplier}"]

    def make(steps: int) -> list[float]:
        return get_schedule("sgm_uniform")(steps, shift=SHIFT, terminal=lowest, start=1.0)

    assert truncate(make, 7, denoise=denoise) == pytest.approx(comfy[f"denoise {multiplier} {denoise}"], abs=ROUNDING)


def before_shift(t: float) -> float:
    return t / (SHIFT - (SHIFT - 1) * t)


def after_shift(u: float) -> float:
    return SHIFT * u / (1 + (SHIFT - 1) * u)
