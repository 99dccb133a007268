"""The guider: a network bound to its prompt and guidance. Here the network and the sampling mathematics meet."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from .. import parameters
from ..host import current_host
from ..model.checkpoint import first_damaged
from ..model.condition import Condition
from ..model.network import AceStep
from ..model.predictor import Predictor
from ..sampler import schedule
from ..sampler.denoise import Step, denoise, start
from ..sampler.guidance import Guidance
from ..sampler.modifiers import Modifier
from ..sampler.plot import Trace, Tracer
from . import advice, comfy_samplers, conditioning, memory_estimate, memory_plan, memory_speed
from .conditioning import PromptConditioning
from .edit import Edit, Job, extended, find, prepare, task_of
from .oom_retry import Strategy, run_with_retries
from .preview import LivePreview
from .solver_sampler import SolverSampler

# Told after every step: its index, their number, and the estimate of the clean latent ``[b t c]``.
Watch = Callable[[int, int, Tensor], None]


@dataclass(frozen=True)
class Guider:
    """A network, its prompt and how strongly to follow it. negative None is the learned null condition."""

    network: AceStep
    positive: PromptConditioning
    negative: PromptConditioning | None
    guidance: Guidance
    negative_weight: float = 1.0
    modifiers: tuple[Modifier, ...] = ()

    def attempts(self, songs: int, frames: int, edit: Edit | None) -> list[Strategy]:
        """The ways a run may be done, for `attempts.carry_out`."""
        prompt = self.positive
        song = memory_estimate.Song(
            songs,
            frames,
            prompt.batch,
            lyrics=prompt.lyrics.shape[1],
            caption=prompt.text.shape[1],
            references=max(1, len(prompt.references)),
            guided=max(self.guidance.scale, self.guidance.curve.end_scale) > 1,
            negative=self.negative is not None,
            codes=bool(prompt.codes) or (edit is not None and edit.task == "cover"),
        )
        host, more = current_host(), memory_speed.memory(self.network, songs, frames)
        return memory_plan.sampling_attempts(self.network, song, host.compute_device(), host.memory_info(), more)

    def hints(self, levels: list[float], seconds: float, edit: Edit | None) -> list[str]:
        """What is probably not meant about a run over these levels, for a song of so many seconds."""
        network, prompt = self.network, self.positive
        kind, codes = network.training_kind, bool(prompt.codes)
        told, asked = prompt.seconds, prompt.task
        facts = advice.Run(kind, network.name, tuple(levels), seconds, told, asked, task_of(edit), codes)
        return advice.find("run", facts)

    @property
    def model_patcher(self) -> Any:
        """What ComfyUI's sampler nodes ask a GUIDER for; only ComfyUI has it."""
        return current_host().sampling_patcher(self.network)

    def run(self, job: Job, sampler: Any, seeds: list[int], watch: Watch) -> tuple[Tensor, Trace | None]:
        """Denoise a job with our solver or one of ComfyUI's samplers; watch is told of every step.

        Returns ``[b t c]`` and what our solver's steps did; ComfyUI's samplers do not tell.
        """
        if not isinstance(sampler, SolverSampler):
            return comfy_samplers.sample(job, self, sampler, seeds[0], _watched(watch)), None
        tracer = Tracer()

        def on_step(step: Step) -> None:
            watch(step.index, step.total, step.x0)
            tracer.add(step)

        result = denoise(
            job.predictor,
            job.x,
            job.sigmas,
            guidance=self.guidance,
            solver=sampler.solver(seeds),
            region=job.region,
            switch=job.switch,
            modifiers=self.modifiers,
            on_step=on_step,
        )
        return result, tracer.finish()

    def sample(
        self,
        noise: Tensor,
        latent_image: Tensor,
        sampler: Any,
        sigmas: Tensor,
        denoise_mask: Tensor | None = None,
        callback: Any = None,
        disable_pbar: bool = False,
        seed: int | None = None,
    ) -> Tensor:
        """ComfyUI's GUIDER contract, for its own sampler nodes: latents ``[b 64 t]`` in and out, on the CPU.

        A denoise mask is a repaint that keeps everything outside.
        """
        levels = sigmas.tolist()
        schedule.check(levels)
        host, frames = current_host(), latent_image.shape[-1]
        wanted = find({"samples": latent_image, "noise_mask": denoise_mask}, frames)
        host.advise(self.hints(levels, frames / parameters.FRAME_RATE, wanted))

        def run(attempt: Strategy, device: torch.device) -> Tensor:
            x, source = (y.transpose(1, 2).float().to(device) for y in (noise, latent_image))
            job = self.job(x, source, levels, wanted, attempt.together)
            preview = self.preview(job, frames)

            def watch(index: int, total: int, x0: Tensor) -> None:
                # ComfyUI's own callback moves the bar; it has no picture of audio.
                shown = preview.show(index + 1, total, x0)
                if shown is not None:
                    bar.update(index + 1, shown)

            with host.progress(len(levels) - 1) as bar:
                return comfy_samplers.sample(job, self, sampler, seed or 0, _watched(watch, callback)).cpu()

        result = run_with_retries(host, "sampling", [self.network], self.attempts(len(noise), frames, wanted), run)
        refuse_damaged(result, self.network)
        return result.transpose(1, 2).contiguous()

    def preview(self, job: Job, frames: int) -> LivePreview:
        """The pictures of a run, for a song of so many latent frames."""
        region = None if job.region is None else job.region.mask
        return LivePreview(current_host().preview_size(), self.network.silent(frames)[-1], region, frames)

    def job(
        self, noise: Tensor, latents: Tensor, sigmas: list[float], edit: Edit | None, together: bool | None = None
    ) -> Job:
        """What the sampler needs for these latents; everything that stays the same during a run is computed here.

        together: whether the halves of a guided step go in one batch; None leaves it to the predictor.
        """
        batch, frames, _ = noise.shape

        def make(context: Tensor, released: bool) -> Predictor:
            positive, negative = self.positive, self.negative
            if released:
                positive = conditioning.without_source(positive)
                negative = None if negative is None else conditioning.without_source(negative)
            condition, against, weights = self._condition(positive, batch, noise.device), None, [1.0]
            if negative is not None and not all(negative.empty):
                against = self._condition(negative, batch, noise.device)
                weights = [0.0 if empty else self.negative_weight for empty in negative.empty]
            predictor = Predictor(self.network, condition, context, against, weights, together)
            predictor.precompute_timesteps(sigmas[:-1])
            return predictor

        if edit is not None:
            return prepare(edit, self.network, make, noise, latents, sigmas)
        source = extended(latents, self.network, frames)
        context = conditioning.source_context(self.network, self.positive, frames)
        return Job(make(context, False), start(noise, source, sigmas[0]), sigmas, noise, source, None, None)

    def _condition(self, prompted: PromptConditioning, batch: int, device: torch.device) -> Condition:
        if prompted.batch not in (1, batch):
            raise ValueError(f"the conditioning holds {prompted.batch} prompts for {batch} songs; give 1 or {batch}")
        return conditioning.encode(self.network, prompted, device)


def _watched(watch: Watch, callback: Any = None) -> Any:
    """ComfyUI's ``(step, x0, x, total)`` of channel-first latents, as a watch, and the callback of another node."""

    def on_step(step: int, x0: Tensor, x: Tensor, total: int) -> None:
        if callback is not None:
            callback(step, x0, x, total)
        watch(step, total, x0.transpose(1, 2))

    return on_step


def refuse_damaged(result: Tensor, network: AceStep) -> None:
    """NaN never leaves as a song; say where it came from."""
    if bool(torch.isfinite(result).all()):
        return
    damaged = first_damaged(network)
    if damaged is not None:
        raise ValueError(f"the checkpoint is damaged: {damaged} holds NaN or infinity; fetch the file again")
    raise ValueError(
        f"the network produced NaN or infinity in {network.null_condition_emb.dtype}; choose precision bf16 or fp32 in "
        "the loader"
    )
