"""The memory plan of a workflow, made from its graph before any node runs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from ... import parameters
from ...host import current_host
from ...host.offload.accelerator import MemoryInfo
from ...model import demo
from ...model.fit import Networks, build_on_meta
from ...model.formats.storage import describe_storage
from ...model.linear import quantise
from ...model.network import AceStep
from ...model.precision import choose_dtype, text_vae_dtype
from ...parameters import ids
from .. import model_files
from ..graph_run import run_of
from ..sampler_chain import Inputs, Nodes, UnknownRun, chain_of, length_of
from . import native_forecast
from .plan import MemoryPlan, make_plan


@dataclass(frozen=True)
class Forecast:
    """The plan of one sampler, or, in ``unknown``, what has to be known first. storage: the model file's, in words."""

    node: str
    plan: MemoryPlan | None
    unknown: str = ""
    storage: str = ""


def forecast(graph: Nodes, seconds: float | None = None, card: MemoryInfo | None = None) -> list[Forecast]:
    """The plan of every sampler in a graph in ComfyUI's API format, of this pack's and of ComfyUI's own nodes.

    seconds: the length where the graph does not state it, as with a source. card: a graphics card that computes bf16;
    None takes the host's own device. Model files are opened for their headers only.
    """
    kinds = {ids.SAMPLER: _forecast, **dict.fromkeys(native_forecast.SAMPLERS, _forecast_native)}
    samplers = [(node_id, kinds[node["class_type"]]) for node_id, node in graph.items() if node["class_type"] in kinds]
    return [make(graph, node_id, seconds, card) for node_id, make in samplers]


def _forecast_native(graph: Nodes, node_id: str, seconds: float | None, card: MemoryInfo | None) -> Forecast:
    device, sampler = _device(card), graph[node_id]["inputs"]
    try:
        models = native_forecast.models(graph, sampler)
        if models[-1]["class_type"] == ids.LOADER:
            networks, storage = _networks(models[-1]["inputs"], device, is_hypothetical=card is not None)
        else:
            precision = parameters.AUTO if card is None else "bf16"
            networks, storage = native_forecast.read_networks(graph, sampler, device, precision)
        network = _with_speed(networks.network, [node["inputs"] for node in models if node["class_type"] == ids.SPEED])
        run = native_forecast.run_of(graph, sampler, network, seconds)
    except UnknownRun as error:
        return Forecast(node_id, None, str(error))
    plan = make_plan(networks._replace(network=network), run, device, _memory(card))
    return Forecast(node_id, plan, storage=storage)


def _forecast(graph: Nodes, node_id: str, seconds: float | None, card: MemoryInfo | None) -> Forecast:
    device = _device(card)
    try:
        chain = chain_of(graph, node_id)
        length = length_of(chain, seconds)
    except UnknownRun as error:
        return Forecast(node_id, None, str(error))
    (loader, *_) = chain.inputs_of(chain.models, ids.LOADER)
    networks, storage = _networks(loader, device, is_hypothetical=card is not None)
    network = _with_speed(networks.network, chain.inputs_of(chain.models, ids.SPEED))
    run = run_of(chain, network, length)
    plan = make_plan(networks._replace(network=network), run, device, _memory(card))
    return Forecast(node_id, plan, storage=storage)


def _device(card: MemoryInfo | None) -> torch.device:
    return current_host().compute_device() if card is None else torch.device("cuda")


def _memory(card: MemoryInfo | None) -> MemoryInfo | None:
    return current_host().memory_info() if card is None else card


def _with_speed(network: AceStep, settings: Sequence[Inputs]) -> AceStep:
    """What the nodes for speed make of a network. settings: their inputs, the node nearest to the guider first."""
    for inputs in reversed(settings):
        weights, cache = inputs.get("weights", quantise.AS_LOADED), inputs.get("step_cache", 0.0)
        # A link's value is not known before the run, so the plan assumes the setting that needs more memory.
        network = quantise.convert(network, weights if isinstance(weights, str) else quantise.AS_LOADED)
        network.step_cache = cache if isinstance(cache, (int, float)) else 1.0
    return network


def _networks(inputs: Inputs, device: torch.device, is_hypothetical: bool) -> tuple[Networks, str]:
    """The networks that a loader node would load, and how the file of the first stores its weights.

    is_hypothetical: the device need not exist.
    """
    if inputs["model"] == demo.NAME:
        network, encoder, oobleck = demo.load()
        return Networks(network, encoder.model, oobleck), ""
    precision = inputs.get("precision", parameters.AUTO)
    if is_hypothetical and precision == parameters.AUTO:
        precision = "bf16"
    dtype = choose_dtype(precision, device)
    files = model_files.find(current_host(), inputs["model"], inputs["text_encoder"], inputs["vae"])
    return build_on_meta(*files, (dtype, text_vae_dtype(dtype))), describe_storage(files[0].network)
