"""The solver benchmark's runs of the random network, each with a solver, a schedule and guidance, in parallel."""

from __future__ import annotations

import functools
import os
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from multiprocessing import get_context
from typing import Any

import numpy as np
import torch

from acestep_xl import parameters
from acestep_xl.model import context, random_network
from acestep_xl.model.network import AceStep
from acestep_xl.model.predictor import Predictor
from acestep_xl.model.prompt import Metadata, Prompt, instruction
from acestep_xl.sampler.denoise import denoise
from acestep_xl.sampler.guidance import Guidance
from acestep_xl.sampler.noise import draw
from acestep_xl.sampler.schedule import SCHEDULES, Options, build
from acestep_xl.sampler.solver import SOLVERS, Evaluate, Solver, Stepper, get_solver

DETERMINISTIC = [name for name, kind in SOLVERS.items() if not kind.stochastic]
FORMULAS = [name for name in SCHEDULES if name != "custom"]
CAPTION, SEED = "warm electric piano over a slow drum loop", 7
# The time embedding has 128 cosines and 128 sines; so many of each turn more than once between level 1 and 0.
FAST = 71

Latents = Mapping["Run", np.ndarray]


@dataclass(frozen=True)
class Run:
    """One run from noise to a clean latent. smooth: with the network of ``smooth_time_embedding``."""

    smooth: bool
    guidance: str
    scale: float
    schedule: str
    solver: str
    evaluations: int

    @property
    def steps(self) -> int:
        return self.evaluations // SOLVERS[self.solver].evaluations


@dataclass(frozen=True)
class Plan:
    """What is run.

    budgets: evaluations per run, divisible by the evaluations per step of every solver. reference: evaluations of the
    reference.
    """

    frames: int
    scales: tuple[float, ...]
    budgets: tuple[int, ...]
    reference: int

    def references(self, *, smooth: bool = False, guidance: str = "cfg") -> list[Run]:
        """The run that the others are compared with, at every scale; for APG only at its default scale."""
        scales = self.scales if guidance == "cfg" else (default("guidance_scale"),)
        return [Run(smooth, guidance, scale, "linear", "ab3", self.reference) for scale in scales]

    def all_references(self) -> list[Run]:
        return [*self.references(), *self.references(smooth=True), *self.references(guidance="apg")]


FULL = Plan(250, (1.0, 4.0, 10.0), (8, 16, 32, 64), 1000)
TINY = Plan(10, (1.0, 4.0), (4, 16), 100)


def runs_to_compare(reference: Run, budgets: Sequence[int]) -> list[Run]:
    """The runs whose distance to the reference is measured.

    On every schedule, but with APG's momentum or the smoothed network only on the reference's.
    """
    schedules = FORMULAS if reference.guidance == "cfg" and not reference.smooth else [reference.schedule]
    pairs = [(schedule, name) for schedule in schedules for name in DETERMINISTIC]
    return [replace(reference, schedule=s, solver=name, evaluations=n) for s, name in pairs for n in budgets]


def second_reference(reference: Run) -> Run:
    """The same number of evaluations with another solver, which shows how accurate the reference is."""
    return replace(reference, solver="dpmpp_2m")


@functools.cache
def task(smooth: bool, frames: int) -> tuple[Predictor, torch.Tensor]:
    """The random network with its prompt, and the initial noise ``[1 t c]``; built once per process."""
    torch.set_num_threads(1)  # the processes share the cores, and results must not depend on the number of threads
    network, encoder, _ = random_network.load()
    states = encoder.encode([Prompt(CAPTION, "[Instrumental]", "en", Metadata(), instruction("text2music"))])
    with torch.no_grad():
        condition = network.encoder(
            states.caption, states.caption_mask, states.lyrics, states.lyrics_mask, network.silent_reference(), [0]
        )
    if smooth:
        smooth_time_embedding(network)
    predictor = Predictor(network, condition, context.text_to_music(network, frames))
    return predictor, draw([SEED], frames, network.config.latent_channels)


@torch.no_grad()
def smooth_time_embedding(network: AceStep) -> None:
    """Remove the fast features of the time embedding, so that the velocity changes slowly with the level."""
    weight = network.decoder.time_embed.linear_1.weight
    for features in weight.chunk(2, dim=1):  # cosines and sines, the fastest first
        features[:, :FAST] = 0


def final_latent(run: Run, frames: int) -> np.ndarray:
    """Run to the clean latent. Raises ValueError if the number of evaluations is not the run's."""
    predictor, noise = task(run.smooth, frames)
    levels: list[float] = []
    sigmas = build(run.schedule, run.steps, options())
    solver = record_levels(get_solver(run.solver), levels)
    latent = denoise(predictor, noise, sigmas, guidance=guidance(run), solver=solver)
    if len(levels) != run.evaluations:
        raise ValueError(f"{run} took {len(levels)} evaluations")
    return latent.numpy()


def record_levels(make: Solver, levels: list[float]) -> Solver:
    """The same solver, which records the level of every evaluation."""

    def start() -> Stepper:
        inner = make()

        def step(evaluate: Evaluate, x: torch.Tensor, t: float, t_next: float) -> torch.Tensor:
            def recorded(x: torch.Tensor, t: float) -> torch.Tensor:
                levels.append(t)
                return evaluate(x, t)

            return inner(recorded, x, t, t_next)

        return step

    return start


def default(name: str) -> Any:
    return parameters.get(name).default


def options() -> Options:
    """The default settings of every schedule."""
    names = ("schedule_rho", "schedule_alpha", "schedule_beta", "schedule_threshold", "schedule_terminal")
    return Options(default("shift"), *map(default, names), start=1.0, denoise=1.0, sigmas=())


def guidance(run: Run) -> Guidance:
    names = ("apg_momentum", "apg_norm_threshold", "apg_eta", "adg_angle_clip", "adg_variant")
    return Guidance(run.guidance, run.scale, 0.0, 1.0, *map(default, names))


def solve(plan: Plan) -> dict[Run, np.ndarray]:
    """Compute every run's clean latent, in one process per core."""
    references = plan.all_references()
    runs = [run for reference in references for run in (reference, second_reference(reference))]  # long runs first
    runs += [run for reference in references for run in runs_to_compare(reference, plan.budgets)]
    latents: dict[Run, np.ndarray] = {}
    with ProcessPoolExecutor(os.cpu_count(), mp_context=get_context("spawn")) as pool:
        for run, latent in zip(runs, pool.map(functools.partial(final_latent, frames=plan.frames), runs), strict=True):
            latents[run] = latent
            if len(latents) % 100 == 0 or len(latents) == len(runs):
                print(f"{len(latents)} of {len(runs)} runs", flush=True)
    return latents


def distance(a: np.ndarray, b: np.ndarray) -> float:
    """Root mean square of the difference over that of b, summed in float64."""
    a, b = a.astype(np.float64), b.astype(np.float64)
    return float(np.sqrt(np.mean((a - b) ** 2) / np.mean(b**2)))


def velocity_change(smooth: bool, frames: int, span: float) -> float:
    """Relative change of the velocity when the level falls by span from 0.5 and the latent stays the same."""
    predictor, x = task(smooth, frames)
    (before, _), (after, _) = (predictor(x, t, unconditional=False) for t in (0.5, 0.5 - span))
    return distance(after.numpy(), before.numpy())
