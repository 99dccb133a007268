"""Node: plot of a schedule, and of a run's trace."""

from __future__ import annotations

import io
from typing import Any, ClassVar

import torch
from PIL import Image
from torch import Tensor

from .. import parameters
from ..host.submission import Submission
from ..pipeline import output
from ..pipeline.edit import TRACE
from ..pipeline.file_saving import OutputFile, save_files
from ..pipeline.solver_sampler import SolverSampler
from ..sampler import plot
from ..sampler.solver import SOLVERS


class Plot:
    """Plots noise levels, evaluations and the effect of guidance."""

    CATEGORY = "audio/ACE-Step XL"
    DESCRIPTION = (
        "Plots a schedule and the levels the solver evaluates; with the sampler's latent, also the norms of "
        "velocity and guidance update and their angle at every step."
    )
    FUNCTION = "draw"
    OUTPUT_NODE = True
    RETURN_TYPES = ("IMAGE",)
    RETURN_NAMES = ("image",)
    OUTPUT_TOOLTIPS = ("The plot.",)
    SEARCH_ALIASES: ClassVar = ["plot sigmas", "schedule graph", "guidance norms"]

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        return {
            "required": {
                "sigmas": ("SIGMAS", {"tooltip": "The schedule."}),
                "filename_prefix": parameters.widget("plot_prefix"),
            },
            "optional": {
                "sampler": (
                    "SAMPLER",
                    {"tooltip": "This pack's solver, to mark the levels it evaluates. Unconnected: euler."},
                ),
                "latent": ("LATENT", {"tooltip": "The sampler's latent, which carries a trace of its run."}),
            },
            "hidden": {name: output.HIDDEN[name] for name in ("prompt", "extra_pnginfo")},
        }

    @classmethod
    def VALIDATE_INPUTS(cls, filename_prefix: str | None) -> bool | str:
        return output.name_problem(filename_prefix, "png")

    def draw(
        self,
        sigmas: Tensor,
        filename_prefix: str,
        sampler: Any = None,
        latent: dict[str, Any] | None = None,
        prompt: dict[str, Any] | None = None,
        extra_pnginfo: dict[str, Any] | None = None,
    ) -> dict[str, Any]:
        name = sampler.name if isinstance(sampler, SolverSampler) else "euler"
        trace = None if latent is None else latent.get(TRACE)
        if latent is not None and trace is None:
            raise ValueError("this latent carries no trace of a run: connect the latent of this pack's sampler")
        pixels = plot.draw(sigmas.tolist(), name, SOLVERS[name].evaluations, trace)
        picture = io.BytesIO()
        Image.fromarray(pixels).save(picture, "PNG")
        files = [OutputFile(picture.getvalue(), "png")]
        saved = save_files(files, filename_prefix, Submission.of(prompt, extra_pnginfo))
        return {"ui": {"images": saved}, "result": (torch.from_numpy(pixels)[None] / 255.0,)}
