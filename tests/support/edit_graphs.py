"""Graphs that edit a source, and the files and objects that serve as one."""

from __future__ import annotations

import functools
import json
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

demo_networks = functools.cache(random_network.load)


class InputHost(HeadlessHost):
    """A headless host with an input folder of its own."""

    def __init__(self, output: Path, recordings: Path | None = None) -> None:
        super().__init__([], output, device="cpu")
        self._recordings = recordings

    def input_directory(self) -> Path:
        return self._recordings or super().input_directory()


def node(kind: str, **inputs: Any) -> dict[str, Any]:
    return {"class_type": f"AceStepXL{kind}", "inputs": inputs}


def object_node(name: str) -> dict[str, Any]:
    """A node that outputs the object which ``run`` receives under this name."""
    return {"class_type": "Object", "inputs": {"name": name}}


EXAMPLE = node("LoadAudio", audio="example")  # the melody that the loader ships, eight seconds
SOURCE = object_node("s")


def copy_node(graph: Graph, name: str, **inputs: Any) -> dict[str, Any]:
    """A copy of a node of the graph with other inputs."""
    copy = json.loads(json.dumps(graph[name]))
    copy["inputs"] |= inputs
    return copy


def text_to_music(seconds: float, *, batch_size: int = 1, task: str = "text2music") -> Graph:
    """A song without a source, in as many steps as the edits."""
    graph = graphs.text_to_music()
    graph["empty"]["inputs"] |= {"seconds": seconds, "batch_size": batch_size}
    graph["schedule"]["inputs"]["steps"] = 2
    graph["text"]["inputs"]["task"] = task
    return graph


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
    """A repaint of "source", a node that outputs AUDIO (None: of what the inputs name), spliced into it."""
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
    """The same run with only the decoded audio saved."""
    del graph["splice"]
    graph["save"]["inputs"]["audio"] = ["decode", 0]
    return graph


def cover(source: dict[str, Any] | None = None, **inputs: Any) -> Graph:
    """A cover of "source", a node that outputs AUDIO (None: of what the inputs name)."""
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
    """Run a graph. objects: what its object nodes output. recordings: the input folder."""

    class Object:
        FUNCTION = "get"
        RETURN_TYPES = ("*",)

        @classmethod
        def INPUT_TYPES(cls) -> dict[str, Any]:
            return {"required": {"name": ("STRING", {})}}

        def get(self, name: str) -> tuple[Any]:
            return ((objects or {})[name],)

    classes = {**graphs.shipped_classes(), "Object": Object}
    with mock.patch.object(graphs, "shipped_classes", lambda: classes):
        host = InputHost(output, recordings)
        return graphs.run(output, settings, graph=graph, probes=probes, host=host)


def run_repaint(output: Path, source: dict[str, Any], regions: str = "0.5-1", **inputs: Any) -> tuple[Tensor, Tensor]:
    """The song ``[2 n]`` after a repaint of an AUDIO, and the decoded music that was spliced into it."""
    graph, probes = repaint(regions, SOURCE, **inputs), ("splice", "decode")
    outputs = run(output, graph, objects={"s": source}, probes=probes).outputs
    return outputs["splice"]["waveform"][0], outputs["decode"]["waveform"][0]


def latents(
    output: Path,
    graph: Graph,
    settings: Mapping[str, Any] | None = None,
    *,
    objects: Mapping[str, Any] | None = None,
) -> Tensor:
    """The sampled latents ``[b 64 t]`` of a graph."""
    return run(output, graph, settings, objects=objects, probes=("sample",)).outputs["sample"]["samples"]


def audio(samples: Tensor, rate: int = RATE) -> dict[str, Any]:
    """An AUDIO of ``[c n]``."""
    return {"waveform": samples[None], "sample_rate": rate}


def white_noise(channels: int, samples: int, seed: int = 0) -> Tensor:
    """``[c n]`` within -0.5 .. 0.5; any two samples differ."""
    return torch.rand((channels, samples), generator=torch.Generator().manual_seed(seed)) - 0.5


def random_latents(frames: int) -> Tensor:
    """``[1 64 t]``, normally distributed."""
    return torch.randn(1, 64, frames, generator=torch.Generator().manual_seed(1))


def random_integers(channels: int, samples: int, bits: int, seed: int = 0) -> np.ndarray:
    """``[n c]`` over the full range of this bit depth, in the upper bits of int32."""
    low, high = -(2 ** (bits - 1)), 2 ** (bits - 1)
    integers = np.random.default_rng(seed).integers(low, high, (samples, channels))
    integers[0], integers[-1] = low, high - 1
    return (integers << (32 - bits)).astype(np.int32)


def write_integers(path: Path, samples: np.ndarray, bits: int, rate: int = RATE) -> Path:
    """Write ``[n c]`` integers in the upper bits of int32 to a WAV or FLAC file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, samples, rate, subtype=f"PCM_{bits}")
    return path


def read_integers(path: Path) -> np.ndarray:
    """The integers of a file, ``[n c]`` in the upper bits of int32."""
    samples, rate = soundfile.read(path, dtype="int32", always_2d=True)
    assert rate == RATE
    return samples
