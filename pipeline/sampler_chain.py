"""The nodes that lead to a sampler in a graph in ComfyUI's API format."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from ..parameters import ids, native

EMPTY_LATENTS = frozenset({ids.EMPTY_LATENT, native.EMPTY_LATENT})  # their seconds and batch_size say what is made

Node = Mapping[str, Any]
Nodes = Mapping[str, Node]
Inputs = Mapping[str, Any]


class UnknownRun(ValueError):  # noqa: N818 - says what the run is
    """The graph does not determine the run; the message says what has to be known first."""


@dataclass(frozen=True)
class SamplerChain:
    """The nodes that one sampler's sockets lead to, the nearest first. guiders: modifiers and curves, then the guidance
    node; models: nodes for speed, then the loader."""

    graph: Nodes
    sampler: Inputs
    guiders: tuple[Node, ...]
    models: tuple[Node, ...]
    latent: Node

    def inputs_of(self, nodes: tuple[Node, ...], node_id: str) -> list[Inputs]:
        return [node["inputs"] for node in nodes if node["class_type"] == node_id]


def chain_of(graph: Nodes, sampler_id: str) -> SamplerChain:
    """The chain of a sampler of this pack. Raises UnknownRun where other packs' nodes hide part of it."""
    sampler = graph[sampler_id]["inputs"]
    guiders = tuple(upstream(graph, sampler.get("guider"), "guider"))
    latent = next(upstream(graph, sampler.get("latent"), "latent"), None)
    guidance = next((node["inputs"] for node in guiders if node["class_type"] == ids.GUIDER), None)
    if guidance is None or latent is None:
        raise UnknownRun("its guidance or its latent comes from nodes of another pack")
    models = tuple(upstream(graph, guidance.get("model"), "model"))
    if not any(node["class_type"] == ids.LOADER for node in models):
        raise UnknownRun("its network comes from a loader of another pack")
    return SamplerChain(graph, sampler, guiders, models, latent)


def upstream(graph: Nodes, link: Any, socket: str) -> Iterator[Node]:
    """The node a link comes from, and on through that node's own input of the given name."""
    seen: set[str] = set()
    while isinstance(link, (list, tuple)) and str(link[0]) in graph and str(link[0]) not in seen:
        seen.add(str(link[0]))
        node = graph[str(link[0])]
        yield node
        link = node["inputs"].get(socket)


def length_of(chain: SamplerChain, source_seconds: float | None) -> float:
    """The length of the song in seconds: an empty latent's, else ``source_seconds``. Raises UnknownRun without it."""
    is_empty = chain.latent["class_type"] in EMPTY_LATENTS
    stated = chain.latent["inputs"].get("seconds") if is_empty else None
    length = stated if isinstance(stated, (int, float)) else source_seconds
    if length is None:
        raise UnknownRun("the length comes from a source; give it with --seconds")
    return length


def song_count(graph: Nodes, link: Any) -> int | None:
    """How many songs will come over a link; None where the nodes on the way to it do not tell before they run."""
    for _ in graph:
        node = graph.get(str(link[0])) if isinstance(link, (list, tuple)) and link else None
        kind = "" if node is None else str(node.get("class_type"))
        inputs: Inputs = {} if node is None else node.get("inputs") or {}
        if kind not in _PASSING_SONGS:
            songs = inputs.get("batch_size")
            # The others repeat the one song of a source, or take as many as the source has.
            lowest = _MAKING_SONGS.get(kind)
            return songs if lowest is not None and isinstance(songs, int) and songs >= lowest else None
        link = inputs.get(_PASSING_SONGS[kind])
    return None


# The input over which nodes get the songs that they pass on, one for one.
_PASSING_SONGS = {
    ids.UPLOAD: "encoded",
    ids.WEBHOOK: "encoded",
    ids.ENCODE_AUDIO: "audio",
    ids.DECODE: "latent",
    ids.SAMPLER: "latent",
    "VAEDecodeAudio": "samples",
    "KSampler": "latent_image",
    "SamplerCustomAdvanced": "latent_image",
}
# Nodes with a batch_size, and from which value on it is the number of songs.
_MAKING_SONGS = {
    ids.EMPTY_LATENT: 1,
    "EmptyAceStep1.5LatentAudio": 1,
    ids.COVER: 2,
    ids.REPAINT: 2,
    ids.TRACKS: 2,
}
