"""What a run of ComfyUI's own sampler nodes needs, read off a graph before any node runs."""

from __future__ import annotations

from collections.abc import Iterable
from math import ceil
from typing import Any

import torch

from ... import parameters
from ...host import current_host
from ...model.fit import Networks, build_on_meta
from ...model.formats.storage import describe_storage
from ...model.linear import quantise
from ...model.network import AceStep
from ...model.precision import choose_dtype, text_vae_dtype
from ...model.text import CAPTION_LIMIT, LYRIC_LIMIT
from ...parameters import ids
from ...sampler.guidance import PARAMETER_NAMES, Guidance
from ..graph_run import TEMPLATE
from ..native import loading
from ..run import PromptSize, Run
from ..sampler_chain import EMPTY_LATENTS, Inputs, Node, Nodes, UnknownRun, upstream

SAMPLERS = frozenset({"KSampler", "KSamplerAdvanced", "SamplerCustom", "SamplerCustomAdvanced"})
_GUIDERS = frozenset({"CFGGuider", "BasicGuider"})
_MODELS = frozenset({"UNETLoader", "CheckpointLoaderSimple", ids.LOADER})
_CLIPS = frozenset({"CLIPLoader", "DualCLIPLoader", "CheckpointLoaderSimple"})
_VAES = frozenset({"VAELoader", "CheckpointLoaderSimple"})
_ENCODERS = frozenset({"TextEncodeAceStepAudio1.5", ids.ENCODE})


def models(graph: Nodes, sampler: Inputs) -> tuple[Node, ...]:
    """The nodes that a sampler's network comes through, the loader last. Raises UnknownRun without one."""
    nodes = tuple(upstream(graph, _guider(graph, sampler).get("model"), "model"))
    _first(nodes[-1:], _MODELS, "network")
    return nodes


def read_networks(graph: Nodes, sampler: Inputs, device: torch.device, dtype_name: str) -> tuple[Networks, str]:
    """The networks that ComfyUI's loaders would load, on the meta device, and how the first file stores its weights.

    dtype_name: a precision of the loader. Raises UnknownRun where others load one, CheckpointError.
    """
    model, prompt = models(graph, sampler)[-1], _prompt(graph, sampler)
    clip = _first(upstream(graph, _link(prompt, "clip", "text_encoder"), "clip"), _CLIPS, "text encoder")
    vae = _first(graph.values(), _VAES, "VAE")
    if any(isinstance(value, (list, tuple)) for node in (model, clip, vae) for value in node["inputs"].values()):
        raise UnknownRun("the name of a model file comes over a link")
    dtype = choose_dtype(dtype_name, device)
    files = loading.open_parts(current_host(), *((node["class_type"], node["inputs"]) for node in (model, clip, vae)))
    networks = build_on_meta(*files, (dtype, text_vae_dtype(dtype)))
    weights = loading.WEIGHT_DTYPES.get(model["inputs"].get("weight_dtype", "default"), quantise.AS_LOADED)
    stored = describe_storage(files[0].network)
    return networks._replace(network=quantise.convert(networks.network, weights)), stored


def run_of(graph: Nodes, sampler: Inputs, network: AceStep, source_seconds: float | None) -> Run:
    """The run of a sampler node. Raises UnknownRun where its length comes from a source and is not given."""
    latent = next(upstream(graph, _link(sampler, "latent_image", "latent"), "samples"), None)
    inputs = latent["inputs"] if latent is not None and latent["class_type"] in EMPTY_LATENTS else {}
    seconds = inputs.get("seconds") if isinstance(inputs.get("seconds"), (int, float)) else source_seconds
    if seconds is None:
        raise UnknownRun("the length comes from a source; give it with --seconds")
    songs, cfg = inputs.get("batch_size", 1), _guider(graph, sampler).get("cfg", 1.0)
    lyrics = _prompt(graph, sampler).get("lyrics")
    tokens = min(LYRIC_LIMIT, len(lyrics.encode()) + TEMPLATE) if isinstance(lyrics, str) else LYRIC_LIMIT
    return Run(
        model=network.name,
        training=network.training_kind,
        seeds=(0,) * (songs if isinstance(songs, int) else 1),
        frames=max(1, ceil(seconds * parameters.FRAME_RATE)),
        seconds=seconds,
        prompts=(None,),
        prompt_size=PromptSize(CAPTION_LIMIT, tokens),
        prompt_task=None,
        negative=(None,) if cfg != 1.0 else (),
        negative_weight=1.0,
        edit=None,
        guidance=_guidance(cfg),
        modifiers=(),
        sigmas=(),
        solver=None,
    )


def _guidance(cfg: Any) -> Guidance:
    """Plain guidance. A link's value is not known before the run, so the plan takes both halves, which need more."""
    values = {field: parameters.get(name).default for field, name in PARAMETER_NAMES.items()}
    is_guided = cfg != 1.0
    return Guidance(**{**values, "type": "cfg", "scale": values["scale"] if is_guided else 1.0})


def _guider(graph: Nodes, sampler: Inputs) -> Inputs:
    """The inputs with model, positive and cfg: of a guider node, or of the sampler itself."""
    if "guider" not in sampler:
        return sampler
    return _first(upstream(graph, sampler["guider"], "guider"), _GUIDERS, "guidance")["inputs"]


def _prompt(graph: Nodes, sampler: Inputs) -> Inputs:
    nodes = upstream(graph, _link(_guider(graph, sampler), "positive", "conditioning"), "conditioning")
    return _first(nodes, _ENCODERS, "prompt")["inputs"]


def _link(inputs: Inputs, *names: str) -> Any:
    return next((inputs[name] for name in names if name in inputs), None)


def _first(nodes: Iterable[Node], classes: frozenset[str], part: str) -> Node:
    node = next((node for node in nodes if node["class_type"] in classes), None)
    if node is None:
        raise UnknownRun(f"its {part} comes from none of {', '.join(sorted(classes))}")
    return node
