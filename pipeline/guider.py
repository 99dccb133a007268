"""The guider: a network bound to its prompt and guidance. Here the network and the sampling mathematics meet."""

from __future__ import annotations

from collections.abc import Callable, Sequence
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
from ..sampler.noise import draw, seeds_for
from ..sampler.plot import Trace, Tracer
from . import comfy_samplers, conditioning, model_socket
from .advice.checks import advice_on
from .conditioning import PromptConditioning
from .edit import Edit, PreparedRun, edit_of, prepare, with_silence
from .memory.oom_retry import Strategy, run_with_retries
from .memory.plan import sampling_strategies
from .preview import LivePreview
from .run import PromptSize, Run
from .solver_sampler import SolverSampler

# Called after every step with its index, the number of steps, and the estimate of the clean latent ``[b t c]``.
OnStep = Callable[[int, int, Tensor], None]


@dataclass(frozen=True)
class Guider:
    """A MODEL, its prompt and how strongly to follow it. negative None is the learned null condition."""

    model: Any
    positive: PromptConditioning
    negative: PromptConditioning | None
    guidance: Guidance
    negative_weight: float = 1.0
    modifiers: tuple[Modifier, ...] = ()

    @property
    def network(self) -> AceStep:
        return model_socket.network_of(self.model)

    def describe(
        self,
        seeds: Sequence[int],
        frames: int,
        sigmas: Sequence[float],
        *,
        seconds: float,
        edit: Edit | None,
        sampler: Any,
    ) -> Run:
        """The run that these settings make. frames, seconds: see `Run`. sampler: a SAMPLER, ours or another."""
        prompt, negative = self.positive, self.negative
        size = PromptSize(
            caption=prompt.text.shape[1],
            lyrics=prompt.lyrics.shape[1],
            references=max(1, len(prompt.references)),
            codes=bool(prompt.codes),
            code_seconds=max(map(len, prompt.codes), default=0) / conditioning.CODE_RATE,
        )
        return Run(
            model=self.network.name,
            training=self.network.training_kind,
            seeds=tuple(seeds),
            frames=frames,
            seconds=seconds,
            prompts=prompt.prompts,
            prompt_size=size,
            prompt_task=prompt.task,
            negative=() if negative is None else negative.prompts,
            negative_weight=self.negative_weight,
            edit=edit,
            guidance=self.guidance,
            modifiers=self.modifiers,
            sigmas=tuple(sigmas),
            solver=sampler if isinstance(sampler, SolverSampler) else None,
        )

    def strategies(self, run: Run) -> list[Strategy]:
        """The ways to sample a run, for `run_with_retries`."""
        host = current_host()
        return sampling_strategies(self.network, run, host.compute_device(), host.memory_info())

    @property
    def model_patcher(self) -> Any:
        """What ComfyUI's sampler nodes ask a GUIDER for; only ComfyUI has it."""
        return current_host().sockets.sampling_patcher(self.model)

    def prepare(self, run: Run, noise: Tensor, latents: Tensor, batch_halves: bool | None = None) -> PreparedRun:
        """The tensors of a run; everything that stays the same during it is computed here.

        noise, latents: ``[b t c]`` on the run's device. batch_halves: whether the halves of a guided step share a
        batch; None leaves it to the predictor.
        """
        model_socket.refresh(self.model)

        def make_predictor(context: Tensor, after_switch: bool) -> Predictor:
            predictor = self._predictor(context, len(noise), noise.device, after_switch, batch_halves)
            predictor.precompute_timesteps(list(run.sigmas[:-1]))
            return predictor

        if run.edit is not None:
            return prepare(run.edit, self.network, make_predictor, noise, latents, run.sigmas)
        frames = noise.shape[1]
        source = with_silence(latents, self.network, frames)
        predictor = make_predictor(conditioning.source_context(self.network, self.positive, frames), False)
        x = start(noise, source, run.sigmas[0])
        return PreparedRun(predictor, x, run.sigmas, noise, source, None, None)

    def denoise(self, prepared: PreparedRun, run: Run, sampler: Any, on_step: OnStep) -> tuple[Tensor, Trace | None]:
        """Denoise with our solver or one of ComfyUI's samplers.

        Returns ``[b t c]`` and a trace of the steps; ComfyUI's samplers leave none.
        """
        if run.solver is None:
            callback = _comfy_callback(on_step)
            return comfy_samplers.sample(prepared, run, self.model_patcher, sampler, callback), None
        tracer = Tracer()

        def after_step(step: Step) -> None:
            on_step(step.index, step.total, step.x0)
            tracer.add(step)

        result = denoise(
            prepared.predictor,
            prepared.x,
            prepared.sigmas,
            guidance=run.guidance,
            solver=run.solver.solver(list(run.seeds)),
            region=prepared.region,
            switch=prepared.switch,
            modifiers=run.modifiers,
            on_step=after_step,
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

        A denoise mask is a repaint that keeps everything outside. A song shorter than the minimum is cut from one that
        long, whose missing noise continues the seed's.
        """
        levels = sigmas.tolist()
        schedule.check(levels)
        host, frames = current_host(), latent_image.shape[-1]
        edit = edit_of({"samples": latent_image, "noise_mask": denoise_mask}, frames)
        seeds = seeds_for(seed or 0, len(noise))
        run_frames = max(frames, parameters.MINIMUM_FRAMES)
        seconds = frames / parameters.FRAME_RATE
        run = self.describe(seeds, run_frames, levels, seconds=seconds, edit=edit, sampler=None)
        start_noise = _continued(noise.transpose(1, 2).float(), run)
        host.advise(advice_on("run", run))

        def work(strategy: Strategy, device: torch.device) -> Tensor:
            source = latent_image.transpose(1, 2).float().to(device)
            prepared = self.prepare(run, start_noise.to(device), source, strategy.batch_halves)
            preview = self.preview(prepared, frames)

            def on_step(index: int, total: int, x0: Tensor) -> None:
                # ComfyUI's own callback moves the bar; it has no picture of audio.
                picture = preview.show(index + 1, total, x0)
                if picture is not None:
                    bar.update(index + 1, picture)

            with host.progress(len(levels) - 1) as bar:
                step_callback = _comfy_callback(on_step, callback, frames)
                result = comfy_samplers.sample(prepared, run, self.model_patcher, sampler, step_callback)
                return result[:, :frames].cpu()

        result = run_with_retries(host, "sampling", [model_socket.held(self.model)], self.strategies(run), work)
        refuse_damaged(result, self.network)
        return result.transpose(1, 2).contiguous()

    def preview(self, prepared: PreparedRun, frames: int) -> LivePreview:
        """The pictures of a run, for a song of so many latent frames."""
        region = None if prepared.region is None else prepared.region.mask
        return LivePreview(current_host().preview_size(), self.network.silent(frames)[-1], region, frames)

    def _predictor(
        self, context: Tensor, songs: int, device: torch.device, after_switch: bool, batch_halves: bool | None
    ) -> Predictor:
        positive, negative = self.positive, self.negative
        if after_switch:
            positive = conditioning.without_source(positive)
            negative = None if negative is None else conditioning.without_source(negative)
        condition, against, weights = self._condition(positive, songs, device), None, [1.0]
        if negative is not None and not all(negative.empty):
            against = self._condition(negative, songs, device)
            weights = [0.0 if empty else self.negative_weight for empty in negative.empty]
        return Predictor(self.network, condition, context, against, weights, batch_halves)

    def _condition(self, prompt: PromptConditioning, songs: int, device: torch.device) -> Condition:
        if prompt.batch not in (1, songs):
            raise ValueError(f"the conditioning holds {prompt.batch} prompts for {songs} songs; give 1 or {songs}")
        return conditioning.encode(self.network, prompt, device)


def _continued(noise: Tensor, run: Run) -> Tensor:
    """Noise ``[b t c]`` for all the frames that a run takes: that of a shorter song, continued from its seeds."""
    frames, channels = noise.shape[1:]
    return torch.cat([noise.cpu(), draw(run.seeds, run.frames, channels)[:, frames:]], dim=1)


def _comfy_callback(on_step: OnStep, callback: Any = None, frames: int | None = None) -> Any:
    """ComfyUI's ``(step, x0, x, total)`` of channel-first latents: first another node's callback, then ours.

    frames: what the other node is shown of a run that takes more; None for all.
    """

    def step_callback(step: int, x0: Tensor, x: Tensor, total: int) -> None:
        if callback is not None:
            callback(step, x0[..., :frames], x[..., :frames], total)
        on_step(step, total, x0.transpose(1, 2))

    return step_callback


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
