"""The runs of the solver benchmark: the random network with a solver, a schedule and guidance, many at a time."""

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
# Features of the time embedding, of 128 cosines and as many sines, that turn more than once between level 1 and 0.
FAST = 71

Ends = Mapping["Run", np.ndarray]


@dataclass(frozen=True)
class Run:
    """One way from the noise to a clean latent. smooth: through the network of ``smoothed``."""

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
    """What is run. budgets: evaluations per run, divisible by those per step of every solver. reference: evaluations of
    the reference."""

    frames: int
    scales: tuple[float, ...]
    budgets: tuple[int, ...]
    reference: int

    def references(self, *, smooth: bool = False, guidance: str = "cfg") -> list[Run]:
        """The solution at every scale that the others are compared with; APG has its default scale alone."""
        scales = self.scales if guidance == "cfg" else (default("guidance_scale"),)
        return [Run(smooth, guidance, scale, "linear", "ab3", self.reference) for scale in scales]

    def every_reference(self) -> list[Run]:
        return [*self.references(), *self.references(smooth=True), *self.references(guidance="apg")]


FULL = Plan(250, (1.0, 4.0, 10.0), (8, 16, 32, 64), 1000)
TINY = Plan(10, (1.0, 4.0), (4, 16), 100)


def compared(reference: Run, budgets: Sequence[int]) -> list[Run]:
    """The runs whose distance to the reference is measured: on every schedule where there is neither APG's memory nor
    a smoothed network, else on the reference's."""
    schedules = FORMULAS if reference.guidance == "cfg" and not reference.smooth else [reference.schedule]
    pairs = [(schedule, name) for schedule in schedules for name in DETERMINISTIC]
    return [replace(reference, schedule=s, solver=name, evaluations=n) for s, name in pairs for n in budgets]


def second(reference: Run) -> Run:
    """As many evaluations by another solver: how far the reference itself can be trusted."""
    return replace(reference, solver="dpmpp_2m")


@functools.cache
def task(smooth: bool, frames: int) -> tuple[Predictor, torch.Tensor]:
    """The random network under its prompt and the start noise ``[1 t c]``, once per process."""
    torch.set_num_threads(1)  # the processes share the cores, and sums do not depend on the number of them
    network, encoder, _ = random_network.load()
    states = encoder.encode([Prompt(CAPTION, "[Instrumental]", "en", Metadata(), instruction("text2music"))])
    with torch.no_grad():
        condition = network.encoder(
            states.caption, states.caption_mask, states.lyrics, states.lyrics_mask, network.silent_reference(), [0]
        )
    if smooth:
        smoothed(network)
    predictor = Predictor(network, condition, context.text_to_music(network, frames))
    return predictor, draw([SEED], frames, network.config.latent_channels)


@torch.no_grad()
def smoothed(network: AceStep) -> None:
    """Cut off the fast features of the time embedding, so that the velocity changes slowly with the level."""
    weight = network.decoder.time_embed.linear_1.weight
    for features in weight.chunk(2, dim=1):  # cosines and sines, the fastest first
        features[:, :FAST] = 0


def final(run: Run, frames: int) -> np.ndarray:
    """The clean latent a run arrives at. Raises ValueError when it took another number of evaluations than it says."""
    predictor, noise = task(run.smooth, frames)
    levels: list[float] = []
    sigmas = build(run.schedule, run.steps, options())
    end = denoise(predictor, noise, sigmas, guidance=guidance(run), solver=watched(get_solver(run.solver), levels))
    if len(levels) != run.evaluations:
        raise ValueError(f"{run} took {len(levels)} evaluations")
    return end.numpy()


def watched(make: Solver, levels: list[float]) -> Solver:
    """The same solver; the level of every evaluation is written down."""

    def start() -> Stepper:
        inner = make()

        def step(evaluate: Evaluate, x: torch.Tensor, t: float, t_next: float) -> torch.Tensor:
            def seen(x: torch.Tensor, t: float) -> torch.Tensor:
                levels.append(t)
                return evaluate(x, t)

            return inner(seen, x, t, t_next)

        return step

    return start


def default(name: str) -> Any:
    return parameters.get(name).default


def options() -> Options:
    """The defaults of every schedule's settings."""
    names = ("schedule_rho", "schedule_alpha", "schedule_beta", "schedule_threshold", "schedule_terminal")
    return Options(default("shift"), *map(default, names), start=1.0, denoise=1.0, sigmas=())


def guidance(run: Run) -> Guidance:
    names = ("apg_momentum", "apg_norm_threshold", "apg_eta", "adg_angle_clip", "adg_variant")
    return Guidance(run.guidance, run.scale, 0.0, 1.0, *map(default, names))


def solve(plan: Plan) -> dict[Run, np.ndarray]:
    """Every run's clean latent, computed by as many processes as there are cores."""
    references = plan.every_reference()
    runs = [run for reference in references for run in (reference, second(reference))]  # the long ones first
    runs += [run for reference in references for run in compared(reference, plan.budgets)]
    ends: dict[Run, np.ndarray] = {}
    with ProcessPoolExecutor(os.cpu_count(), mp_context=get_context("spawn")) as pool:
        for run, end in zip(runs, pool.map(functools.partial(final, frames=plan.frames), runs), strict=True):
            ends[run] = end
            if len(ends) % 100 == 0 or len(ends) == len(runs):
                print(f"{len(ends)} of {len(runs)} runs", flush=True)
    return ends


def distance(a: np.ndarray, b: np.ndarray) -> float:
    """Root mean square of the difference over that of b, summed in float64."""
    a, b = a.astype(np.float64), b.astype(np.float64)
    return float(np.sqrt(np.mean((a - b) ** 2) / np.mean(b**2)))


def change(smooth: bool, frames: int, span: float) -> float:
    """How much of the velocity changes when the level falls by span and the latent stays, in the middle of a run."""
    predictor, x = task(smooth, frames)
    (here, _), (there, _) = (predictor(x, t, unconditional=False) for t in (0.5, 0.5 - span))
    return distance(there.numpy(), here.numpy())
