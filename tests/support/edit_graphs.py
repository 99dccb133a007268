"""Graphs that work on a source, as tests vary them, and files and objects for them to work on."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from unittest import mock

import graphs
import numpy as np
import soundfile
import torch
from torch import Tensor

from acestep_xl.host.headless import HeadlessHost
from acestep_xl.model import random_network

RATE, FRAME = 48000, 1920
Graph = dict[str, dict[str, Any]]

parts = functools.cache(random_network.load)


class InputHost(HeadlessHost):
    """The plain host with a folder of recordings."""

    def __init__(self, output: Path, recordings: Path | None = None) -> None:
        super().__init__([], output, device="cpu")
        self._recordings = recordings

    def input_directory(self) -> Path:
        return self._recordings or super().input_directory()


def node(kind: str, **inputs: Any) -> dict[str, Any]:
    return {"class_type": f"AceStepXL{kind}", "inputs": inputs}


def given(name: str) -> dict[str, Any]:
    """A node with an object of the test as its output; ``run`` gets the object under the same name."""
    return {"class_type": "Given", "inputs": {"name": name}}


def edit(task: str, kind: str, /, **inputs: Any) -> Graph:
    """text_to_music in two steps on the latent of an editing node, "edit", at the level it decodes to."""
    graph = graphs.text_to_music()
    del graph["empty"]
    graph["edit"] = node(kind, **inputs)
    graph["sample"]["inputs"]["latent"] = ["edit", 0]
    graph["text"]["inputs"] |= {"duration": ["edit", 1], "task": task}
    graph["schedule"]["inputs"]["steps"] = 2
    graph["decode"]["inputs"]["normalize"] = False
    return graph


def repaint(regions: str, source: dict[str, Any] | None = None, **inputs: Any) -> Graph:
    """A repaint of "source", a node with an AUDIO (None: of what the inputs name), spliced into it."""
    inputs = {"strength": 0.5, "crossfade": 0.05, "batch_size": 1, "mode": "balanced", **inputs}
    if source is not None:
        inputs = {"audio": ["source", 0], "vae": ["load", 2], **inputs}
    graph = edit("repaint", "Repaint", regions=regions, **inputs)
    if source is not None:
        graph["source"] = source
    graph["splice"] = node("Splice", audio=["decode", 0], latent=["sample", 0])
    graph["save"]["inputs"]["audio"] = ["splice", 0]
    return graph


def without_splice(graph: Graph) -> Graph:
    """The same run, of which only the decoded audio is saved."""
    del graph["splice"]
    graph["save"]["inputs"]["audio"] = ["decode", 0]
    return graph


def cover(source: dict[str, Any] | None = None, **inputs: Any) -> Graph:
    """A cover of "source", a node with an AUDIO (None: of what the inputs name)."""
    inputs = {"codes": True, "strength": 1.0, "source_start": 0.0, "batch_size": 1, **inputs}
    task = "cover" if inputs["codes"] else "cover-nofsq"
    if source is None:
        return edit(task, "Cover", **inputs)
    return {**edit(task, "Cover", audio=["source", 0], vae=["load", 2], **inputs), "source": source}


def run(
    output: Path,
    graph: Graph,
    settings: Mapping[str, Any] | None = None,
    *,
    objects: Mapping[str, Any] | None = None,
    recordings: Path | None = None,
    probes: tuple[str, ...] = (),
) -> graphs.Run:
    """Run a graph; objects are what its ``given`` nodes hand out."""
    held = dict(objects or {})

    class Given:
        FUNCTION = "give"
        RETURN_TYPES = ("*",)

        @classmethod
        def INPUT_TYPES(cls) -> dict[str, Any]:
            return {"required": {"name": ("STRING", {})}}

        def give(self, name: str) -> tuple[Any]:
            return (held[name],)

    classes = {**graphs.shipped_classes(), "Given": Given}
    with mock.patch.object(graphs, "shipped_classes", lambda: classes):
        host = InputHost(output, recordings)
        return graphs.run(output, settings, graph=graph, probes=probes, host=host)


def latents(output: Path, graph: Graph, settings: Mapping[str, Any] | None = None, **more: Any) -> Tensor:
    """The sampled latents ``[b 64 t]`` of a graph."""
    return run(output, graph, settings, probes=("sample",), **more).kept["sample"]["samples"]


def audio(samples: Tensor, rate: int = RATE) -> dict[str, Any]:
    """An AUDIO of ``[c n]``."""
    return {"waveform": samples[None], "sample_rate": rate}


def hiss(*shape: int, seed: int = 0) -> Tensor:
    """Noise within -0.5 .. 0.5, in which any two samples differ."""
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed)) - 0.5


def integers(channels: int, samples: int, bits: int, seed: int = 0) -> np.ndarray:
    """Noise over the whole range of integers of so many bits, ``[n c]`` in the upper bits of int32."""
    low, high = -(2 ** (bits - 1)), 2 ** (bits - 1)
    drawn = np.random.default_rng(seed).integers(low, high, (samples, channels))
    drawn[0], drawn[-1] = low, high - 1
    return (drawn << (32 - bits)).astype(np.int32)


def record(path: Path, samples: np.ndarray, bits: int, rate: int = RATE) -> Path:
    """Write ``[n c]`` integers of the upper bits of int32 to a WAV or FLAC file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, samples, rate, subtype=f"PCM_{bits}")
    return path


def read(path: Path) -> np.ndarray:
    """The integers of a file, ``[n c]`` in the upper bits of int32."""
    samples, rate = soundfile.read(path, dtype="int32", always_2d=True)
    assert rate == RATE
    return samples
