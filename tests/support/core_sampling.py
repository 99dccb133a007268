"""ComfyUI's own noise, schedulers and samplers on the toy song. Runs in a process that has ComfyUI imported."""

from __future__ import annotations

from typing import Any

import comfy.model_base
import comfy.sample
import comfy.samplers
import comfy.utils
import torch
from comfy.k_diffusion import sa_solver
from comfy.model_sampling import CONST, ModelSamplingDiscreteFlow
from comfy_extras import nodes_custom_sampler as nodes
from toy_song import CHANNELS, FRAMES, LEVELS, NOISE, cases, half_mask, level_cases, source, velocities


class Flow(ModelSamplingDiscreteFlow, CONST):
    pass


class Model:
    """What the samplers use of a model."""

    def __init__(self, shift: float) -> None:
        self.model_sampling = Flow()
        self.model_sampling.set_parameters(shift=shift, multiplier=1.0)
        self.inner_model = self.model_patcher = self.model = self

    def scale_latent_inpaint(self, sigma, noise, latent_image, **_):
        return comfy.model_base.BaseModel.scale_latent_inpaint(self, sigma, noise, latent_image)  # pyright: ignore

    def get_model_object(self, name):
        assert name == "model_sampling"
        return self.model_sampling


class Guider:
    """Calls the toy song as the samplers call a guided model."""

    def __init__(self, model: Model, cfg: float) -> None:
        self.inner_model = self.model_patcher = model
        self.cfg = cfg

    def __call__(self, x, timestep, model_options=None, seed=None):
        def both(arguments):
            sigma = arguments["sigma"].reshape(-1, 1, 1)
            parts = velocities(x, sigma)
            return [
                torch.zeros_like(x) if condition is None else x - v * sigma
                for condition, v in zip(arguments["conds"], parts, strict=True)
            ]

        options = {**(model_options or {}), "sampler_calc_cond_batch_function": both}
        return comfy.samplers.sampling_function(self.inner_model, x, timestep, [], [], self.cfg, options, seed)


def ksampler(name: str, options: dict[str, Any], run: dict[str, Any]) -> torch.Tensor:
    model = Model(run["shift"])
    chosen = comfy.samplers.KSampler(model, run["steps"], "cpu", name, run["scheduler"], run["denoise"])
    sampler = comfy.samplers.sampler_object(name)
    sampler.extra_options = core_options(name, options, model)
    latent = torch.zeros(run["batch"], CHANNELS, FRAMES) if run["is_empty"] else source(run["batch"])
    noise = comfy.sample.prepare_noise(latent, run["seed"])
    mask = comfy.utils.reshape_mask(half_mask(), latent.shape) if run["is_masked"] else None
    extra = {"model_options": {}, "seed": run["seed"]}
    return sampler.sample(Guider(model, run["cfg"]), chosen.sigmas, extra, None, noise, latent, mask, disable_pbar=True)


def core_options(name: str, options: dict[str, Any], model: Model) -> dict[str, Any]:
    """As the sampler nodes turn their widgets into arguments."""
    options = dict(options)
    if name == "er_sde":
        kind, eta = options.pop("solver_type", "ER-SDE"), options.pop("eta", 1.0)
        if kind == "ODE" or (kind == "Reverse-time SDE" and eta == 0):
            eta, options["s_noise"] = 0, 0
        options["noise_scaler"] = None if kind == "ER-SDE" else lambda x: x ** (eta + 1)
    if name == "sa_solver" and options:
        bounds = [
            options.pop("sde_start_sigma", model.model_sampling.percent_to_sigma(0.2)),
            options.pop("sde_end_sigma", model.model_sampling.percent_to_sigma(0.8)),
        ]
        options["tau_func"] = sa_solver.get_tau_interval_func(*bounds, eta=options.pop("eta", 1.0))
    return options


def all_samples() -> dict[str, torch.Tensor]:
    """By case, see ``toy_song.cases``."""
    return {str(case): ksampler(*case) for case in cases(comfy.samplers.SAMPLER_NAMES)}


def all_sigmas() -> dict[str, torch.Tensor | float]:
    """By function and arguments, see ``toy_song.level_cases``."""
    result: dict[str, torch.Tensor | float] = {}
    for shift, scheduler, steps, denoise in level_cases(comfy.samplers.SCHEDULER_NAMES):
        model = Model(shift)
        key = f"{shift} {scheduler} {steps} {denoise}"
        result[f"basic {key}"] = nodes.BasicScheduler.execute(model, scheduler, steps, denoise).args[0]
        for sampler in ("euler", "dpm_2"):
            chosen = comfy.samplers.KSampler(model, steps, "cpu", sampler, scheduler, denoise)
            result[f"{sampler} {key}"] = chosen.sigmas
    for shift in (1.0, 1.73, 3.0, 6.0):
        flow = Model(shift).model_sampling
        result[f"table {shift}"] = flow.sigmas
        for percent in (0.0, 1e-4, 0.2, 0.77, 1.0):
            result[f"percent {shift} {percent}"] = flow.percent_to_sigma(percent)
    return result


def all_edits() -> dict[str, tuple[torch.Tensor, ...]]:
    """What the SIGMAS nodes make of the toy levels."""
    model, sigmas = Model(3.0), torch.tensor(LEVELS)
    empty = torch.zeros(0)
    result = {
        "karras": nodes.KarrasScheduler.execute(9, 0.9, 0.02, 5.0),
        "exponential": nodes.ExponentialScheduler.execute(9, 0.9, 0.02),
        "polyexponential": nodes.PolyexponentialScheduler.execute(9, 0.9, 0.02, 1.7),
        "laplace": nodes.LaplaceScheduler.execute(9, 0.9, 0.02, -0.5, 0.6),
        "variance_preserving": nodes.VPScheduler.execute(9, 3.0, 0.1, 0.01),
        "beta": nodes.BetaSamplingScheduler.execute(model, 20, 1.5, 0.8),
        "sd_turbo": nodes.SDTurboScheduler.execute(model, 3, 0.7),
        "split": nodes.SplitSigmas.execute(sigmas, 2),
        "split far": nodes.SplitSigmas.execute(sigmas, 50),
        "flip": nodes.FlipSigmas.execute(sigmas),
        "flip empty": nodes.FlipSigmas.execute(empty),
        "set_first": nodes.SetFirstSigma.execute(sigmas, 0.7),
        "parse": nodes.ManualSigmas.execute("1, .75;0.5 -0.25 x 3"),
    }
    for denoise in (0.0, 0.3, 0.5, 1.0):
        result[f"split_denoise {denoise}"] = nodes.SplitSigmasDenoise.execute(sigmas, denoise)
    for spacing in ("linear", "cosine", "sine"):
        for start in (-1.0, 0.8):
            result[f"extend {spacing} {start}"] = nodes.ExtendIntermediateSigmas.execute(sigmas, 3, start, 0.3, spacing)
    return {name: output.args for name, output in result.items()}


def all_noise() -> dict[str, torch.Tensor]:
    """By shape, seed and places, see ``toy_song.NOISE``."""
    return {str(case): comfy.sample.prepare_noise(torch.zeros(case[0]), case[1], case[2]) for case in NOISE}
