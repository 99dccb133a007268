"""Builds the graph of a task: one of the shipped workflows with the task's values filled in.

Without a source it is text to music; with one it is a cover, or a repaint if a region is given. Nodes are found by
their class, so these are the same workflows that people open and edit.
"""

from __future__ import annotations

import json
import uuid
from typing import Any

from ...parameters import AUTO, api, ids, read_choice
from ...runner.graph import Graph, Link, NodeCall
from ...runner.node_table import NodeTable
from ...runner.settings import Setting, apply_settings, use_demo
from ...runner.shipped import SHIPPED
from ...runner.validate import validate
from ...runner.workflow.read import load_json, read_workflow
from ..schema.encoding_rules import LOSSLESS
from ..schema.task import Task
from .protocol import NO_SPACE, DiskFull

ENCODING = {"bitrate": "bitrate", "sample_rate": "sampleRate", "channels": "channels"}
INSTRUMENTAL = "[Instrumental]"


class GraphError(ValueError):
    """A task that this installation cannot run; ``problems`` are all the reasons."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("; ".join(problems))
        self.problems = tuple(problems)


def workflow_name(task: Task) -> str:
    """The shipped workflow that a task runs."""
    if task.value("inputs.audio") is None:
        return "text_to_music"
    region = (task.value("settings.repaintingStart"), task.value("settings.repaintingEnd"))
    return "cover" if region == (None, None) else "repaint"


def build_graph(
    task: Task,
    *,
    seed: int,
    prefix: str,
    table: NodeTable,
    source: str = "",
    model: str = "",
    demo: bool = False,
) -> Graph:
    """The graph of one result, already validated.

    seed: of this result. prefix: of its file's name. source: its name in the engine. model: replaces
    the workflow's checkpoint. demo: use the demo network. Raises GraphError and DiskFull.
    """
    workflow = read_workflow(load_json(SHIPPED[workflow_name(task)]), table)
    graph = workflow.graph
    values = _values(task, seed, prefix) | (_source_values(task, source) if source else {})
    if model:
        values[f"{ids.LOADER}.model"] = model
    problems = list(workflow.problems)
    if demo:
        problems += use_demo(graph, table)
    problems += apply_settings(graph, [_setting(name, value) for name, value in values.items()], table)
    negative = task.value("negativePrompt")
    if negative is not None and task.value("CFGScale") > 1:
        _add_negative(graph, negative)
    recipe = task.value("advancedFeatures.modularScheduler")
    if recipe is not None:
        _add_recipe(graph, recipe if isinstance(recipe, str) else json.dumps(recipe), seed)
    problems += validate(graph, table)
    if any(NO_SPACE in problem.message for problem in problems):
        raise DiskFull("no room for the result")
    if problems:
        raise GraphError([str(problem) for problem in problems])
    return graph


def installation_problems(table: NodeTable, model: str = "", demo: bool = False) -> list[str]:
    """What keeps even the simplest task from running here, such as a missing checkpoint."""
    required = {"taskType": "audioInference", "taskUUID": str(uuid.uuid4()), "model": api.MODEL}
    simplest = Task.from_json({**required, "positivePrompt": "music"})
    try:
        build_graph(simplest, seed=0, prefix="simplest", table=table, model=model, demo=demo)
    except GraphError as error:
        return list(error.problems)
    except DiskFull:
        return []  # finished results can be fetched all the same
    return []


def format_region(start: float | None, end: float | None) -> str:
    """A region as the repaint node reads it. A missing bound is the start or end of the source."""
    first = "start" if start is None else _format_seconds(start)
    return f"{first}-{'end' if end is None else _format_seconds(end)}"


def _format_seconds(value: float) -> str:
    """Without an exponent, which the node does not accept; a microsecond is less than a sample."""
    return f"{value:.6f}".rstrip("0").rstrip(".")


def _values(task: Task, seed: int, prefix: str) -> dict[str, Any]:
    """What every task sets, as {"class.input": value}.

    Every musical value is set, since those in the workflow belong to its example song.
    """
    key_scale, time_signature = task.value("settings.keyScale"), task.value("settings.timeSignature")
    values = {
        f"{ids.ENCODE}.caption": task.value("positivePrompt"),
        f"{ids.ENCODE}.lyrics": task.value("settings.lyrics") or INSTRUMENTAL,
        f"{ids.ENCODE}.language": task.value("settings.vocalLanguage"),
        f"{ids.ENCODE}.bpm": task.value("settings.bpm") or 0,
        f"{ids.ENCODE}.key_scale": read_choice("key_scale", key_scale) if key_scale else AUTO,
        f"{ids.ENCODE}.time_signature": read_choice("time_signature", time_signature) if time_signature else AUTO,
        f"{ids.SCHEDULE}.steps": task.value("steps"),
        f"{ids.GUIDER}.type": task.value("settings.guidanceType"),
        f"{ids.GUIDER}.scale": task.value("CFGScale"),
        f"{ids.GUIDER}.start": task.value("settings.cfgIntervalStart"),
        f"{ids.GUIDER}.end": task.value("settings.cfgIntervalEnd"),
        f"{ids.SAMPLER}.seed": seed,
        f"{ids.SAVE}.filename_prefix": prefix,
        f"{ids.SAVE}.format": task.value("outputFormat").lower(),
    }
    if task.value("inputs.audio") is None:
        values[f"{ids.EMPTY_LATENT}.seconds"] = task.value("duration")
    if task.value("outputFormat") not in LOSSLESS:
        encoding = {name: task.value(f"audioSettings.{key}") for name, key in ENCODING.items()}
        # Sample rate and channels are choices of the node, which are text; only the bitrate is a number.
        values |= {
            f"{ids.SAVE}.{name}": value if name == "bitrate" else str(value)
            for name, value in encoding.items()
            if value is not None
        }
    return values


def _source_values(task: Task, source: str) -> dict[str, Any]:
    strength = task.value("strength")
    if workflow_name(task) == "cover":
        return {f"{ids.LOAD_AUDIO}.audio": source, f"{ids.COVER}.strength": strength}
    region = format_region(task.value("settings.repaintingStart"), task.value("settings.repaintingEnd"))
    return {f"{ids.LOAD_AUDIO}.audio": source, f"{ids.REPAINT}.strength": strength, f"{ids.REPAINT}.regions": region}


def _setting(name: str, value: Any) -> Setting:
    node, _, key = name.partition(".")
    return Setting(node, key, value)


def _add_negative(graph: Graph, caption: str) -> None:
    """Encode the negative prompt like the positive one except for its caption: guidance would also steer away from any
    other difference."""
    positive = graph[_find_node(graph, ids.ENCODE)]
    negative = _unused_id(graph, "negative")
    graph[negative] = NodeCall(ids.ENCODE, {**positive.inputs, "caption": caption}, "Negative prompt")
    graph[_find_node(graph, ids.GUIDER)].inputs["negative"] = Link(negative, 0)


def _add_recipe(graph: Graph, recipe: str, seed: int) -> None:
    """Replace the schedule node by a recipe node, which also gives the sampler its solver and noise."""
    sampler = graph[_find_node(graph, ids.SAMPLER)]
    schedule = graph.pop(_find_node(graph, ids.SCHEDULE)).inputs
    inputs = {
        "guider": sampler.inputs["guider"],
        "recipe": recipe,
        "steps": schedule["steps"],
        "shift": schedule["shift"],
        "seed": seed,
    }
    scheduler = _unused_id(graph, "scheduler")
    graph[scheduler] = NodeCall(ids.RECIPE, inputs, "Modular scheduler")
    for slot, name in enumerate(("guider", "sigmas", "sampler", "noise")):
        sampler.inputs[name] = Link(scheduler, slot)


def _find_node(graph: Graph, class_type: str) -> str:
    """The only node of a class; a test checks that the shipped workflows have one each."""
    (node_id,) = (node_id for node_id, call in graph.items() if call.class_type == class_type)
    return node_id


def _unused_id(graph: Graph, name: str) -> str:
    return next(node_id for number in range(len(graph) + 1) if (node_id := f"{name}{number or ''}") not in graph)
