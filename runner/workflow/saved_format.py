"""Reads the workflow format that ComfyUI saves into the graph that its editor would queue."""

from __future__ import annotations

from typing import Any

from ..graph import Graph, NodeCall, Problem
from ..node_table import NodeTable
from .api_format import SEARCH_NAME
from .saved_links import LinkError, Literal, Muted, Scope, Source
from .saved_widgets import surplus_problem, widget_values

# What indexing into a damaged file raises.
_DAMAGE = (KeyError, IndexError, TypeError, ValueError, AttributeError)


def read_saved(data: dict[str, Any], table: NodeTable) -> tuple[Graph, list[Problem]]:
    """The graph of a saved file, and everything wrong with the file."""
    graph: Graph = {}
    problems: list[Problem] = []
    try:
        subgraphs = (data.get("definitions") or {}).get("subgraphs") or []
        root = Scope(data, {definition["id"]: definition for definition in subgraphs}, table)
        nodes = [(f"{scope.prefix}{node['id']}", scope, node) for scope, node in root.executable_nodes()]
    except LinkError as error:
        return {}, [Problem(str(error))]
    except _DAMAGE as error:
        return {}, [Problem(f"the file is damaged: {error!r} in a node or link")]
    except RecursionError:
        return {}, [Problem("the file is damaged: its subgraphs are nested too deeply")]
    for node_id, scope, node in nodes:
        title = str(node.get("title") or table.title(node["type"]))
        call = NodeCall(node["type"], {}, title, _search_name(node), _pack(node))
        graph[node_id] = call
        call.inputs |= widget_values(node, table)
        messages = [surplus_problem(node, table), *_read_links(scope, node, call)]
        problems += [Problem(message, node_id, call.title) for message in messages if message]
    return graph, problems


def _search_name(node: dict[str, Any]) -> str:
    properties = node.get("properties")
    name = properties.get(SEARCH_NAME) if isinstance(properties, dict) else None
    return name if isinstance(name, str) and name != node["type"] else ""


def _pack(node: dict[str, Any]) -> str:
    """The registry's id or the repository of the pack that a node's class came from."""
    properties = node.get("properties")
    names = (properties.get("cnr_id"), properties.get("aux_id")) if isinstance(properties, dict) else ()
    return next((name for name in names if isinstance(name, str)), "")


def _read_links(scope: Scope, node: dict[str, Any], call: NodeCall) -> list[str]:
    """Resolve the node's links into the call's inputs. Returns what is wrong with them."""
    problems: list[str] = []
    for index, entry in enumerate(node.get("inputs") or []):
        try:
            source = scope.resolve_input(node, index, str(entry.get("type", "*")))
            _set_input(call, entry["name"], source)
        except LinkError as error:
            problems.append(f"input {entry.get('name', index)}: {error}")
        except RecursionError:
            problems.append(f"input {index}: the link passes through too many nodes of the editor")
        except _DAMAGE as error:
            problems.append(f"the file is damaged: {error!r} behind input {index}")
    return problems


def _set_input(call: NodeCall, name: Any, source: Source) -> None:
    if not isinstance(name, str):
        raise ValueError(f"an input is called {name!r}")
    if isinstance(source, Muted):
        call.inputs.pop(name, None)
    elif source is not None:
        call.inputs[name] = source.value if isinstance(source, Literal) else source
