"""Node: sampler."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor

from .. import parameters
from ..host import current_host
from ..pipeline.advice.checks import advice_on
from ..pipeline.edit import EDIT, TRACE, check_edit, edit_of, sample_count
from ..pipeline.guider import Guider, refuse_damaged
from ..pipeline.memory import plan
from ..pipeline.memory.oom_retry import Strategy, run_with_retries
from ..pipeline.model_socket import held
from ..pipeline.run import Run
from ..pipeline.solver_sampler import SolverSampler
from ..sampler import schedule
from ..sampler.noise import draw, seeds_at
from ..sampler.plot import Trace


class Sampler:
    """Denoises a latent into a song."""

    CATEGORY = "audio/ACE-Step XL"
    DESCRIPTION = (
        "Runs the network over the schedule. Song i of a batch uses seed + i and matches a single run with that seed."
    )
    FUNCTION = "sample"
    RETURN_TYPES = ("LATENT",)
    RETURN_NAMES = ("latent",)
    OUTPUT_TOOLTIPS = ("The finished latent, for the decoder.",)
    SEARCH_ALIASES: ClassVar = ["ace step sampler", "denoise", "generate music"]

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        return {
            "required": {
                "guider": ("GUIDER", {"tooltip": "From the guidance node."}),
                "sigmas": ("SIGMAS", {"tooltip": "Noise levels, from 1 down to 0."}),
                "latent": ("LATENT", {"tooltip": "Length and number of songs."}),
                "seed": parameters.widget("seed"),
            },
            "optional": {
                "noise": ("NOISE", {"tooltip": "Initial noise from another node, instead of the seed."}),
                "sampler": ("SAMPLER", {"tooltip": "Solver, from this pack's node or core's. Unconnected: euler."}),
            },
        }

    def sample(
        self,
        guider: Guider,
        sigmas: Tensor,
        latent: dict[str, Any],
        seed: int,
        noise: Any = None,
        sampler: Any = None,
    ) -> tuple[dict[str, Any]]:
        levels = sigmas.tolist()
        schedule.check(levels)
        latents = _latents(guider, latent)
        songs, frames, channels = latents.shape
        run = self._describe(guider, latent, levels, seed if noise is None else noise.seed, sampler)
        check_edit(run.edit, guider.network)
        host, strategies = current_host(), guider.strategies(run)
        offload_advice = plan.offload_advice(guider.network, strategies[0].memory, host.memory_info())
        host.advise([*advice_on("run", run), *offload_advice])
        start = _noise((songs, run.frames, channels), latent, list(run.seeds), noise)

        def work(strategy: Strategy, device: torch.device) -> tuple[Tensor, Trace | None]:
            prepared = guider.prepare(run, start.to(device), latents.to(device), strategy.batch_halves)
            preview = guider.preview(prepared, frames)

            def on_step(index: int, total: int, x0: Tensor) -> None:
                host.check_interrupted()
                # A run that starts from its source skips the first steps; they count as done.
                bar.update(len(levels) - total + index, preview.show(index + 1, total, x0))

            with host.progress(len(levels) - 1) as bar:
                result, trace = guider.denoise(prepared, run, sampler, on_step)
                return result[:, :frames].cpu(), trace

        result, trace = run_with_retries(host, "sampling", [held(guider.model)], strategies, work)
        refuse_damaged(result, guider.network)
        rest = {key: value for key, value in latent.items() if key not in (EDIT, TRACE, "noise_mask")}
        rest |= {} if trace is None else {TRACE: trace}
        return ({**rest, "samples": result.transpose(1, 2).contiguous(), "type": "audio"},)

    @staticmethod
    def _describe(guider: Guider, latent: dict[str, Any], levels: list[float], seed: int, sampler: Any) -> Run:
        songs, _, frames = latent["samples"].shape
        samples = sample_count(latent) or frames * parameters.FRAME_SAMPLES
        return guider.describe(
            # By the song's index in its batch, also where it was taken out of one.
            seeds_at(seed, latent.get("batch_index") or range(songs)),
            # The network was never trained on less than about five seconds; a shorter song is cut from one that long.
            max(frames, parameters.MINIMUM_FRAMES),
            levels,
            seconds=samples / parameters.SAMPLE_RATE,
            edit=edit_of(latent, frames),
            sampler=sampler or SolverSampler("euler", 0.0),
        )


def _latents(guider: Guider, latent: dict[str, Any]) -> Tensor:
    """The socket's ``[b 64 t]`` as ``[b t c]``, refused when it is another model's."""
    if not isinstance(guider, Guider):
        raise ValueError(f"guider is a {type(guider).__name__}: connect this pack's guidance node")
    samples, channels = latent["samples"], guider.network.config.latent_channels
    if samples.ndim != 3 or samples.shape[1] != channels or 0 in samples.shape:
        raise ValueError(
            f"latent has shape {list(samples.shape)}, expected [songs {channels} frames]: use an ACE-Step 1.5 node"
        )
    return samples.transpose(1, 2).float()


def _noise(shape: tuple[int, int, int], latent: dict[str, Any], seeds: list[int], noise: Any) -> Tensor:
    """Start noise ``[b t c]``: drawn per song on the CPU from its seed, or by the connected NOISE."""
    batch, frames, channels = shape
    if noise is None:
        return draw(seeds, frames, channels)
    drawn = noise.generate_noise({**latent, "samples": torch.zeros(batch, channels, frames)})
    return drawn.transpose(1, 2).float().cpu()
