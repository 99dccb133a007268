"""What a file says about its song: title, seed, settings, and the graph that ComfyUI loads from it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from ..parameters import ids
from ..sampler.noise import seeds_at
from ..transfer.errors import redacted

SEEDS = ("seed", "noise_seed")
OWN_NODES = frozenset(value for name, value in vars(ids).items() if name.isupper())
PLAIN_TAGS = ("title", "track")  # plain words; all other tags are JSON


def tags(
    prompt: Mapping[str, Any] | None,
    extra: Mapping[str, Any] | None,
    node_id: str | None,
    title: str,
    index: int,
    count: int,
) -> dict[str, str]:
    """Tags of song `index` of `count` that the node `node_id` puts out.

    prompt, extra: ComfyUI's hidden inputs PROMPT and EXTRA_PNGINFO, kept under the names ComfyUI looks for when a file
    is dropped on its canvas (prompt, workflow). seed: that of the whole batch, where the graph has one; track: the
    song's position in it. parameters: the settings of the nodes upstream. URLs lose their query and credentials
    everywhere.
    """
    graph = _without_secrets(prompt or {})
    result: dict[str, str] = {"title": title} if title else {}
    if count > 1:
        result["track"] = f"{index + 1}/{count}"
    nodes = _upstream(graph, node_id)
    if (seed := _seed(nodes)) is not None:
        result["seed"] = json.dumps(seed)
    if settings := _settings(nodes):
        result["parameters"] = json.dumps(settings)
    if prompt is not None:
        result["prompt"] = json.dumps(graph)
    return result | {key: json.dumps(_without_secrets(value)) for key, value in (extra or {}).items()}


def read(tags: Mapping[str, str]) -> dict[str, Any]:
    """Tags as the values they were made from."""
    return {name: text if name in PLAIN_TAGS else json.loads(text) for name, text in tags.items()}


def song_seed(tags: Mapping[str, str]) -> dict[str, str]:
    """The seed of a song by its tags, for the browser: {"seed"}, {"batch_seed"} or nothing.

    Song i of a batch uses seed + i where only this pack's nodes made it; other nodes may draw the noise of a batch from
    one seed, or take songs out of it. Text, because JavaScript rounds large numbers.
    """
    if "seed" not in tags:
        return {}
    kinds = [name.split()[0] for name in json.loads(tags.get("parameters", "{}"))]
    if not set(kinds) <= OWN_NODES:
        return {"batch_seed": tags["seed"]}
    index = int(tags.get("track", "1").split("/")[0]) - 1
    return {"seed": str(seeds_at(json.loads(tags["seed"]), [index])[0])}


def _upstream(graph: Mapping[str, Any], node_id: str | None) -> dict[str, Any]:
    """The nodes that `node_id` depends on, the nearest first."""
    queue, nodes = [node_id], {}
    for current in queue:
        for _, source in _links(graph.get(current or "", {})):
            if source in graph and source not in nodes and source != node_id:
                nodes[source] = graph[source]
                queue.append(source)
    return nodes


def _links(call: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """(input, id of the node it is linked to) for every link of a node in API format."""
    for name, value in call.get("inputs", {}).items():
        if _is_link(value):
            yield name, value[0]


def _is_link(value: Any) -> bool:
    return isinstance(value, list) and len(value) == 2 and isinstance(value[0], str) and isinstance(value[1], int)


def _constants(call: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in call.get("inputs", {}).items() if not _is_link(value)}


def _seed(nodes: Mapping[str, Any]) -> int | None:
    """The one seed that the nodes have; None for no seed or several."""
    seeds = set()
    for call in nodes.values():
        # A sampler with a noise source connected leaves its own seed unused.
        if "noise" not in dict(_links(call)):
            seeds |= {value for name, value in _constants(call).items() if name in SEEDS and type(value) is int}
    return seeds.pop() if len(seeds) == 1 else None


def _settings(nodes: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Class -> input -> value for each node; a class that occurs twice is followed by its node's id."""
    classes = [call.get("class_type", "") for call in nodes.values()]
    return {
        kind if classes.count(kind) == 1 else f"{kind} {node_id}": constants
        for (node_id, call), kind in zip(nodes.items(), classes, strict=True)
        if (constants := _constants(call))
    }


def _without_secrets(value: Any) -> Any:
    """A copy of a part of a graph in which texts that consist of URLs have lost their queries and credentials."""
    if isinstance(value, Mapping):
        # Download addresses of models are under properties, and no secret.
        return {key: item if key == "properties" else _without_secrets(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_without_secrets(item) for item in value]
    lines = value.split() if isinstance(value, str) else []
    if not lines or not all(line.lower().startswith(("http://", "https://")) for line in lines):
        return value
    bare = [redacted(line) for line in lines]
    return value if bare == lines else "\n".join(bare)
