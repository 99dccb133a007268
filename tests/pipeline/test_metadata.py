"""Tags of a file: the seed in use, the settings upstream, and no secrets."""

from __future__ import annotations

import json
import re
from typing import Any

from delivery_samples import SECRET
from hypothesis import given
from hypothesis import strategies as st

from acestep_xl.pipeline import metadata


def test_the_seed_is_the_one_in_use() -> None:
    seeds: Any = {
        "a": {"class_type": "Sampler", "inputs": {"seed": 1, "noise": ["b", 0]}},
        "b": {"class_type": "Noise", "inputs": {"noise_seed": 2}},
        "end": {"class_type": "Save", "inputs": {"audio": ["a", 0]}},
    }
    assert metadata.tags(seeds, None, "end", "", 0, 1)["seed"] == "2"
    seeds["a"]["inputs"]["other"] = seeds["a"]["inputs"].pop("noise")
    assert "seed" not in metadata.tags(seeds, None, "end", "", 0, 1)
    seeds["end"]["inputs"]["audio"] = ["b", 0]
    assert metadata.tags(seeds, None, "end", "", 0, 1)["seed"] == "2"
    assert "seed" not in metadata.tags(seeds, None, None, "", 0, 1)


def test_cycles_repeated_classes_and_missing_nodes_are_tolerated() -> None:
    graph: Any = {
        "1": {"class_type": "A", "inputs": {"x": ["2", 0], "y": 1}},
        "2": {"class_type": "A", "inputs": {"x": ["1", 0], "z": ["9", 0], "w": ["end", 0], "y": 2}},
        "end": {"class_type": "Save", "inputs": {"audio": ["1", 0], "format": "flac"}},
    }
    tags = metadata.tags(graph, None, "end", "", 0, 1)
    assert json.loads(tags["parameters"]) == {"A 1": {"y": 1}, "A 2": {"y": 2}}
    assert metadata.tags(None, None, "end", "", 0, 1) == {}


def test_only_urls_lose_their_queries() -> None:
    graph: Any = {
        "1": {
            "class_type": "Encode",
            "inputs": {"lyrics": "who? me?\nhttps://a.example/?b", "url": "https://a.example/b?c=d#e", "n": 3},
        }
    }
    inputs = json.loads(metadata.tags(graph, None, None, "", 0, 1)["prompt"])["1"]["inputs"]
    assert inputs == {"lyrics": "who? me?\nhttps://a.example/?b", "url": "https://a.example/b", "n": 3}
    models = {"nodes": [{"properties": {"models": [{"url": "https://a.example/m?download=true"}]}, "mode": 0}]}
    assert json.loads(metadata.tags(None, {"workflow": models}, None, "", 0, 1)["workflow"]) == models


VALUES = st.recursive(
    st.none()
    | st.integers()
    | st.text(max_size=5)
    | st.just(f"https://a.example/b?{SECRET}")
    | st.just(f"HTTP://k:{SECRET}@b/"),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=12,
)


@given(VALUES)
def test_secrets_of_urls_are_removed(value: Any) -> None:
    graph: Any = {"1": {"class_type": "A", "inputs": {"x": value}}}
    tags = metadata.tags(graph, {"workflow": value}, "1", "", 0, 1)
    assert SECRET not in json.dumps(tags)
    bare = re.sub(r"\?X-Amz[^\"]*|k:X-Amz[^@]*", "", json.dumps(value))
    assert json.loads(tags["workflow"]) == json.loads(bare.replace("HTTP://@b/", "HTTP://…@b/"))


def seed_of_song(index: int, count: int, **nodes: Any) -> dict[str, str]:
    """What the player is told of song `index` of `count`; nodes: what a song of seed 7 went through, by class."""
    graph: Any = {"s": {"class_type": "AceStepXLSampler", "inputs": {"seed": 7}}}
    last = "s"
    for kind, inputs in nodes.items():
        graph[kind] = {"class_type": kind, "inputs": {"from": [last, 0], **inputs}}
        last = kind
    graph["end"] = {"class_type": "AceStepXLSave", "inputs": {"audio": [last, 0]}}
    return metadata.song_seed(metadata.tags(graph, None, "end", "", index, count))


def test_each_song_of_a_batch_has_a_seed_of_its_own() -> None:
    assert [seed_of_song(index, 3, AceStepXLDecode={"fade_in": 1.0}) for index in range(3)] == [
        {"seed": "7"},
        {"seed": "8"},
        {"seed": "9"},
    ]
    assert seed_of_song(0, 1) == {"seed": "7"}
    largest = metadata.song_seed({"seed": str(2**64 - 1), "track": "2/2", "parameters": "{}"})
    assert largest == {"seed": "0"}, "as the sampler counts"


def test_only_the_seed_of_the_batch_is_known_where_other_nodes_take_part() -> None:
    assert seed_of_song(0, 1, LatentFromBatch={"batch_index": 2, "length": 1}) == {"batch_seed": "7"}
    noise: Any = {
        "n": {"class_type": "RandomNoise", "inputs": {"noise_seed": 5}},
        "end": {"class_type": "AceStepXLSave", "inputs": {"audio": ["n", 0]}},
    }
    assert metadata.song_seed(metadata.tags(noise, None, "end", "", 1, 2)) == {"batch_seed": "5"}
    assert metadata.song_seed({"title": "Mine"}) == {}
