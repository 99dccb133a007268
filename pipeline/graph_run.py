"""The run of a sampler node, read off a graph before any node runs."""

from __future__ import annotations

from dataclasses import replace
from math import ceil
from typing import Any

from .. import parameters
from ..model.network import AceStep
from ..model.prompt import Metadata, Prompt, instruction
from ..model.text import CAPTION_LIMIT, LYRIC_LIMIT
from ..parameters import ids
from ..sampler import guidance, recipe_reader, schedule
from ..sampler.modifiers import GuidanceRescale, Modifier, NormClamp, VelocityEma, Wavelet
from ..sampler.noise import seeds_for
from .edit import Edit
from .run import PromptSize, Run
from .sampler_chain import EMPTY_LATENTS, Inputs, Node, Nodes, SamplerChain, upstream
from .solver_sampler import SolverSampler

# Tokens of a prompt around the lyrics, at most.
TEMPLATE = 64


def run_of(chain: SamplerChain, network: AceStep, seconds: float) -> Run:
    """The run of a chain. What a link provides is not known yet and takes the widget's default.

    seconds: the length of the song, see `length_of`. Raises ValueError for values out of range.
    """
    (inputs, *_) = chain.inputs_of(chain.guiders, ids.GUIDER)
    songs = _number(chain.latent["inputs"], "batch_size", 1) if chain.latent["class_type"] in EMPTY_LATENTS else 1
    guided, modifiers = _guidance(chain, inputs)
    prompt, lyric_tokens = _prompt(chain, inputs.get("positive"), seconds)
    return Run(
        model=network.name,
        training=network.training_kind,
        seeds=tuple(seeds_for(_number(chain.sampler, "seed", 0), songs)),
        frames=max(ceil(seconds * parameters.FRAME_RATE), parameters.MINIMUM_FRAMES),
        seconds=seconds,
        prompts=(prompt,),
        prompt_size=PromptSize(CAPTION_LIMIT, lyric_tokens),
        prompt_task=None if prompt is None else _text(_encode_node(chain.graph, inputs.get("positive")), "task"),
        negative=(_prompt(chain, inputs["negative"], seconds)[0],) if "negative" in inputs else (),
        negative_weight=_number(inputs, "negative_weight", parameters.get("negative_weight").default),
        edit=_edit(chain.latent),
        guidance=guided,
        modifiers=modifiers,
        sigmas=_sigmas(chain),
        solver=_solver(chain),
    )


def _guidance(chain: SamplerChain, inputs: Inputs) -> tuple[guidance.Guidance, tuple[Modifier, ...]]:
    """The guidance node's settings, changed by the curve, modifier and recipe nodes on the way to the sampler."""
    values = {field: _setting(inputs, field, name) for field, name in guidance.PARAMETER_NAMES.items()}
    guided, modifiers = guidance.Guidance(**values), ()
    for node in reversed(chain.guiders):
        kind, own = node["class_type"], node["inputs"]
        if kind == ids.GUIDANCE_CURVE:
            shape = _setting(own, "curve", "guidance_curve")
            end_scale = _setting(own, "end_scale", "guidance_end_scale")
            guided = replace(guided, curve=guidance.ScaleCurve(shape, end_scale))
        elif kind == ids.RECIPE:
            settings = recipe_reader.read(_text(own, "recipe"))
            guided, modifiers = settings.guidance(guided), (*modifiers, *settings.modifiers)
        elif kind in _MODIFIERS:
            modifier = _MODIFIERS[kind]
            arguments = {field: _setting(own, field, name) for field, name in modifier.SETTINGS.items()}
            modifiers = (*modifiers, modifier(**arguments))
    return guided, modifiers


def _prompt(chain: SamplerChain, link: Any, seconds: float) -> tuple[Prompt | None, int]:
    """The prompt behind a link, and an upper bound of its lyric tokens: no token is shorter than a byte."""
    inputs = _encode_node(chain.graph, link)
    if inputs is None or not isinstance(inputs.get("lyrics"), str):
        return None, LYRIC_LIMIT
    lyrics, caption = inputs["lyrics"], inputs.get("caption")
    tokens = min(LYRIC_LIMIT, len(lyrics.encode()) + TEMPLATE)
    if not isinstance(caption, str):
        return None, tokens
    track_names = [track.strip() for track in _text(inputs, "tracks").split(",") if track.strip()]
    task = _text(inputs, "task", parameters.get("task").default)
    language = _text(inputs, "language", parameters.get("language").default)
    metadata = _metadata(chain, inputs, seconds)
    return Prompt(caption, lyrics, language, metadata, instruction(task, track_names)), tokens


def _metadata(chain: SamplerChain, inputs: Inputs, seconds: float) -> Metadata:
    auto, duration = parameters.AUTO, inputs.get("duration")
    if isinstance(duration, (list, tuple)) and chain.graph.get(str(duration[0])) is chain.latent:
        duration = seconds  # the latent's own output
    key_scale = _text(inputs, "key_scale", auto)
    time_signature = parameters.choices.spell(_setting(inputs, "time_signature", "time_signature"))
    return Metadata(
        bpm=_number(inputs, "bpm", 0) or None,
        time_signature=None if time_signature == auto else time_signature,
        key_scale=None if key_scale == auto else key_scale,
        duration=duration or None if isinstance(duration, (int, float)) else None,
    )


def _encode_node(graph: Nodes, link: Any) -> Inputs | None:
    """The inputs of the encode node behind a link, through nodes that pass a conditioning on."""
    nodes = upstream(graph, link, "conditioning")
    return next((node["inputs"] for node in nodes if node["class_type"] == ids.ENCODE), None)


def _edit(latent: Node) -> Edit | None:
    """The edit that the latent's node will set up. Its mask is not known before the source is read."""
    kind, inputs = latent["class_type"], latent["inputs"]
    if kind == ids.COVER:
        source_start = _setting(inputs, "source_start", "source_start")
        task = "cover" if inputs.get("codes", True) is not False else "cover-nofsq"
        return Edit(task, None, _setting(inputs, "strength", "cover_strength"), source_start=source_start)
    if kind == ids.REPAINT:
        return Edit("repaint", None, _setting(inputs, "strength", "strength"))
    if kind == ids.TRACKS:
        return Edit(_setting(inputs, "task", "track_task"), None, 1.0)
    return None


def _sigmas(chain: SamplerChain) -> tuple[float, ...]:
    node = next(upstream(chain.graph, chain.sampler.get("sigmas"), "sigmas"), None)
    if node is None:
        return ()
    inputs = node["inputs"]
    if node["class_type"] == ids.RECIPE:
        steps, shift = _setting(inputs, "steps", "steps"), _setting(inputs, "shift", "shift")
        return tuple(recipe_reader.read(_text(inputs, "recipe")).sigmas(steps, shift))
    if node["class_type"] != ids.SCHEDULE:
        return ()
    options = {field: _setting(inputs, field, name) for field, name in schedule.PARAMETER_NAMES.items()}
    name, sigmas = schedule.choose(_setting(inputs, "schedule", "schedule_type"), _text(inputs, "custom_sigmas"))
    return tuple(schedule.build(name, _setting(inputs, "steps", "steps"), schedule.Options(**options, sigmas=sigmas)))


def _solver(chain: SamplerChain) -> SolverSampler | None:
    link = chain.sampler.get("sampler")
    if link is None:
        return SolverSampler("euler", 0.0)
    node = next(upstream(chain.graph, link, "sampler"), None)
    if node is None or node["class_type"] not in (ids.SOLVER, ids.RECIPE):
        return None
    inputs = node["inputs"]
    if node["class_type"] == ids.RECIPE:
        solver = recipe_reader.read(_text(inputs, "recipe")).solver
        return SolverSampler(solver.type, solver.settings.get("eta", 0.0))
    return SolverSampler(_setting(inputs, "solver", "solver_type"), _setting(inputs, "eta", "solver_eta"))


def _setting(inputs: Inputs, name: str, parameter: str) -> Any:
    """A widget's value; its default where a link takes its place or it is absent."""
    value = inputs.get(name)
    return parameters.get(parameter).default if value is None or isinstance(value, (list, tuple)) else value


def _number(inputs: Inputs, name: str, default: Any) -> Any:
    value = inputs.get(name)
    return value if isinstance(value, (int, float)) else default


def _text(inputs: Inputs | None, name: str, default: str = "") -> str:
    value = None if inputs is None else inputs.get(name)
    return value if isinstance(value, str) else default


_MODIFIERS: dict[str, type[Modifier]] = {
    ids.NORM_CLAMP: NormClamp,
    ids.VELOCITY_EMA: VelocityEma,
    ids.GUIDANCE_RESCALE: GuidanceRescale,
    ids.WAVELET: Wavelet,
}
