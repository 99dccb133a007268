"""A request as a graph: one of the shipped workflows with the request's values filled in.

Without a source it is text to music; with one it is a cover, or a repaint where a region is given. Nodes are found by
their class, so the workflows stay what people open and change.
"""

from __future__ import annotations

import json
import uuid
from pathlib import Path
from typing import Any

from ...parameters import api, ids
from ...runner.graph import Graph, Link, NodeCall
from ...runner.node_table import NodeTable
from ...runner.read import load_json, read_workflow
from ...runner.settings import Setting, apply_settings, use_demo
from ...runner.validate import validate
from ..schema.encoding_rules import LOSSLESS
from ..schema.task import Task

WORKFLOWS = Path(__file__).parents[2] / "workflows"
ENCODING = {"bitrate": "bitrate", "sample_rate": "sampleRate", "channels": "channels"}
INSTRUMENTAL = "[Instrumental]"
AUTO = "auto"
SHARPS = str.maketrans("♯♭", "#b")


class GraphError(ValueError):
    """A request that cannot be run here; ``problems`` are all the reasons."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("; ".join(problems))
        self.problems = tuple(problems)


def workflow_of(task: Task) -> str:
    """The shipped workflow that a request runs."""
    if task.value("inputs.audio") is None:
        return "text_to_music"
    region = (task.value("settings.repaintingStart"), task.value("settings.repaintingEnd"))
    return "cover" if region == (None, None) else "repaint"


def build(
    task: Task,
    *,
    seed: int,
    prefix: str,
    table: NodeTable,
    source: str = "",
    model: str = "",
    demo: bool = False,
) -> Graph:
    """The graph of one result, in which `validate` finds nothing.

    seed: of this result. prefix: of its file's name. source: name of the source among the inputs. model: checkpoint in
    place of the workflow's. demo: use the demo network. Raises GraphError.
    """
    workflow = read_workflow(load_json(WORKFLOWS / f"{workflow_of(task)}.json"), table)
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
    if problems:
        raise GraphError([str(problem) for problem in problems])
    return graph


def problems(table: NodeTable, model: str = "", demo: bool = False) -> list[str]:
    """What keeps even the plainest request from running here."""
    required = {"taskType": "audioInference", "taskUUID": str(uuid.uuid4()), "model": api.MODEL}
    plain = Task.from_json({**required, "positivePrompt": "music"})
    try:
        build(plain, seed=0, prefix="plain", table=table, model=model, demo=demo)
    except GraphError as error:
        return list(error.problems)
    return []


def region_text(start: float | None, end: float | None) -> str:
    """The text of a region for the repaint node: from the source's start or to its end where a bound is absent."""
    first = "start" if start is None else _seconds(start)
    return f"{first}-{'end' if end is None else _seconds(end)}"


def _seconds(value: float) -> str:
    """Without an exponent, which the node does not read; a millionth of a second is less than a sample."""
    return f"{value:.6f}".rstrip("0").rstrip(".")


def _values(task: Task, seed: int, prefix: str) -> dict[str, Any]:
    """What every kind of request sets, as {"class.input": value}.

    Each value of the music is set, for the workflow's own are those of its example.
    """
    key_scale = task.value("settings.keyScale")
    values = {
        f"{ids.ENCODE}.caption": task.value("positivePrompt"),
        f"{ids.ENCODE}.lyrics": task.value("settings.lyrics") or INSTRUMENTAL,
        f"{ids.ENCODE}.language": task.value("settings.vocalLanguage"),
        f"{ids.ENCODE}.bpm": task.value("settings.bpm") or 0,
        f"{ids.ENCODE}.key_scale": key_scale.translate(SHARPS) if key_scale else AUTO,
        f"{ids.ENCODE}.time_signature": task.value("settings.timeSignature") or AUTO,
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
        # Sample rate and channels are choices among texts; only the bitrate is a number.
        values |= {
            f"{ids.SAVE}.{name}": value if name == "bitrate" else str(value)
            for name, value in encoding.items()
            if value is not None
        }
    return values


def _source_values(task: Task, source: str) -> dict[str, Any]:
    strength = task.value("strength")
    if workflow_of(task) == "cover":
        return {f"{ids.LOAD_AUDIO}.audio": source, f"{ids.COVER}.strength": strength}
    region = region_text(task.value("settings.repaintingStart"), task.value("settings.repaintingEnd"))
    return {f"{ids.LOAD_AUDIO}.audio": source, f"{ids.REPAINT}.strength": strength, f"{ids.REPAINT}.regions": region}


def _setting(name: str, value: Any) -> Setting:
    node, _, key = name.partition(".")
    return Setting(node, key, value)


def _add_negative(graph: Graph, caption: str) -> None:
    """Encode the negative prompt as the positive one but for its caption: what else differs would be steered away
    from too."""
    positive = graph[_only(graph, ids.ENCODE)]
    new = _free(graph, "negative")
    graph[new] = NodeCall(ids.ENCODE, {**positive.inputs, "caption": caption}, "Negative prompt")
    graph[_only(graph, ids.GUIDER)].inputs["negative"] = Link(new, 0)


def _add_recipe(graph: Graph, recipe: str, seed: int) -> None:
    """Let a recipe take the place of the schedule node and give the sampler its solver and noise."""
    schedule, sampler = _only(graph, ids.SCHEDULE), graph[_only(graph, ids.SAMPLER)]
    own = graph.pop(schedule).inputs
    new = _free(graph, "scheduler")
    values = {"guider": sampler.inputs["guider"], "recipe": recipe, "steps": own["steps"], "shift": own["shift"]}
    graph[new] = NodeCall(ids.RECIPE, {**values, "seed": seed}, "Modular scheduler")
    for slot, name in enumerate(("guider", "sigmas", "sampler", "noise")):
        sampler.inputs[name] = Link(new, slot)


def _only(graph: Graph, class_type: str) -> str:
    """The one node of a class. The shipped workflows have one each, which a test makes sure of."""
    (found,) = (node_id for node_id, call in graph.items() if call.class_type == class_type)
    return found


def _free(graph: Graph, name: str) -> str:
    return next(free for number in range(len(graph) + 1) if (free := f"{name}{number or ''}") not in graph)
