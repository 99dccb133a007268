"""Node: solver."""

from __future__ import annotations

from typing import Any, ClassVar

from .. import parameters
from ..pipeline.solver_sampler import SolverSampler
from ..sampler.solver import SOLVERS


class SolverNode:
    """Selects the solver."""

    CATEGORY = "audio/ACE-Step XL"
    DESCRIPTION = "Selects the solver, for this pack's sampler node and for core's sampler nodes with any flow model."
    FUNCTION = "make"
    RETURN_TYPES = ("SAMPLER",)
    RETURN_NAMES = ("sampler",)
    OUTPUT_TOOLTIPS = ("For a sampler node's sampler input.",)
    SEARCH_ALIASES: ClassVar = ["ace step solver", "euler", "heun", "dpm++", "unipc", "sampler select"]

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        return {"required": {"solver": parameters.widget("solver_type"), "eta": parameters.widget("solver_eta")}}

    def make(self, solver: str, eta: float) -> tuple[SolverSampler]:
        if solver not in SOLVERS:
            raise ValueError(f"unknown solver {solver!r}; known: {', '.join(SOLVERS)}")
        return (SolverSampler(solver, eta),)
