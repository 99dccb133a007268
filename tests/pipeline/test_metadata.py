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
