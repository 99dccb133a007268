"""The text-to-music graph of the tests, and a way to run it without ComfyUI."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from acestep_xl.host import use
from acestep_xl.host.headless import HeadlessHost
from acestep_xl.runner.execute import execute
from acestep_xl.runner.node_table import NodeTable
from acestep_xl.runner.validate import validate
from acestep_xl.runner.workflow.read import read_workflow


class Probe:
    """Returns its input to the test."""

    CATEGORY = "test"
    FUNCTION = "keep"
    OUTPUT_NODE = True
    RETURN_TYPES = ()

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        return {"required": {"value": ("*",)}}

    def keep(self, value: Any) -> dict[str, Any]:
        return {"ui": {"value": [value]}}


@dataclass(frozen=True)
class Run:
    """The written files in order, and the first output of each probed node."""

    files: list[Path]
    outputs: dict[str, Any]


def text_to_music() -> dict[str, dict[str, Any]]:
    """A two-second song in three steps, in API format; node ids are words."""
    node = lambda kind, **inputs: {"class_type": f"AceStepXL{kind}", "inputs": inputs}  # noqa: E731
    return {
        "load": node("Loader", model="demo", text_encoder="auto", vae="auto", precision="fp32"),
        "empty": node("EmptyLatent", seconds=2.0, batch_size=1),
        "text": node(
            "Encode",
            text_encoder=["load", 1],
            caption="slow waltz",
            lyrics="[Verse]\nla la la",
            language="en",
            bpm=90,
            key_scale="A minor",
            time_signature="3",
            duration=["empty", 1],
            task="text2music",
            tracks="",
        ),
        "schedule": node("Schedule", steps=3, shift=3.0, custom_sigmas=""),
        "guider": node(
            "Guider",
            model=["load", 0],
            positive=["text", 0],
            type="apg",
            scale=7.0,
            start=0.0,
            end=1.0,
            momentum=-0.75,
            norm_threshold=2.5,
            eta=0.0,
            angle_clip=0.5,
            adg_variant="standard",
            negative_weight=1.0,
        ),
        "sample": node("Sampler", guider=["guider", 0], sigmas=["schedule", 0], latent=["empty", 0], seed=7),
        "decode": node(
            "Decode", latent=["sample", 0], vae=["load", 2], normalize=True, peak_db=-1.0, fade_in=0.0, fade_out=0.0
        ),
        "save": node("Save", audio=["decode", 0], filename_prefix="song", format="wav", bit_depth="24"),
    }


def core_sampling(sampler: str) -> dict[str, dict[str, Any]]:
    """Core nodes that replace the sampler of `text_to_music`."""
    inputs = {"noise": "noise", "guider": "guider", "sampler": "solver", "sigmas": "schedule", "latent_image": "empty"}
    return {
        "noise": {"class_type": "RandomNoise", "inputs": {"noise_seed": 3}},
        "solver": {"class_type": "KSamplerSelect", "inputs": {"sampler_name": sampler}},
        "sample": {
            "class_type": "SamplerCustomAdvanced",
            "inputs": {name: [node, 0] for name, node in inputs.items()},
        },
    }


def run(
    output: Path,
    settings: Mapping[str, Any] | None = None,
    *,
    models: Path | None = None,
    probes: tuple[str, ...] = (),
    graph: dict[str, dict[str, Any]] | None = None,
    host: HeadlessHost | None = None,
) -> Run:
    """Run text_to_music with ``{"node.input": value}`` settings; probes are nodes whose first output is returned."""
    graph = text_to_music() if graph is None else graph
    for setting, value in (settings or {}).items():
        name, _, key = setting.partition(".")
        graph[name]["inputs"][key] = value
    for name in probes:
        graph[f"probe {name}"] = {"class_type": "Probe", "inputs": {"value": [name, 0]}}
    host = host or HeadlessHost([models] if models else [], output, device="cpu")
    table = NodeTable({**shipped_classes(), "Probe": Probe})
    with use(host):
        workflow = read_workflow(graph, table)
        problems = [*workflow.problems, *validate(workflow.graph, table)]
    if problems:
        raise ValueError("; ".join(map(str, problems)))
    shown = execute(workflow.graph, table, host)
    files = [output / f["subfolder"] / f["filename"] for ui in shown.values() for f in ui.get("audio", [])]
    return Run(files, {name: shown[f"probe {name}"]["value"][0] for name in probes})


def shipped_classes() -> dict[str, type]:
    return dict(NodeTable.shipped().classes)
