"""Finds everything wrong with a graph before it runs, by ComfyUI's rules."""

from __future__ import annotations

import inspect
from typing import Any

from ..host import current_host, use
from ..host.submission import Submission, check
from .graph import Graph, Link, NodeCall, Problem
from .node_table import BROWSER_INPUTS, WIDGET_TYPES, InputSpec, NodeSpec, NodeTable, types_match
from .order import execution_order
from .values import check_range, convert, suggest
from .workflow.api_format import to_api
from .workflow.foreign_classes import explanation

# The parameters of a node's VALIDATE_INPUTS, by name.
_Validated = dict[str, inspect.Parameter]


def output_nodes(graph: Graph, table: NodeTable) -> list[str]:
    """Ids of the nodes that a run is for: those whose class is an output node."""
    specs = {node_id: table.spec(call.class_type) for node_id, call in graph.items()}
    return [node_id for node_id, spec in specs.items() if spec is not None and spec.is_output]


def validate(graph: Graph, table: NodeTable) -> list[Problem]:
    """All problems of a graph, in the order of its nodes; an empty list means it can run.

    As in ComfyUI, nodes that no output needs are ignored, unless something else is wrong: a broken link may be what
    detaches them, so their problems are listed too.
    """
    with use(table.host or current_host()), check(Submission.of(to_api(graph), None)):
        return _find_problems(graph, table)


def _find_problems(graph: Graph, table: NodeTable) -> list[Problem]:
    outputs = output_nodes(graph, table)
    order = execution_order(graph, outputs)
    problems = _unknown_classes(graph, table)
    if not outputs and not problems:  # an unknown node may be the output
        problems.append(Problem("the workflow has no output node (such as a save node), so there is nothing to run"))
    by_node = {node_id: _node_problems(node_id, graph, table) for node_id in graph}
    needed = set(order.nodes)
    if problems or order.cycles or any(by_node[node_id] for node_id in needed):
        order = execution_order(graph, graph)
        needed = set(graph)
    cycles = [Problem(f"a cycle of links: {' <- '.join(cycle)}", cycle[0]) for cycle in order.cycles]
    return problems + cycles + [problem for node_id in graph if node_id in needed for problem in by_node[node_id]]


def _unknown_classes(graph: Graph, table: NodeTable) -> list[Problem]:
    """One problem for each class, with the ids of its nodes."""
    nodes: dict[str, list[str]] = {}
    for node_id, call in graph.items():
        if table.spec(call.class_type) is None:
            nodes.setdefault(call.class_type, []).append(node_id)
    problems = []
    for kind, node_ids in nodes.items():
        call = graph[node_ids[0]]
        similar = suggest(kind, sorted(table.classes))
        unknown = f"unknown node class {kind!r}; {similar}; if a pack of ComfyUI has it, run the workflow there"
        message = explanation(call, graph) or unknown
        problems.append(_problem(message, ", ".join(node_ids), call))
    return problems


def _problem(message: str, node_id: str, call: NodeCall, name: str | None = None) -> Problem:
    return Problem(message, node_id, call.title, name)


def _node_problems(node_id: str, graph: Graph, table: NodeTable) -> list[Problem]:
    call = graph[node_id]
    spec = table.spec(call.class_type)
    if spec is None:
        return []
    if spec.unsupported:
        return [_problem(f"{call.class_type} cannot run here: {spec.unsupported}", node_id, call)]
    validated = _validated_parameters(spec)
    messages = _input_messages(spec, call, graph, table, validated)
    problems = [_problem(message, node_id, call, name) for name, message in messages.items()]
    if validated is not None and not any(_takes(validated, name) for name in messages):
        problems += [_problem(text, node_id, call) for text in _validate_inputs(spec, call, graph, table, validated)]
    return problems


def _input_messages(
    spec: NodeSpec, call: NodeCall, graph: Graph, table: NodeTable, validated: _Validated | None
) -> dict[str, str]:
    """What is wrong with each input, by name."""
    messages: dict[str, str] = {}
    for name, entry in spec.inputs.items():
        if name in call.inputs:
            message = _input_message(entry, call.inputs[name], graph, table, validated)
        else:
            message = f"missing; its type is {entry.type}" if entry.required else None
        if message:
            messages[name] = message
    for name in call.inputs.keys() - spec.inputs.keys() - BROWSER_INPUTS:
        messages[name] = f"{call.class_type} has no such input; {suggest(name, list(spec.inputs))}"
    return messages


def _input_message(
    entry: InputSpec, value: Any, graph: Graph, table: NodeTable, validated: _Validated | None
) -> str | None:
    """What is wrong with an input's value or link, or None."""
    if isinstance(value, Link):
        return _link_message(entry, value, graph, table, check_type=not (validated and "input_types" in validated))
    if entry.type not in WIDGET_TYPES and value is None:
        return None
    try:
        value = convert(entry, value)
        # VALIDATE_INPUTS replaces the built-in range check of every input that it takes.
        if validated is None or not _takes(validated, entry.name):
            check_range(entry, value)
    except ValueError as error:
        return str(error)
    return None


def _link_message(entry: InputSpec, link: Link, graph: Graph, table: NodeTable, *, check_type: bool) -> str | None:
    if link.node not in graph:
        return f"linked to node {link.node}, which does not exist"
    spec = table.spec(graph[link.node].class_type)
    if spec is None:
        return None  # reported once, at the unknown node
    source = f"node {link.node} ({graph[link.node].title})"
    if not 0 <= link.slot < len(spec.returns):
        return f"linked to output {link.slot} of {source}, which has {len(spec.returns)} outputs"
    output_type = spec.returns[link.slot]
    if check_type and not types_match(output_type, entry.type):
        return f"needs {entry.type}, but output {link.slot} of {source} is {output_type}"
    return None


def _validated_parameters(spec: NodeSpec) -> _Validated | None:
    function = getattr(spec.node_class, "VALIDATE_INPUTS", None)
    return None if function is None else dict(inspect.signature(function).parameters)


def _takes(validated: _Validated, name: str) -> bool:
    kinds = (parameter.kind for parameter in validated.values())
    return name in validated or inspect.Parameter.VAR_KEYWORD in kinds


def _validate_inputs(
    spec: NodeSpec, call: NodeCall, graph: Graph, table: NodeTable, validated: _Validated
) -> list[str]:
    """Call VALIDATE_INPUTS as ComfyUI does: literals by name, None for links, input_types if it takes that."""
    arguments: dict[str, Any] = {}
    input_types: dict[str, str] = {}
    for name, entry in spec.inputs.items():
        if name not in call.inputs:
            continue
        value = call.inputs[name]
        source = table.spec(graph[value.node].class_type) if isinstance(value, Link) and value.node in graph else None
        if source is not None and 0 <= value.slot < len(source.returns):
            input_types[name] = source.returns[value.slot]
        if _takes(validated, name):
            arguments[name] = None if isinstance(value, Link) else convert(entry, value)
    if "input_types" in validated:
        arguments["input_types"] = input_types
    try:
        verdict = spec.node_class.VALIDATE_INPUTS(**arguments)
    except Exception as error:  # third-party code: a failure in it is a problem of the graph, not of this program
        return [f"its VALIDATE_INPUTS failed: {type(error).__name__}: {error}"]
    if verdict is True:
        return []
    return ["its VALIDATE_INPUTS refused the inputs" if verdict is False else str(verdict)]
