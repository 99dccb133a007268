"""ComfyUI's samplers by name, and what a graph chooses of them."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from importlib.util import find_spec
from typing import Any

from torch import Tensor

from .samplers import (
    ancestral,
    cfg_pp,
    dpm_solver,
    er_sde,
    multistep,
    multistep_estimates,
    runge_kutta,
    sa_solver,
    sde,
    seeds,
    uni_pc,
)


@dataclass(frozen=True)
class SamplerKind:
    """A sampler.

    function: from a ``Run`` and x to x at the last level, its options as keywords. with_unconditional: it reads the
    unconditional estimate, also at guidance scale 1. masks_with_other_noise: what a mask keeps is noised with other
    noise than the run starts from. last_level: what the result is scaled by instead of a last level of 0. packages:
    optional ones that it needs.
    """

    function: Callable[..., Tensor]
    with_unconditional: bool = False
    masks_with_other_noise: bool = False
    last_level: float = 0.0
    packages: tuple[str, ...] = ()

    @property
    def options(self) -> tuple[str, ...]:
        """The names of its options."""
        return tuple(inspect.signature(self.function).parameters)[2:]


@dataclass(frozen=True)
class Sampler:
    """A chosen sampler with its options, a SAMPLER of native graphs.

    Raises ValueError for a sampler that cannot run here, see ``find_problem``, and for options that it does not have.
    """

    name: str
    options: Mapping[str, float | bool | str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if problem := find_problem(self.name):
            raise ValueError(problem)
        known = SAMPLERS[self.name].options
        unknown = [option for option in self.options if option not in known]
        if unknown:
            raise ValueError(
                f"sampler {self.name} has no option {', '.join(unknown)}; it has: {', '.join(known) or 'none'}"
            )


def _brownian(function: Callable[..., Tensor], **fixed: Any) -> SamplerKind:
    return SamplerKind(partial(function, **fixed) if fixed else function, packages=("torchsde",))


def _cfg_pp(function: Callable[..., Tensor]) -> SamplerKind:
    return SamplerKind(function, with_unconditional=True)


SAMPLERS: dict[str, SamplerKind] = {
    "euler": SamplerKind(runge_kutta.euler),
    "euler_cfg_pp": _cfg_pp(cfg_pp.euler_cfg_pp),
    "euler_ancestral": SamplerKind(ancestral.euler_ancestral),
    "euler_ancestral_cfg_pp": _cfg_pp(cfg_pp.euler_ancestral_cfg_pp),
    "heun": SamplerKind(runge_kutta.heun),
    "heunpp2": SamplerKind(runge_kutta.heunpp2),
    "exp_heun_2_x0": SamplerKind(seeds.exp_heun_2_x0),
    "exp_heun_2_x0_sde": SamplerKind(seeds.exp_heun_2_x0_sde),
    "dpm_2": SamplerKind(runge_kutta.dpm_2),
    "dpm_2_ancestral": SamplerKind(ancestral.dpm_2_ancestral),
    "lms": SamplerKind(multistep.lms),
    "dpm_fast": SamplerKind(dpm_solver.dpm_fast),
    "dpm_adaptive": SamplerKind(dpm_solver.dpm_adaptive),
    "dpmpp_2s_ancestral": SamplerKind(ancestral.dpmpp_2s_ancestral),
    "dpmpp_2s_ancestral_cfg_pp": _cfg_pp(cfg_pp.dpmpp_2s_ancestral_cfg_pp),
    "dpmpp_sde": _brownian(sde.dpmpp_sde),
    "dpmpp_sde_gpu": _brownian(sde.dpmpp_sde, on_device=True),
    "dpmpp_2m": SamplerKind(multistep_estimates.dpmpp_2m),
    "dpmpp_2m_cfg_pp": _cfg_pp(multistep_estimates.dpmpp_2m_cfg_pp),
    "dpmpp_2m_sde": _brownian(sde.dpmpp_2m_sde),
    "dpmpp_2m_sde_gpu": _brownian(sde.dpmpp_2m_sde, on_device=True),
    "dpmpp_2m_sde_heun": _brownian(sde.dpmpp_2m_sde, solver_type="heun"),
    "dpmpp_2m_sde_heun_gpu": _brownian(sde.dpmpp_2m_sde, solver_type="heun", on_device=True),
    "dpmpp_3m_sde": _brownian(sde.dpmpp_3m_sde),
    "dpmpp_3m_sde_gpu": _brownian(sde.dpmpp_3m_sde, on_device=True),
    "ddpm": SamplerKind(ancestral.ddpm),
    "lcm": SamplerKind(ancestral.lcm),
    "ipndm": SamplerKind(multistep.ipndm),
    "ipndm_v": SamplerKind(multistep.ipndm_v),
    "deis": SamplerKind(multistep.deis),
    "res_multistep": SamplerKind(multistep_estimates.res_multistep),
    "res_multistep_cfg_pp": _cfg_pp(multistep_estimates.res_multistep),
    "res_multistep_ancestral": SamplerKind(multistep_estimates.res_multistep_ancestral),
    "res_multistep_ancestral_cfg_pp": _cfg_pp(multistep_estimates.res_multistep_ancestral),
    "gradient_estimation": SamplerKind(multistep_estimates.gradient_estimation),
    "gradient_estimation_cfg_pp": _cfg_pp(multistep_estimates.gradient_estimation),
    "er_sde": SamplerKind(er_sde.er_sde),
    "seeds_2": SamplerKind(seeds.seeds_2),
    "seeds_3": SamplerKind(seeds.seeds_3),
    "sa_solver": SamplerKind(sa_solver.sa_solver),
    "sa_solver_pece": SamplerKind(partial(sa_solver.sa_solver, use_pece=True)),
    "ddim": SamplerKind(runge_kutta.euler, masks_with_other_noise=True),
    "uni_pc": SamplerKind(uni_pc.uni_pc, last_level=uni_pc.LAST_LEVEL),
    "uni_pc_bh2": SamplerKind(uni_pc.uni_pc_bh2, last_level=uni_pc.LAST_LEVEL),
}


def get_sampler(name: str) -> SamplerKind:
    """A sampler by ComfyUI's name."""
    if name not in SAMPLERS:
        raise ValueError(_unknown(name))
    return SAMPLERS[name]


def find_problem(name: str) -> str | None:
    """Why the named sampler cannot run here: an unknown name or a package that is not installed. None if it can."""
    if name not in SAMPLERS:
        return _unknown(name)
    missing = [package for package in SAMPLERS[name].packages if find_spec(package) is None]
    if not missing:
        return None
    return (
        f"sampler {name} draws Brownian noise with the package {', '.join(missing)}, which is not installed: run pip "
        f"install {' '.join(missing)}, or choose a sampler without it, such as dpmpp_2m"
    )


def _unknown(name: str) -> str:
    return f"unknown sampler {name!r}; known: {', '.join(SAMPLERS)}"
