"""Finds everything wrong with a graph before anything runs, by ComfyUI's rules."""

from __future__ import annotations

import inspect
from typing import Any

from .graph import Graph, Link, NodeCall, Problem
from .node_table import BROWSER_INPUTS, InputSpec, NodeSpec, NodeTable, types_match
from .order import execution_order
from .values import check_range, convert, suggest


def output_nodes(graph: Graph, table: NodeTable) -> list[str]:
    """Ids of the nodes that a run is for: those whose class is an output node."""
    specs = {node_id: table.spec(call.class_type) for node_id, call in graph.items()}
    return [node_id for node_id, spec in specs.items() if spec is not None and spec.is_output]


def validate(graph: Graph, table: NodeTable) -> list[Problem]:
    """All problems of a graph, in the order of its nodes; an empty list means it can run.

    As in ComfyUI, nodes that no output needs are not looked at, unless something is wrong anyway: then a broken link
    may be what hides them, and their faults are listed too.
    """
    outputs = output_nodes(graph, table)
    order = execution_order(graph, outputs)
    needed = set(order.nodes)
    problems = [
        Problem(
            f"unknown node class {call.class_type!r}; {suggest(call.class_type, sorted(table.classes))}", *_of(n, call)
        )
        for n, call in graph.items()
        if table.spec(call.class_type) is None
    ]
    if not outputs:
        problems.append(Problem("the workflow has no output node (such as a save node), so there is nothing to run"))
    found = {node_id: _node_problems(node_id, graph, table) for node_id in graph}
    if problems or order.cycles or any(found[node_id] for node_id in needed):
        order = execution_order(graph, graph)
        needed = set(graph)
    cycles = [Problem(f"a circle of links: {' <- '.join(cycle)}", cycle[0]) for cycle in order.cycles]
    return problems + cycles + [problem for node_id in graph if node_id in needed for problem in found[node_id]]


def _of(node_id: str, call: NodeCall) -> tuple[str, str]:
    return node_id, call.title


def _node_problems(node_id: str, graph: Graph, table: NodeTable) -> list[Problem]:
    call = graph[node_id]
    spec = table.spec(call.class_type)
    if spec is None:
        return []
    if spec.unsupported:
        return [Problem(f"{call.class_type} cannot run here: {spec.unsupported}", *_of(node_id, call))]
    taken = _arguments_of(getattr(spec.node_class, "VALIDATE_INPUTS", None))
    faults: dict[str, str] = {}
    for name, entry in spec.inputs.items():
        if name not in call.inputs:
            if entry.required:
                faults[name] = f"missing; its type is {entry.type}"
            continue
        if fault := _input_fault(entry, call.inputs[name], graph, table, taken):
            faults[name] = fault
    for name in call.inputs.keys() - spec.inputs.keys() - BROWSER_INPUTS:
        faults[name] = f"{call.class_type} has no such input; {suggest(name, list(spec.inputs))}"
    problems = [Problem(fault, *_of(node_id, call), name) for name, fault in faults.items()]
    if taken is not None and not (faults if _takes_all(taken) else taken.keys() & faults.keys()):
        problems += [Problem(text, *_of(node_id, call)) for text in _own_validation(spec, call, graph, table, taken)]
    return problems


def _input_fault(entry: InputSpec, value: Any, graph: Graph, table: NodeTable, taken: _Arguments) -> str | None:
    if isinstance(value, Link):
        return _link_fault(entry, value, graph, table, check_type=taken is None or "input_types" not in taken)
    if entry.type not in ("INT", "FLOAT", "STRING", "BOOLEAN", "COMBO") and value is None:
        return None
    try:
        value = convert(entry, value)
        # A node that validates an input itself replaces the built-in checks of its range.
        if taken is None or (entry.name not in taken and not _takes_all(taken)):
            check_range(entry, value)
    except ValueError as error:
        return str(error)
    return None


def _link_fault(entry: InputSpec, link: Link, graph: Graph, table: NodeTable, check_type: bool) -> str | None:
    if link.node not in graph:
        return f"linked to node {link.node}, which does not exist"
    spec = table.spec(graph[link.node].class_type)
    if spec is None:
        return None  # reported once, at the unknown node
    source = f"node {link.node} ({graph[link.node].title})"
    if not 0 <= link.slot < len(spec.returns):
        return f"linked to output {link.slot} of {source}, which has {len(spec.returns)} outputs"
    given = spec.returns[link.slot]
    if check_type and not types_match(given, entry.type):
        return f"needs {entry.type}, but output {link.slot} of {source} is {given}"
    return None


_Arguments = dict[str, inspect.Parameter] | None


def _arguments_of(function: Any) -> _Arguments:
    return None if function is None else dict(inspect.signature(function).parameters)


def _takes_all(taken: dict[str, inspect.Parameter]) -> bool:
    return any(parameter.kind is inspect.Parameter.VAR_KEYWORD for parameter in taken.values())


def _own_validation(
    spec: NodeSpec, call: NodeCall, graph: Graph, table: NodeTable, taken: dict[str, inspect.Parameter]
) -> list[str]:
    """Call VALIDATE_INPUTS as ComfyUI does: constants by name, None for linked inputs, input_types if it asks."""
    arguments: dict[str, Any] = {}
    received: dict[str, str] = {}
    for name, entry in spec.inputs.items():
        if name not in call.inputs:
            continue
        value = call.inputs[name]
        source = table.spec(graph[value.node].class_type) if isinstance(value, Link) and value.node in graph else None
        if source is not None and 0 <= value.slot < len(source.returns):
            received[name] = source.returns[value.slot]
        if name in taken or _takes_all(taken):
            arguments[name] = None if isinstance(value, Link) else convert(entry, value)
    if "input_types" in taken:
        arguments["input_types"] = received
    try:
        answer = spec.node_class.VALIDATE_INPUTS(**arguments)
    except Exception as error:  # third-party code: any fault in it is a problem of the graph, not of this program
        return [f"its check of the inputs failed: {type(error).__name__}: {error}"]
    return [] if answer is True else [str(answer) if answer is not False else "its inputs were refused"]
