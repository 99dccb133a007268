"""What a workflow will ask of memory, read off its graph before any node runs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import ceil
from typing import Any

import torch

from .. import parameters
from ..host import current_host
from ..host.offload.accelerator import MemoryInfo
from ..model import demo, quantise
from ..model.checkpoint import Networks, build_on_meta
from ..model.network import AceStep
from ..model.precision import choose, side_dtype
from ..model.text import CAPTION_LIMIT, LYRIC_LIMIT
from ..parameters import ids
from . import memory_plan, memory_speed, model_files
from .memory_estimate import Song
from .memory_plan import MemoryPlan

TEMPLATE = 64  # tokens of a prompt around the lyrics, at most

Nodes = Mapping[str, Mapping[str, Any]]


@dataclass(frozen=True)
class Forecast:
    """The plan of one sampler, or, in ``unknown``, what has to be known first."""

    node: str
    plan: MemoryPlan | None
    unknown: str = ""


def forecast(graph: Nodes, seconds: float | None = None, card: MemoryInfo | None = None) -> list[Forecast]:
    """The plan of every sampler of this pack in a graph in ComfyUI's API format.

    seconds: the length where the graph does not tell it, as with a source. card: None takes the host's own; else it is
    a graphics card that computes bf16. Model files are opened for their headers only.
    """
    return [_of(name, graph, seconds, card) for name, node in graph.items() if node["class_type"] == ids.SAMPLER]


def _of(name: str, graph: Nodes, seconds: float | None, card: MemoryInfo | None) -> Forecast:
    sampler = graph[name]["inputs"]
    guiders = list(_above(graph, sampler.get("guider"), "guider"))
    guider = next((node for node in guiders if node["class_type"] == ids.GUIDER), None)
    latent = next(_above(graph, sampler.get("latent"), "latent"), None)
    if guider is None or latent is None:
        return Forecast(name, None, "its guidance or its latent comes from nodes of another pack")
    inputs = guider["inputs"]
    models = list(_above(graph, inputs.get("model"), "model"))
    loaders = [node["inputs"] for node in models if node["class_type"] == ids.LOADER]
    if not loaders:
        return Forecast(name, None, "its network comes from a loader of another pack")
    told = latent["inputs"].get("seconds") if latent["class_type"] == ids.EMPTY_LATENT else None
    length = told if isinstance(told, (int, float)) else seconds
    if length is None:
        return Forecast(name, None, "the length comes from a source; give it with --seconds")
    songs = latent["inputs"].get("batch_size", 1) if latent["class_type"] == ids.EMPTY_LATENT else 1
    scale = inputs.get("scale", parameters.get("guidance_scale").default)
    curved = any(node["class_type"] == ids.GUIDANCE_CURVE for node in guiders)
    song = Song(
        songs if isinstance(songs, int) else 1,
        max(ceil(length * parameters.FRAME_RATE), parameters.MINIMUM_FRAMES),
        1,
        lyrics=_lyrics(graph, inputs.get("positive")),
        caption=CAPTION_LIMIT,
        guided=curved or not isinstance(scale, (int, float)) or scale > 1,
        negative="negative" in inputs,
        codes=latent["class_type"] == ids.COVER,
    )
    host = current_host()
    device = host.compute_device() if card is None else torch.device("cuda")
    checkpoint = _checkpoint(loaders[0], device, imagined=card is not None)
    network = _sped(checkpoint.network, [node["inputs"] for node in models if node["class_type"] == ids.SPEED])
    more = memory_speed.memory(network, song.songs, song.frames)
    card = host.memory_info() if card is None else card
    return Forecast(name, memory_plan.make(checkpoint._replace(network=network), song, device, card, more))


def _sped(network: AceStep, settings: Sequence[Mapping[str, Any]]) -> AceStep:
    """What the nodes for speed make of a network. settings: their inputs, the node nearest to the guider first."""
    for inputs in reversed(settings):
        weights, cache = inputs.get("weights", quantise.AS_LOADED), inputs.get("step_cache", 0.0)
        # What a link brings is not known before the run: then the plan is made for what needs more.
        network = quantise.share(network, weights if isinstance(weights, str) else quantise.AS_LOADED)
        network.step_cache = cache if isinstance(cache, (int, float)) else 1.0
    return network


def _above(graph: Nodes, link: Any, socket: str) -> Iterator[Mapping[str, Any]]:
    """The node a link comes from, and on through its own input of that name."""
    seen: set[str] = set()
    while isinstance(link, (list, tuple)) and str(link[0]) in graph and str(link[0]) not in seen:
        seen.add(str(link[0]))
        node = graph[str(link[0])]
        yield node
        link = node["inputs"].get(socket)


def _lyrics(graph: Nodes, link: Any) -> int:
    """Tokens of the lyrics, at most: no token is shorter than a byte."""
    for node in _above(graph, link, "conditioning"):
        text = node["inputs"].get("lyrics") if node["class_type"] == ids.ENCODE else None
        if isinstance(text, str):
            return min(LYRIC_LIMIT, len(text.encode()) + TEMPLATE)
    return LYRIC_LIMIT


def _checkpoint(inputs: Mapping[str, Any], device: torch.device, imagined: bool) -> Networks:
    """The networks that a loader node would load. imagined: the device need not be here."""
    if inputs["model"] == demo.NAME:
        network, encoder, oobleck = demo.load()
        return Networks(network, encoder.model, oobleck)
    precision = inputs.get("precision", parameters.AUTO)
    if imagined and precision == parameters.AUTO:
        precision = "bf16"
    dtype = choose(precision, device)
    found = model_files.find(current_host(), inputs["model"], inputs["text_encoder"], inputs["vae"])
    return build_on_meta(*found, (dtype, side_dtype(dtype)))
